//! The handle of a batcher, by which items are handed in.

use core::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};

use tidegate_core::{
    Clock, SystemClock,
    primitive::{Arc, atomic::Ordering},
};

use crate::{
    builder::Builder,
    drain::{Flush, Shutdown},
    error::PushError,
    results::Reply,
    shared::Shared,
    stats::Stats,
    submit::{Enqueue, Push, Submit},
};

/// Gathers `T`s from many callers into batches, and gives each caller the `R` that the handler
/// returns for its item.
///
/// A clone is another handle to the same batcher. When the last handle is dropped, the batcher is
/// closed: the driver processes the items that were accepted, and ends. Drivers, their threads and
/// replies are not `Clone`.
///
/// # Fairness
///
/// Items are handed to the handler in the order in which they were accepted; with
/// [keys](Builder::keyed), in that order within each key. Callers that wait for room are woken in
/// the order in which they came, but a newcomer may take the room first.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, Wait};
///
/// let (batcher, driver) = Batcher::builder()
///     .max_items(3)
///     .build(|numbers: Vec<u32>| Ok::<_, ()>(numbers.iter().map(|n| n * n).collect()))?;
/// let driver = std::thread::spawn(|| driver.wait());
///
/// std::thread::scope(|s| {
///     for n in 0..3 {
///         let batcher = &batcher;
///         s.spawn(move || assert_eq!(batcher.submit(n).wait().unwrap(), n * n));
///     }
/// });
/// assert_eq!(batcher.stats().batches, 1);
/// drop(batcher);
/// driver.join().unwrap();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
pub struct Batcher<T, R, E, C = SystemClock> {
    shared: Arc<Shared<T, R, E, C>>,
}

impl<T, R, E, C> Batcher<T, R, E, C> {
    pub(crate) fn clock(&self) -> &C {
        &self.shared.clock
    }

    pub(crate) fn shared(&self) -> &Shared<T, R, E, C> {
        &self.shared
    }
}

impl<T> Batcher<T, (), ()> {
    /// Returns a builder with the defaults: batches of 100 items or 10 ms, room for ten batches.
    pub fn builder() -> Builder<T> {
        Builder::new()
    }
}

impl<T, R, E, C> Batcher<T, R, E, C> {
    pub(crate) fn new(shared: Arc<Shared<T, R, E, C>>) -> Self {
        Self { shared }
    }

    /// Returns a closure that closes the batcher. The closure does not count as a handle, so it
    /// does not keep the batcher open.
    #[cfg(feature = "std")]
    pub(crate) fn closer(&self) -> impl Fn() + use<T, R, E, C> {
        let shared = self.shared.clone();
        move || _ = shared.close()
    }

    /// Makes due every item that was accepted before the first poll, and waits until these items
    /// are done.
    ///
    /// "Done" means that the handler has returned, with whatever result: when the flush is ready,
    /// so are the results of these items. A batch that is due is handed over as soon as fewer than
    /// [`max_in_flight`](Builder::max_in_flight) batches run; until then it may grow, if it is not
    /// full.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the wait. The items that it made due stay due.
    ///
    /// # Errors
    ///
    /// [`DriverDropped`](crate::DriverDropped) if the driver was dropped before all these items
    /// were done.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder()
    ///     .max_delay(Duration::from_secs(3600))
    ///     .build_on_thread(|lines: Vec<&str>| Ok::<_, ()>(lines))?;
    /// batcher.push("a line").wait().unwrap();
    /// batcher.flush().wait().unwrap();
    /// assert_eq!(batcher.stats().done, 1);
    /// # drop(batcher);
    /// # driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn flush(&self) -> Flush<'_, T, R, E, C> {
        Flush::new(&self.shared)
    }

    /// Refuses every item from now on and wakes all callers that wait for room; accepted items are
    /// still processed.
    ///
    /// Returns false if no item was accepted any more: the batcher was closed already, or its
    /// driver was dropped.
    pub fn close(&self) -> bool {
        self.shared.close()
    }

    /// Returns whether no item is accepted any more: the batcher was closed, or its driver was
    /// dropped.
    pub fn is_closed(&self) -> bool {
        self.shared.with(|gatherer| gatherer.state().is_closed())
    }

    /// Closes the batcher in the first poll, and waits until every accepted item is done.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the wait. Once closed, the batcher stays closed.
    ///
    /// # Errors
    ///
    /// [`Unprocessed`](crate::Unprocessed) if the driver was dropped before the end; it gives back
    /// the items that were never handed to the handler.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder().build_on_thread(|items: Vec<u8>| Ok::<_, ()>(items))?;
    /// let reply = batcher.try_submit(1).unwrap();
    /// batcher.shutdown().wait().unwrap();
    /// assert_eq!(reply.wait().unwrap(), 1);
    /// assert!(batcher.push(2).wait().unwrap_err().is_closed());
    /// driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn shutdown(&self) -> Shutdown<'_, T, R, E, C> {
        Shutdown::new(&self.shared)
    }

    /// Returns a snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.shared.with(|gatherer| gatherer.stats())
    }
}

impl<T, R, E, C: Clock> Batcher<T, R, E, C> {
    /// Hands an item in, first waiting for room if there is none, and then waits for its result.
    ///
    /// The call weighs the item, and the first poll hands it in. To have several items in one batch
    /// from one thread, use [`try_submit`](Self::try_submit), which hands the item in at once, or
    /// poll the futures together.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the item was accepted, the item is dropped with it, unless
    /// [`Submit::into_inner`] saves it. If the future is dropped later, only the result is given
    /// up: the item is processed as if its caller still waited.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Refused`](crate::SubmitError::Refused) gives the item back: it is too heavy,
    /// or the batcher is closed, without a driver or, with
    /// [`OnFull::Reject`](crate::OnFull::Reject), full.
    /// [`SubmitError::Failed`](crate::SubmitError::Failed) says how its batch failed, or that the
    /// item was dropped because there was no room.
    ///
    /// # Panics
    ///
    /// Panics if the function given to [`Builder::max_weight`] panics; so do the other methods that
    /// hand an item in. A handler must not wait for this future: the item may be in a batch that
    /// starts only when the handler has returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, SubmitError, Wait};
    ///
    /// let parse = |texts: Vec<&str>| Ok::<_, ()>(texts.iter().map(|t| t.parse::<u8>()).collect());
    /// let (batcher, driver) = Batcher::builder().build_on_thread(parse)?;
    /// assert_eq!(batcher.submit("7").wait().unwrap(), Ok(7));
    /// // An error of one item is its result, and no other item's.
    /// assert!(batcher.submit("seven").wait().unwrap().is_err());
    /// # drop(batcher);
    /// # driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn submit(&self, item: T) -> Submit<'_, T, R, E, C> {
        Submit::new(&self.shared, item)
    }

    /// Hands an item in, first waiting for room if there is none. The future resolves to a
    /// [`Reply`], by which the result can be waited for later and elsewhere: this is
    /// [`try_submit`](Self::try_submit) with a wait for room, or [`submit`](Self::submit) in two
    /// steps.
    ///
    /// # Cancel safety
    ///
    /// The item is accepted when the future resolves. If the future is dropped before, the item is
    /// not accepted, and is dropped with it, unless [`Enqueue::into_inner`] saves it.
    ///
    /// # Errors
    ///
    /// [`PushError`] gives the item back: it is too heavy, or the batcher is closed, without a
    /// driver or, with [`OnFull::Reject`](crate::OnFull::Reject), full.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let lengths = |texts: Vec<&str>| Ok::<_, ()>(texts.iter().map(|text| text.len()).collect());
    /// let (batcher, driver) = Batcher::builder().max_items(2).capacity(2).build_on_thread(lengths)?;
    /// // All are in, two batches of two, before the first wait for a result.
    /// let replies = ["a", "bc", "def", "ghij"].map(|text| batcher.enqueue(text).wait().unwrap());
    /// assert_eq!(replies.map(|reply| reply.wait().unwrap()), [1, 2, 3, 4]);
    /// # drop(batcher);
    /// # driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn enqueue(&self, item: T) -> Enqueue<'_, T, R, E, C> {
        Enqueue::new(&self.shared, item)
    }

    /// Hands an item in if there is room now. Returns a reply, by which the caller can wait for the
    /// result.
    ///
    /// # Errors
    ///
    /// [`PushError`] gives the item back.
    pub fn try_submit(&self, item: T) -> Result<Reply<R, E>, PushError<T>> {
        self.shared.offer(item)
    }

    /// Hands an item in, first waiting for room if there is none. Its result is dropped.
    ///
    /// Only [`stats`](Self::stats) shows whether the handler failed.
    ///
    /// # Cancel safety
    ///
    /// The item is accepted when the future resolves. If the future is dropped before, the item is
    /// not accepted, and is dropped with it, unless [`Push::into_inner`] saves it.
    ///
    /// # Errors
    ///
    /// [`PushError`] gives the item back: it is too heavy, or the batcher is closed, without a
    /// driver or, with [`OnFull::Reject`](crate::OnFull::Reject), full.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, PushError, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder().max_items(1).capacity(1).build(|n: Vec<u8>| Ok::<_, ()>(n))?;
    /// batcher.push(1).wait().unwrap();
    /// assert_eq!(batcher.try_push(2), Err(PushError::Full(2)));
    /// let thread = std::thread::spawn(|| driver.wait());
    /// batcher.push(2).wait().unwrap();
    /// # drop(batcher);
    /// # thread.join().unwrap();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn push(&self, item: T) -> Push<'_, T, R, E, C> {
        Push::new(&self.shared, item)
    }

    /// Hands an item in if there is room now. Its result is dropped.
    ///
    /// # Errors
    ///
    /// [`PushError`] gives the item back: it is too heavy, or the batcher is full, closed or
    /// without a driver.
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        self.shared.offer(item)
    }
}

impl<T, R, E, C> Clone for Batcher<T, R, E, C> {
    fn clone(&self) -> Self {
        // ORDERING: Relaxed: until the clone is counted, this handle keeps the count above zero.
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<T, R, E, C> Drop for Batcher<T, R, E, C> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: the other handles pushed their items under the gatherer's lock, and
        // the close takes that lock later. A push after the close would put its handle's decrement
        // after this one, which was the last.
        if self.shared.handles.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.close();
        }
    }
}

// The shared state is behind locks. Foreign code runs outside of them, so its panic leaves the
// state whole.
impl<T, R, E, C> UnwindSafe for Batcher<T, R, E, C> {}
impl<T, R, E, C> RefUnwindSafe for Batcher<T, R, E, C> {}

impl<T, R, E, C> fmt::Debug for Batcher<T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
