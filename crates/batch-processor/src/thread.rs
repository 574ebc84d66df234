//! A thread for the driver.

use std::{
    panic::resume_unwind,
    thread::{self, JoinHandle},
};

use alloc::vec::Vec;

use tidegate_core::{Timer, Wait};

use crate::{batcher::Batcher, builder::Builder, error::BuildError};

/// The thread that drives a batcher.
///
/// It ends when the batcher is closed, which dropping the last [`Batcher`] does, and everything is done. Dropping the
/// handle leaves the thread alone.
#[derive(Debug)]
pub struct DriverThread {
    thread: JoinHandle<()>,
}

impl DriverThread {
    /// Waits until the thread has ended. Close or drop the batcher first, or this waits for ever.
    ///
    /// # Panics
    ///
    /// With the panic of the thread, if it panicked: its clock did, as a panic of the handler is caught.
    pub fn join(self) {
        if let Err(panic) = self.thread.join() {
            resume_unwind(panic);
        }
    }

    /// Returns whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

impl<T, C> Builder<T, C>
where
    T: Send + 'static,
    C: Timer + Send + Sync + 'static,
{
    /// Builds a batcher and starts a thread, named `tidegate-batch`, for its driver. `process` may block.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the settings contradict themselves, or the thread could not be started.
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
        let thread = named.spawn(|| driver.wait()).map_err(BuildError::Thread)?;
        Ok((batcher, DriverThread { thread }))
    }
}
