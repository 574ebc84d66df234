//! A thread for the driver.

use core::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};
use std::{
    panic::resume_unwind,
    thread::{self, JoinHandle},
};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{BuildError, Timer, Wait};

use crate::{batcher::Batcher, builder::Builder, unwind::shielded};

/// The thread that drives a batcher. Dropping this handle closes the batcher and waits until the
/// thread has ended; unless the thread has panicked, every accepted item is done then. A handle
/// that is leaked ([`mem::forget`](core::mem::forget), a `static`, a cycle of `Arc`s) waits for
/// nothing: items that are not done when the process ends are lost.
///
/// The thread ends when the batcher is closed (dropping the last [`Batcher`] closes it, too) and
/// everything is done. A handle that is dropped at once closes the batcher at once: bind it to a
/// name, not to `_`, and keep it for as long as items come.
///
/// | to | use |
/// | --- | --- |
/// | close, drain and join | a drop of the handle |
/// | wait for the end, and get the panic of the thread | [`join`](Self::join) |
/// | let the thread go on by itself, until the batcher is closed and everything done | [`detach`](Self::detach) |
///
/// If the handle is dropped on the driver's own thread, for example by the batch handler, the drop
/// closes the batcher and does not wait, since the thread would wait for itself. In a task,
/// `shutdown().await` first, so that the drop has nothing left to wait for.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use tidegate_batch_processor::Batcher;
///
/// let written = Arc::new(Mutex::new(Vec::new()));
/// let file = written.clone();
/// let (batcher, driver) = Batcher::builder().build_on_thread(move |mut lines: Vec<&str>| {
///     let results = vec![(); lines.len()];
///     file.lock().unwrap().append(&mut lines);
///     Ok::<_, ()>(results)
/// })?;
/// batcher.try_push("a line").unwrap();
/// drop(driver);
/// assert_eq!(*written.lock().unwrap(), ["a line"]);
/// assert!(batcher.try_push("another").unwrap_err().is_closed());
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
#[must_use = "dropping the handle closes the batcher: keep it, or detach it"]
pub struct DriverThread {
    // `None` once it is joined, or detached.
    thread: Option<JoinHandle<()>>,
    close: Box<dyn Fn() + Send + Sync>,
}

impl DriverThread {
    /// Waits until the thread has ended. Unlike a [drop](Self#) of the handle, this does not close
    /// the batcher: it waits for ever unless somebody closes it or drops every [`Batcher`]. Not for
    /// the driver's own thread, which would wait for itself.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the thread, if it panicked: a panic of the handler's calls is caught,
    /// but one of the clock or of the handler's destructor is not.
    pub fn join(mut self) {
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
    }

    /// Lets the thread go on by itself, until the batcher is closed (dropping the last [`Batcher`]
    /// closes it, too) and everything is done. The end of the process does not wait for the thread:
    /// items that are not done by then are lost, so wait for a [`shutdown`](Batcher::shutdown)
    /// before.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder().build_on_thread(|items: Vec<u8>| Ok::<_, ()>(items))?;
    /// driver.detach();
    /// assert_eq!(batcher.submit(1).wait().unwrap(), 1);
    /// batcher.shutdown().wait().unwrap();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn detach(mut self) {
        self.thread = None;
    }

    /// Returns whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The close wakes all callers that wait for room, and their wakers are foreign.
        shielded(|| (self.close)());
        if thread.thread().id() != thread::current().id() {
            // The thread's panic was printed where it happened, and a drop cannot return it.
            _ = thread.join();
        }
    }
}

// The handle gives no access to the user's state.
impl UnwindSafe for DriverThread {}
impl RefUnwindSafe for DriverThread {}

impl fmt::Debug for DriverThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverThread").field("is_finished", &self.is_finished()).finish()
    }
}

impl<T, C> Builder<T, C>
where
    T: Send + 'static,
    C: Timer + Send + Sync + 'static,
{
    /// Builds a batcher and starts a thread, named `tidegate-batch`, for its driver. `process` may
    /// block.
    ///
    /// Dropping the [`DriverThread`] closes the batcher and waits until the thread has ended.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of its range, or the operating system does not start the
    /// thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let mut file = Vec::new();
    /// let (batcher, driver) = Batcher::builder().build_on_thread(move |lines: Vec<&str>| {
    ///     file.extend(lines.iter().flat_map(|line| line.bytes()));
    ///     Ok::<_, ()>(vec![file.len(); lines.len()])
    /// })?;
    /// assert_eq!(batcher.submit("four").wait().unwrap(), 4);
    /// drop(batcher);
    /// driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    #[allow(clippy::type_complexity, reason = "a batcher and its thread, each by its name")]
    pub fn build_on_thread<R, E, F>(
        self,
        process: F,
    ) -> Result<(Batcher<T, R, E, C>, DriverThread), BuildError>
    where
        F: FnMut(Vec<T>) -> Result<Vec<R>, E> + Send + 'static,
        R: Send + 'static,
        E: Send + Sync + 'static,
    {
        let (batcher, driver) = self.build(process)?;
        let named = thread::Builder::new().name("tidegate-batch".into());
        let thread = named.spawn(|| driver.wait()).map_err(|error| {
            BuildError::new("thread", error, "one that the operating system starts")
        })?;
        let close = batcher.closer();
        Ok((batcher, DriverThread { thread: Some(thread), close: Box::new(close) }))
    }
}
