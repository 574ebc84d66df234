//! The builder of a flow.

use core::{fmt, num::NonZeroUsize};

use alloc::boxed::Box;

use tidegate_core::{CancelToken, SystemClock, Timer};

use crate::flow::{AfterStop, Flow, Monitor, OnError, Stage, StageId};

/// A flow of items through stages, to be run once.
///
/// It begins with a source ([`from_iter`](Pipeline::from_iter),
/// [`from_stream`](Pipeline::from_stream), [`from_queue`](Pipeline::from_queue)), goes on with
/// stages, each with a name, and ends with [`for_each`](Self::for_each),
/// [`collect`](Self::collect), [`run`](Self::run) or [`into_stream`](Self::into_stream). Nothing
/// happens before the future or stream that these return is polled, and no task is spawned: the
/// whole flow is one future.
///
/// `'h` is the lifetime of all that is borrowed by the closures of [`on_error`](Self::on_error), by
/// the timer and by the work on [`Threads`](crate::Threads). `S` is the type of the stages, and `T`
/// that of the timer for the stages added next.
///
/// # Clones
///
/// A flow and its run are not `Clone`. A [`Monitor`](crate::Monitor) is, and its clones show the
/// same flow.
///
/// # Cancel safety
///
/// Dropping the run drops the items in it. To bring them to the end instead, cancel a token given
/// to [`stop_on`](Self::stop_on) and drive the run on.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_pipeline::{Pipeline, Wait};
///
/// const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();
///
/// async fn fetch(url: &str) -> Result<String, std::io::Error> {
///     Ok(format!("<{url}>"))
/// }
///
/// let mut pages = String::new();
/// let summary = Pipeline::from_iter(["a", "b", "c"])
///     .try_map_async("fetch", FOUR, fetch)
///     .for_each(|page| pages.push_str(&page))
///     .wait()?;
/// assert_eq!((summary.read, summary.succeeded), (3, 3));
/// assert_eq!(pages, "<a><b><c>");
/// # Ok::<(), tidegate_pipeline::Stopped>(())
/// ```
#[must_use = "a flow does nothing until its run is awaited or waited for"]
pub struct Pipeline<'h, S, T = SystemClock> {
    pub(crate) stages: S,
    pub(crate) flow: Flow<'h>,
    pub(crate) timer: T,
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds the stage that `make` makes of the stages so far.
    pub(crate) fn then<N: Stage>(
        mut self,
        name: &'static str,
        capacity: usize,
        make: impl FnOnce(S, StageId) -> N,
    ) -> Pipeline<'h, N, T> {
        let id = self.flow.ledger.add_stage(name, capacity);
        Pipeline { stages: make(self.stages, id), flow: self.flow, timer: self.timer }
    }

    /// Sets what the stage added last does about items it fails on. The default is to stop the
    /// flow.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{OnError, Pipeline, Wait};
    ///
    /// let numbers = Pipeline::from_iter(["1", "two", "3"])
    ///     .try_map("parse", str::parse::<u32>)
    ///     .on_error(OnError::Skip);
    /// assert_eq!(numbers.run().wait().unwrap().skipped, 1);
    /// ```
    pub fn on_error(mut self, on_error: OnError<'h>) -> Self {
        self.flow.ledger.set_on_error(on_error);
        self
    }

    /// Stops the flow when `token` is cancelled: nothing more is read, and
    /// [`after_stop`](Self::after_stop) says what becomes of the items in the flow. The flow checks
    /// the token at the beginning of each poll, so a poll that has begun reads on to its end. A
    /// second call replaces the token.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{CancelToken, Pipeline, Wait};
    ///
    /// let token = CancelToken::new();
    /// let run = Pipeline::from_iter(0..).stop_on(&token).for_each(|n| {
    ///     if n == 99 {
    ///         token.cancel_because("enough");
    ///     }
    /// });
    /// let stopped = run.wait().unwrap_err();
    /// assert_eq!(stopped.to_string(), "pipeline cancelled: enough");
    /// assert_eq!(stopped.summary().leftover(), 0);
    /// ```
    pub fn stop_on(mut self, token: &CancelToken) -> Self {
        let token = token.clone();
        self.flow.token = Some(Box::pin(async move { token.cancelled().await }));
        self
    }

    /// Sets what becomes of the items in the flow when an error or the token stops it. The default
    /// is to bring them to the end.
    pub fn after_stop(mut self, after_stop: AfterStop) -> Self {
        self.flow.ledger.after_stop = after_stop;
        self
    }

    /// Bounds how many items of the source may be in the flow, whatever the windows of its stages
    /// add up to. By default there is no such bound.
    ///
    /// An item is in the flow until the last of the items that stages have made of it has left.
    /// When the bound is reached, a [`batch`](Self::batch) waits for no more items.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::pending, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let flow = Pipeline::from_iter(0..100)
    ///     .max_in_flight(NonZeroUsize::new(3).unwrap())
    ///     .map_async("hang", NonZeroUsize::MAX, |_| pending::<()>());
    /// let monitor = flow.monitor();
    /// assert!(flow.run().wait_timeout(core::time::Duration::from_millis(1)).is_err());
    /// assert_eq!(monitor.stats().summary.leftover(), 3);
    /// ```
    pub fn max_in_flight(mut self, n: NonZeroUsize) -> Self {
        self.flow.ledger.max_in_flight = Some(n.get() as u64);
        self
    }

    /// Sets the timer of the stages *added from here on*, and the clock of the
    /// [`monitor`](Self::monitor).
    ///
    /// The default is the [`SystemClock`], which needs the feature `std`. Without `std`, set a
    /// timer before adding a stage that takes a duration; with no clock at all, the monitor shows
    /// counts and no times.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{ManualClock, Pipeline, Wait};
    ///
    /// let flow = Pipeline::from_iter(0..3)
    ///     .timer(ManualClock::new())
    ///     .batch("pair", NonZeroUsize::new(2).unwrap(), Duration::from_secs(1));
    /// assert_eq!(flow.collect().wait().unwrap(), [vec![0, 1], vec![2]]);
    /// ```
    pub fn timer<N: Timer + Clone + Send + 'h>(mut self, timer: N) -> Pipeline<'h, S, N> {
        let clock = timer.clone();
        self.flow.set_clock(move || clock.now());
        Pipeline { stages: self.stages, flow: self.flow, timer }
    }

    /// Hides the stages behind a type that has a name, so that a variable can hold the flow while a
    /// loop adds stages.
    ///
    /// It costs a virtual call for each item.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let mut flow = Pipeline::from_iter([1, 10]).boxed();
    /// for addend in [1, 2, 3] {
    ///     flow = flow.map("add", move |n| n + addend).boxed();
    /// }
    /// assert_eq!(flow.collect().wait().unwrap(), [7, 16]);
    /// ```
    pub fn boxed<'s>(self) -> Pipeline<'h, Box<dyn Stage<Item = S::Item> + Send + 's>, T>
    where
        S: Send + 's,
    {
        Pipeline { stages: Box::new(self.stages), flow: self.flow, timer: self.timer }
    }

    /// Returns a view of the flow's statistics for other tasks and threads.
    pub fn monitor(&self) -> Monitor {
        self.flow.ledger.monitor.clone()
    }
}

impl<S, T> fmt::Debug for Pipeline<'_, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("monitor", &self.flow.ledger.monitor)
            .finish_non_exhaustive()
    }
}
