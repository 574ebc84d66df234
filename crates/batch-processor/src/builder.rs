//! The settings of a batcher.

use core::{fmt, future::Future, time::Duration};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{Backoff, BuildError, SystemClock, Timer, backoff::Retries, primitive::Arc};

#[cfg(feature = "stream")]
use crate::gatherers::Gatherers;
use crate::{
    batcher::Batcher,
    driver::Driver,
    gatherer::Keys,
    handler::{Async, Blocking, Handler},
    limits::Limits,
    policy::{OnFull, Policy},
    recovery::{OnError, Recovery, copies},
    shared::{Shared, Weigh},
};

/// A batcher with the handler `H`, and the driver that it needs: what the builder returns.
pub type Built<T, H, C> =
    (Batcher<T, <H as Handler<T>>::Output, <H as Handler<T>>::Error, C>, Driver<T, H, C>);

/// Settings of a [`Batcher`], made by [`Batcher::builder`].
///
/// | setting | default |
/// | --- | --- |
/// | [`max_items`](Self::max_items) | 100 |
/// | [`max_delay`](Self::max_delay) | 10 ms |
/// | [`max_weight`](Self::max_weight) | items are not weighed |
/// | [`capacity`](Self::capacity) | ten batches |
/// | [`max_in_flight`](Self::max_in_flight) | one batch |
/// | [`policy`](Self::policy) | [`Policy::Delay`] |
/// | [`on_full`](Self::on_full) | [`OnFull::Wait`] |
/// | [`retry`](Self::retry), [`on_error`](Self::on_error) | never, [`OnError::Fail`] |
/// | [`keyed`](Self::keyed) | all items gather in one batch |
/// | [`clock`](Self::clock) | [`SystemClock`] |
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_batch_processor::{Batcher, BuildError};
///
/// let settings = || Batcher::builder().max_items(500).max_delay(Duration::from_millis(50));
/// let (batcher, _driver) = settings().build(|rows: Vec<String>| Ok::<_, ()>(rows))?;
/// assert!(!batcher.is_closed());
///
/// let error = settings().capacity(10).build(|rows: Vec<String>| Ok::<_, ()>(rows)).unwrap_err();
/// assert_eq!(error.to_string(), "capacity is 10, but must be at least max_items, 500");
/// # Ok::<(), BuildError>(())
/// ```
#[must_use = "a builder does nothing before it builds"]
pub struct Builder<T, C = SystemClock> {
    max_items: usize,
    max_delay: Duration,
    max_weight: usize,
    weigh: Option<Weigh<T>>,
    capacity: Option<usize>,
    max_in_flight: usize,
    policy: Policy,
    on_full: OnFull,
    recovery: Option<Recovery<T>>,
    keys: Option<Box<dyn Keys<T>>>,
    clock: C,
}

impl<T> Builder<T> {
    pub(crate) fn new() -> Self {
        Self {
            max_items: 100,
            max_delay: Duration::from_millis(10),
            max_weight: usize::MAX,
            weigh: None,
            capacity: None,
            max_in_flight: 1,
            policy: Policy::default(),
            on_full: OnFull::default(),
            recovery: None,
            keys: None,
            clock: SystemClock,
        }
    }
}

impl<T, C> Builder<T, C> {
    /// Limits a batch to `items` items, at least 1. A batch that has so many is handed over.
    /// [`Batcher::set_max_items`] changes this in use.
    pub fn max_items(self, items: usize) -> Self {
        Self { max_items: items, ..self }
    }

    /// Hands a batch over when its first item has waited for `delay`, or, if the handler is busy
    /// then, as soon as it is free. Only [`Policy::Delay`] and [`Policy::Balanced`] use this.
    ///
    /// With zero, the items that have gathered while the handler was busy are handed over once it
    /// is free: the latency is the least, and batches are as large as the load makes them. With
    /// [`Duration::MAX`], a batch waits until it is full, or for a flush, the close or an item
    /// without room. [`Batcher::set_max_delay`] changes this in use.
    pub fn max_delay(self, delay: Duration) -> Self {
        Self { max_delay: delay, ..self }
    }

    /// Limits the weight of a batch to `weight`, in units of your choice; `weigh` returns the
    /// weight of an item.
    ///
    /// A batch is handed over when it weighs `weight`, or the next item would make it heavier than
    /// that. An item that alone is heavier comes back as
    /// [`PushError::TooHeavy`](crate::PushError::TooHeavy). `weigh` is called once for each item.
    /// `weight` must be at least 1; an item may weigh 0. [`Batcher::set_max_weight`] changes the
    /// weight in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, PushError, Wait};
    ///
    /// let lengths = |texts: Vec<&str>| Ok::<_, ()>(vec![texts.len(); texts.len()]);
    /// let (batcher, driver) =
    ///     Batcher::builder().max_weight(10, |text: &&str| text.len()).build_on_thread(lengths)?;
    /// let replies = ["12345", "1234", "12"].map(|text| batcher.try_submit(text).unwrap());
    /// assert_eq!(batcher.try_push("12345678901"), Err(PushError::TooHeavy("12345678901")));
    /// batcher.flush().wait().unwrap();
    /// assert_eq!(replies.map(|reply| reply.wait().unwrap()), [2, 2, 1]);
    /// # drop(batcher);
    /// # driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn max_weight(
        self,
        weight: usize,
        weigh: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self { max_weight: weight, weigh: Some(Box::new(weigh)), ..self }
    }

    /// Sets how many items may wait to be handed over, at least [`max_items`](Self::max_items).
    /// Where items have weights, this also limits their total weight: to `max_weight` times the
    /// number of batches that `items` items fill, rounded up.
    ///
    /// [`Batcher::set_capacity`] changes this in use.
    ///
    /// Batches in flight do not count: all in all, a batcher holds up to
    /// `capacity + max_in_flight * max_items` items.
    pub fn capacity(self, items: usize) -> Self {
        Self { capacity: Some(items), ..self }
    }

    /// Sets how many batches the handler may have at once. Default: 1.
    ///
    /// More than one helps only an asynchronous handler that waits for something. Batches start in
    /// the order of their items, and end in any order.
    pub fn max_in_flight(self, batches: usize) -> Self {
        Self { max_in_flight: batches, ..self }
    }

    /// Sets when a batch that is not full is handed over. Default: [`Policy::Delay`].
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Sets what happens to an item for which there is no room. Default: its caller waits.
    pub fn on_full(self, on_full: OnFull) -> Self {
        Self { on_full, ..self }
    }

    /// Sets that a batch for which the handler has returned an error is tried again after a pause.
    /// Default: the batch fails.
    ///
    /// The handler gets clones of the same items, in the same order; only a call that no other call
    /// can follow gets the items themselves. Put what is expensive to clone into an `Arc`. A batch
    /// is not tried again after a panic, after a wrong number of results, or if
    /// [`Handler::is_transient`] returns false for the error.
    ///
    /// A batch that waits for its next call is still in flight. So if only one batch may be in
    /// flight, later batches wait and the order holds; and a flush waits for all calls of the
    /// batch. The close ends the pauses: a batch that waits is tried once more, at once, and from
    /// then on none is tried again. So a shutdown never waits for a pause.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_batch_processor::{Batcher, Wait, Backoff};
    ///
    /// let mut calls = 0;
    /// let (batcher, driver) = Batcher::builder()
    ///     .retry(Backoff::exponential(Duration::from_millis(1), Duration::from_secs(1)).jitter(1.0).seed(42).max_attempts(5))
    ///     .build_on_thread(move |rows: Vec<String>| {
    ///         calls += 1;
    ///         if calls < 3 { Err("busy") } else { Ok(vec![calls; rows.len()]) }
    ///     })?;
    /// assert_eq!(batcher.submit("row".into()).wait().unwrap(), 3);
    /// assert_eq!((batcher.stats().batches, batcher.stats().retries), (1, 2));
    /// # drop(batcher);
    /// # driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn retry(self, backoff: Backoff) -> Self
    where
        T: Clone,
    {
        self.recovering(|recovery| recovery.retries = Some(Retries::new(backoff)))
    }

    /// Sets what happens to the items of a batch that failed and has no [retries](Self::retry)
    /// left. Default: they share the error.
    ///
    /// The items are cloned as for a retry. A batch is split even after the close, until each item
    /// has its result or its error.
    pub fn on_error(self, on_error: OnError) -> Self
    where
        T: Clone,
    {
        self.recovering(|recovery| recovery.on_error = on_error)
    }

    pub(crate) fn with_keys(self, keys: Box<dyn Keys<T>>) -> Self {
        Self { keys: Some(keys), ..self }
    }

    fn recovering(mut self, set: impl FnOnce(&mut Recovery<T>)) -> Self
    where
        T: Clone,
    {
        set(self.recovery.get_or_insert(Recovery {
            copy: copies,
            retries: None,
            on_error: OnError::Fail,
        }));
        self
    }

    /// Measures time with `clock`, for example a [`ManualClock`](crate::ManualClock) in tests.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{pin::pin, task::{Context, Waker}, time::Duration};
    /// use tidegate_batch_processor::{Batcher, ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let (batcher, mut driver) =
    ///     Batcher::builder().clock(clock.clone()).build(|items: Vec<u8>| Ok::<_, ()>(items))?;
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut driver = pin!(driver);
    ///
    /// batcher.try_push(1).unwrap();
    /// assert!(driver.as_mut().poll(&mut cx).is_pending());
    /// assert_eq!(batcher.stats().done, 0);
    /// clock.advance(Duration::from_millis(10));
    /// assert!(driver.as_mut().poll(&mut cx).is_pending());
    /// assert_eq!((batcher.stats().done, batcher.stats().by_delay), (1, 1));
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn clock<D: Timer>(self, clock: D) -> Builder<T, D> {
        let Self { max_items, max_delay, max_weight, weigh, capacity, .. } = self;
        let Self { max_in_flight, policy, on_full, recovery, keys, .. } = self;
        Builder {
            max_items,
            max_delay,
            max_weight,
            weigh,
            capacity,
            max_in_flight,
            policy,
            on_full,
            recovery,
            keys,
            clock,
        }
    }

    fn limits(&self) -> Result<Limits, BuildError> {
        let retries = self.recovery.as_ref().and_then(|recovery| recovery.retries.as_ref());
        let limits = Limits {
            max_items: self.max_items,
            max_weight: self.max_weight,
            max_delay: self.max_delay,
            max_in_flight: self.max_in_flight,
            policy: self.policy,
            keeps_weights: self.weigh.is_some() && self.on_full == OnFull::DropOldest,
            asked_capacity: self.capacity,
            capacity: 0,
            capacity_weight: 0,
        };
        let limits = limits.checked()?;
        retries.map_or(Ok(()), |retries| retries.backoff().check("retry"))?;
        Ok(limits)
    }
}

impl<T, C: Timer> Builder<T, C> {
    /// Builds a batcher that hands its batches to `process`, which returns their results.
    ///
    /// `process` must return one result for each item, in the order of the items; without results
    /// to give, it returns `vec![(); items.len()]`, which costs nothing. It runs in the driver's
    /// poll: if it blocks, give the driver a thread of its own, or use
    /// [`build_on_thread`](Self::build_on_thread).
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of its range.
    pub fn build<R, E, F>(self, process: F) -> Result<Built<T, Blocking<F>, C>, BuildError>
    where
        F: FnMut(Vec<T>) -> Result<Vec<R>, E>,
    {
        self.build_with(Blocking::new(process))
    }

    /// Builds a batcher that hands its batches to `process`, which returns a future of one result
    /// for each item, in the order of the items.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of its range.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder()
    ///     .build_async(|ids: Vec<u32>| async move { Ok::<_, ()>(ids.iter().map(|id| id + 1).collect()) })?;
    /// let thread = std::thread::spawn(|| driver.wait());
    /// assert_eq!(batcher.submit(1).wait().unwrap(), 2);
    /// # drop(batcher);
    /// # thread.join().unwrap();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn build_async<R, E, F, Fut>(self, process: F) -> Result<Built<T, Async<F>, C>, BuildError>
    where
        F: FnMut(Vec<T>) -> Fut,
        Fut: Future<Output = Result<Vec<R>, E>>,
    {
        self.build_with(Async::new(process))
    }

    /// Builds a batcher that hands its batches to `handler`.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of its range.
    pub fn build_with<H: Handler<T>>(self, handler: H) -> Result<Built<T, H, C>, BuildError> {
        let limits = self.limits()?;
        let is_single = limits.max_in_flight == 1;
        let shared = Shared::new(limits, self.keys, self.weigh, self.on_full, self.clock);
        let shared = Arc::new(shared);
        Ok((Batcher::new(shared.clone()), Driver::new(shared, handler, self.recovery, is_single)))
    }
}

#[cfg(feature = "stream")]
impl<T, C> Builder<T, C> {
    /// Returns gatherers with these settings, the index of the keys, the function that weighs
    /// items, and the clock.
    #[allow(clippy::type_complexity, reason = "four parts, each by its name")]
    pub(crate) fn into_gatherers(
        self,
    ) -> Result<(Gatherers<T, ()>, Option<Box<dyn Keys<T>>>, Option<Weigh<T>>, C), BuildError> {
        let gatherers = Gatherers::new(self.limits()?, self.keys.is_some());
        Ok((gatherers, self.keys, self.weigh, self.clock))
    }
}

impl<T, C: fmt::Debug> fmt::Debug for Builder<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_items", &self.max_items)
            .field("max_delay", &self.max_delay)
            .field("max_weight", &self.weigh.is_some().then_some(self.max_weight))
            .field("capacity", &self.capacity)
            .field("clock", &self.clock)
            .finish()
    }
}
