//! What the stages of one flow share: its books, its clock, its end.

use core::{
    fmt,
    future::Future,
    mem,
    ops::RangeInclusive,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{
    CancelToken, Cancelled, Reason, Timestamp,
    future_slots::WakerCell,
    primitive::{Arc, atomic::AtomicU64},
    random::Random,
};

use crate::{
    error::{BoxError, PipelineError},
    item::{Item, ItemOutcome, Lineage},
    meter::Meter,
    on_error::OnError,
    run_threads::RunThreads,
    stage::Stage,
    stats::{Monitor, Summary},
    stopped::{AfterStop, Cause, Stopped},
};

/// How many items one poll moves before it lets the executor's other tasks run: so many at first, then as many as fit into
/// [`A_POLL`].
const BUDGET: usize = 256;
const BUDGETS: RangeInclusive<usize> = 32..=4096;
const A_POLL: Duration = Duration::from_micros(100);

/// Which stage of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageId(usize);

impl StageId {
    /// Returns it and those added after it, up to `last`.
    pub(crate) fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

/// The shared side of a flow. Every poll of a stage gets it.
pub struct Flow<'h> {
    pub(crate) waker_cell: Arc<WakerCell>,
    pub(crate) monitor: Monitor,
    pub(crate) after_stop: AfterStop,
    /// Where stages call the run's own threads; `None` if there is no such stage.
    pub(crate) run_threads: Option<Arc<RunThreads<'h>>>,
    /// How many items may be in the flow.
    pub(crate) max_in_flight: u64,
    /// Whether the source was refused because they are.
    is_full: bool,
    /// How often it was found full, after it was not.
    times_full: u64,
    /// Decides, in a deterministic run.
    pub(crate) rng: Option<Random>,
    /// The clock that such a run turns.
    #[cfg(feature = "std")]
    pub(crate) simulated: Option<tidegate_core::ManualClock>,
    /// Whether the run_threads has threads.
    pub(crate) has_threads: bool,
    stages: Vec<Entry<'h>>,
    summary: Summary,
    /// Why the flow stops, once it does.
    cause: Option<Cause>,
    token: Option<Pin<Box<dyn Future<Output = Reason> + Send>>>,
    clock: Option<Box<dyn Fn() -> Timestamp + Send + 'h>>,
    asleep_since: Option<Timestamp>,
    /// What is left of this poll's budget, and how large it was.
    budget: usize,
    full_budget: usize,
    awake_since: Option<Timestamp>,
    /// Whose code is at work, and the lineage of what it works on, so that its panic is the right item's error.
    at: Option<StageId>,
    in_hand: Lineage,
    /// Counts the polls.
    poll_count: u64,
}

struct Entry<'h> {
    meter: Meter,
    on_error: OnError<'h>,
}

impl<'h> Flow<'h> {
    pub(crate) fn new() -> Self {
        Self {
            waker_cell: Arc::default(),
            monitor: Monitor::default(),
            after_stop: AfterStop::Drain,
            run_threads: None,
            max_in_flight: u64::MAX,
            is_full: false,
            times_full: 0,
            rng: None,
            #[cfg(feature = "std")]
            simulated: None,
            has_threads: false,
            stages: Vec::new(),
            summary: Summary::default(),
            cause: None,
            token: None,
            clock: None,
            asleep_since: None,
            budget: 0,
            full_budget: BUDGET,
            awake_since: None,
            at: None,
            in_hand: Lineage::item(0),
            poll_count: 0,
        }
    }

    // Building.

    pub(crate) fn add_stage(&mut self, name: &'static str, width: usize) -> StageId {
        self.stages.push(Entry { meter: Meter::new(name, width), on_error: OnError::Stop });
        self.publish();
        StageId(self.stages.len() - 1)
    }

    /// Sets what the stage added last does about errors.
    pub(crate) fn set_on_error(&mut self, on_error: OnError<'h>) {
        if let Some(last) = self.stages.last_mut() {
            last.on_error = on_error;
        }
    }

    /// Has the stages that call the run's own threads do so; returns what those have to do, if there is such a stage.
    #[cfg(feature = "std")]
    pub(crate) fn enable_threads(&mut self) -> Option<Arc<RunThreads<'h>>> {
        self.has_threads = true;
        self.run_threads.clone()
    }

    pub(crate) fn set_token(&mut self, token: CancelToken) {
        self.token = Some(Box::pin(async move { token.cancelled().await }));
    }

    pub(crate) fn set_clock(&mut self, clock: impl Fn() -> Timestamp + Send + 'h) {
        self.clock = Some(Box::new(clock));
    }

    /// Returns where the repeated attempts of a stage are counted.
    pub(crate) fn retries(&mut self, id: StageId) -> Arc<AtomicU64> {
        self.meter(id).retries()
    }

    // Each poll of the run.

    /// Begins a poll: from here on a ring of the waker_cell is heard.
    pub(crate) fn enter(&mut self, cx: &mut Context<'_>) {
        self.waker_cell.set(cx.waker());
        self.budget = self.full_budget;
        self.is_full = false;
        self.poll_count += 1;
        self.awake_since = self.clock.as_ref().map(|clock| clock());
        if let (Some(now), Some(since)) = (self.awake_since, self.asleep_since) {
            let slept = now.since(since);
            self.stages.iter_mut().for_each(|entry| entry.meter.slept(slept));
        }
        // Until it asks in vain.
        self.stages.iter_mut().for_each(|entry| entry.meter.is_blocked = true);
        let Some(token) = self.token.as_mut() else { return };
        if let Poll::Ready(reason) = token.as_mut().poll(cx) {
            self.token = None;
            self.cause.get_or_insert(Cause::Cancelled(Cancelled::new(reason)));
        }
    }

    /// Ends a poll.
    pub(crate) fn leave(&mut self) {
        self.asleep_since = self.clock.as_ref().map(|clock| clock());
        let is_spent = self.is_spent() && self.rng.is_none();
        if let (Some(now), Some(since), true) = (self.asleep_since, self.awake_since, is_spent) {
            let fits = now.since(since) < A_POLL;
            let budget = if fits { self.full_budget * 2 } else { self.full_budget / 2 };
            self.full_budget = budget.clamp(*BUDGETS.start(), *BUDGETS.end());
        }
        self.publish();
    }

    /// Ends the run.
    pub(crate) fn finish(&mut self) -> Result<Summary, Stopped> {
        self.stages.iter_mut().for_each(|entry| entry.meter.stats.in_flight = 0);
        self.publish();
        match self.cause.take() {
            None => Ok(self.summary),
            Some(cause) => Err(Stopped::new(cause, self.summary)),
        }
    }

    /// Returns what has become of the items so far.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    fn publish(&self) {
        self.monitor.publish(self.summary, self.stages.iter().map(|entry| entry.meter.stats()));
    }

    /// Returns whether the source is to be read no more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.cause.is_some()
    }

    /// Returns whether what is in flight is not wanted any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_stopping() && self.after_stop == AfterStop::Abandon
    }

    // For the stages.

    #[inline]
    pub(crate) fn meter(&mut self, id: StageId) -> &mut Meter {
        &mut self.stages[id.0].meter
    }

    /// Takes one item's worth from this poll's budget. Where nothing is left the answer is false, and the flow is
    /// polled again soon.
    #[inline]
    pub(crate) fn spend(&mut self, cx: &mut Context<'_>) -> bool {
        if self.budget == 0 {
            cx.waker().wake_by_ref();
            return false;
        }
        self.budget -= 1;
        true
    }

    /// Returns whether the budget is used up: the flow is polled again soon.
    pub(crate) fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// Returns which poll of the run this is.
    pub(crate) fn poll_count(&self) -> u64 {
        self.poll_count
    }

    /// Returns whether one more item may enter the flow. The answer no is remembered for this poll.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        let is_full = self.summary.leftover() >= self.max_in_flight;
        self.times_full += u64::from(is_full && !self.is_full);
        self.is_full = is_full;
        !is_full
    }

    /// Returns whether nothing was read because the flow is full. Whoever gathers items is not to wait for more then.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Counts how often the flow was found full. Who was asked before that has not heeded it.
    pub(crate) fn times_full(&self) -> u64 {
        self.times_full
    }

    /// Returns true once in `n` times, at random, in a deterministic run.
    pub(crate) fn draws_one_in(&mut self, n: usize) -> bool {
        self.rng.as_mut().is_some_and(|rng| rng.is_one_in(n))
    }

    /// Polls a source, and enters the item that it gives.
    #[inline]
    pub(crate) fn read<R>(
        &mut self,
        id: StageId,
        code: impl FnOnce() -> Poll<Option<R>>,
    ) -> Poll<Option<Item<R>>> {
        let (lineage, polled) = self.work(id, Lineage::item(self.summary.read), code);
        polled.map(|item| {
            item.map(|value| {
                self.summary.read += 1;
                Item { lineage, value }
            })
        })
    }

    /// Enters that `id` was asked for an item and got none from those before it.
    pub(crate) fn starved(&mut self, id: StageId) {
        self.meter(id).is_blocked = false;
    }

    /// Asks the stages before `id` for an item on its behalf.
    #[inline]
    pub(crate) fn pull<S: Stage>(
        &mut self,
        id: StageId,
        upstream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Item<S::Item>>> {
        let polled = upstream.poll_next(cx, self);
        match &polled {
            Poll::Ready(Some(_)) => self.meter(id).stats.received += 1,
            Poll::Ready(None) | Poll::Pending => self.starved(id),
        }
        polled
    }

    /// Counts an item that `id` gives to the next stage.
    #[inline]
    pub(crate) fn count_emitted(&mut self, id: StageId) {
        self.meter(id).stats.emitted += 1;
    }

    /// Enters an item that `id` gives to the next stage.
    #[inline]
    pub(crate) fn emit<T>(
        &mut self,
        id: StageId,
        lineage: Lineage,
        value: T,
    ) -> Poll<Option<Item<T>>> {
        self.count_emitted(id);
        Poll::Ready(Some(Item { lineage, value }))
    }

    /// Runs a stage's own code: times it now and then, and makes a panic an error.
    #[inline]
    pub(crate) fn call<R>(&mut self, id: StageId, code: impl FnOnce() -> R) -> Result<R, BoxError> {
        let start = self.begin(id);
        let result = catch_panic(code);
        self.end(id, start);
        result
    }

    /// Runs a stage's own code on an item, like [`call`](Self::call). But its panic is left to
    /// [`guarded`](Self::guarded), so that an item need not pay for it.
    #[inline]
    pub(crate) fn work<R>(
        &mut self,
        id: StageId,
        lineage: Lineage,
        code: impl FnOnce() -> R,
    ) -> (Lineage, R) {
        self.at = Some(id);
        // What is replaced here owns nothing, and to forget it is to know that.
        mem::forget(mem::replace(&mut self.in_hand, lineage));
        let start = self.begin(id);
        let result = code();
        self.end(id, start);
        self.at = None;
        (mem::replace(&mut self.in_hand, Lineage::item(0)), result)
    }

    #[inline]
    fn begin(&mut self, id: StageId) -> Option<Timestamp> {
        if self.meter(id).call() { self.clock.as_ref().map(|clock| clock()) } else { None }
    }

    #[inline]
    fn end(&mut self, id: StageId, start: Option<Timestamp>) {
        if let Some(start) = start {
            self.sample(id, start);
        }
    }

    #[cold]
    fn sample(&mut self, id: StageId, start: Timestamp) {
        if let Some(clock) = &self.clock {
            let time = clock().since(start);
            self.meter(id).sample(time);
        }
    }

    /// Polls stages. A panic of one's own code fails the item in its hands, and the answer is `None`: they can be polled
    /// on. The stages after it have only asked for an item then, and lose nothing.
    pub(crate) fn guarded<R>(&mut self, mut poll: impl FnMut(&mut Self) -> R) -> Option<R> {
        match catch_panic(|| poll(self)) {
            Ok(result) => Some(result),
            Err(panic) => {
                let Some(id) = self.at.take() else {
                    // What a stage drops, or a clock, is no item's: the flow ends with it.
                    let error = PipelineError::new("flow", self.summary.read, panic);
                    self.stop(Cause::Failed(error));
                    return None;
                };
                let lineage = mem::replace(&mut self.in_hand, Lineage::item(0));
                // A panic of the source is the item that it was to give.
                self.summary.read += u64::from(lineage.index == self.summary.read);
                self.fail(id, lineage, panic);
                None
            }
        }
    }

    /// Enters the outcome of the items a lineage stands for.
    #[inline]
    pub(crate) fn settle(&mut self, lineage: Lineage, outcome: ItemOutcome) {
        lineage.settle(outcome, &mut self.summary);
    }

    /// Enters an item that `id` leaves out on purpose.
    pub(crate) fn skip(&mut self, id: StageId, lineage: Lineage) {
        self.meter(id).skipped += 1;
        self.settle(lineage, ItemOutcome::Skipped);
    }

    /// Enters an item that `id` failed on, and does what is to be done about it.
    #[cold]
    pub(crate) fn fail(&mut self, id: StageId, lineage: Lineage, cause: BoxError) {
        let Entry { meter, on_error } = &mut self.stages[id.0];
        meter.stats.failed += 1;
        let stage = meter.stats.name;
        let index = lineage.index;
        let error = PipelineError::new(stage, index, cause);
        let (outcome, stop) = match on_error {
            OnError::Stop => (ItemOutcome::Failed, Some(error)),
            OnError::Skip => {
                contain(|| drop(error));
                (ItemOutcome::Skipped, None)
            }
            OnError::Divert(handler) => {
                let panic = catch_panic(|| handler(error)).err();
                (ItemOutcome::Failed, panic.map(|panic| PipelineError::new(stage, index, panic)))
            }
        };
        self.settle(lineage, outcome);
        if let Some(error) = stop {
            self.stop(Cause::Failed(error));
        }
    }

    /// Notes why the flow stops, unless it does already.
    #[cold]
    fn stop(&mut self, cause: Cause) {
        match self.cause {
            None => self.cause = Some(cause),
            Some(_) => contain(|| drop(cause)),
        }
    }
}

impl fmt::Debug for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// The system's time, by which chunks of work are measured; `None` where there is no such clock.
#[cfg(feature = "std")]
pub(crate) fn now() -> Option<Timestamp> {
    use tidegate_core::Clock;
    Some(tidegate_core::SystemClock.now())
}

#[cfg(not(feature = "std"))]
pub(crate) fn now() -> Option<Timestamp> {
    None
}

pub(crate) use tidegate_core::unwind::{Contained, DropEach, Foreign, contain, drop_each};

/// Runs foreign code, and makes a panic an error.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn catch_panic<R>(code: impl FnOnce() -> R) -> Result<R, BoxError> {
    // What a stage leaves half done is its own: the flow drops the item and, by default, stops.
    tidegate_core::unwind::catch(code).map_err(|payload| {
        let error = crate::error::Panicked::new(&*payload).into();
        tidegate_core::unwind::bury(payload);
        error
    })
}

#[cfg(not(feature = "std"))]
#[expect(clippy::unnecessary_wraps, reason = "with std it fails")]
pub(crate) fn catch_panic<R>(code: impl FnOnce() -> R) -> Result<R, BoxError> {
    Ok(code())
}
