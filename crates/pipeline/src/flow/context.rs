//! The context of a flow, which every poll of a stage gets.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use tidegate_core::{
    Cancelled, Reason, Timestamp, future_slots::WakerCell, primitive::Arc, random::Random,
};

use crate::{
    debug::debug_by_name,
    error::{BoxError, PipelineError, catch_panic},
};

use super::{
    budget::Budget,
    guard::PanicGuard,
    item::{Item, Lineage},
    ledger::{Ledger, StageId},
    run_threads::RunThreads,
    stopped::Cause,
};

/// What the stages of a flow share. Stages use the ledger and the budget directly; the methods here
/// need several of the parts at once.
pub struct Flow<'h> {
    pub(crate) ledger: Ledger<'h>,
    pub(crate) budget: Budget,
    guard: PanicGuard,
    pub(crate) waker_cell: Arc<WakerCell>,
    /// Where stages find the run's own threads; `None` if no stage uses them.
    pub(crate) run_threads: Option<Arc<RunThreads<'h>>>,
    /// Whether the run has threads of its own.
    pub(crate) has_threads: bool,
    /// Draws the schedule of a deterministic run; `None` in any other.
    pub(crate) rng: Option<Random>,
    /// The clock that a deterministic run advances.
    #[cfg(feature = "std")]
    pub(crate) simulated: Option<tidegate_core::ManualClock>,
    pub(crate) token: Option<Pin<Box<dyn Future<Output = Reason> + Send>>>,
    clock: Box<dyn Fn() -> Option<Timestamp> + Send + 'h>,
    asleep_since: Option<Timestamp>,
    awake_since: Option<Timestamp>,
    /// How often the run was polled.
    pub(crate) polls: u64,
}

impl<'h> Flow<'h> {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Ledger::default(),
            budget: Budget::new(),
            guard: PanicGuard::default(),
            waker_cell: Arc::default(),
            run_threads: None,
            has_threads: false,
            rng: None,
            #[cfg(feature = "std")]
            simulated: None,
            token: None,
            clock: Box::new(system_time),
            asleep_since: None,
            awake_since: None,
            polls: 0,
        }
    }

    pub(crate) fn set_clock(&mut self, clock: impl Fn() -> Timestamp + Send + 'h) {
        self.clock = Box::new(move || Some(clock()));
    }

    /// Lets stages use the run's own threads. Returns what these threads share; `None` if no stage
    /// uses them.
    #[cfg(feature = "std")]
    pub(crate) fn enable_threads(&mut self) -> Option<Arc<RunThreads<'h>>> {
        self.has_threads = true;
        self.run_threads.clone()
    }

    // A poll of the run.

    /// Begins a poll. A wake-up from here on makes sure that the flow is polled again.
    pub(crate) fn begin_poll(&mut self, cx: &mut Context<'_>) {
        self.waker_cell.set(cx.waker());
        self.budget.refill();
        self.polls += 1;
        self.awake_since = self.now();
        let slept = self.awake_since.zip(self.asleep_since).map(|(now, since)| now.since(since));
        self.ledger.begin_poll(slept);
        let Some(token) = self.token.as_mut() else { return };
        if let Poll::Ready(reason) = token.as_mut().poll(cx) {
            self.token = None;
            self.ledger.stop(Cause::Cancelled(Cancelled::new(reason)));
        }
    }

    /// Ends a poll.
    pub(crate) fn end_poll(&mut self) {
        self.asleep_since = self.now();
        if self.budget.is_spent() && self.rng.is_none() {
            if let Some((now, since)) = self.asleep_since.zip(self.awake_since) {
                self.budget.adapt(now.since(since));
            }
        }
        self.ledger.publish();
    }

    /// Calls `poll`, which polls stages. If a stage's own code panics, the item that the stage
    /// works on fails; if anything else panics, the flow stops. In both cases this returns `None`,
    /// so that the caller polls again. The stages after the one that panicked had only polled that
    /// one for an item, so they lose no item.
    pub(crate) fn guarded<R>(&mut self, mut poll: impl FnMut(&mut Self) -> R) -> Option<R> {
        match catch_panic(|| poll(self)) {
            Ok(result) => Some(result),
            Err(panic) => {
                let read = self.ledger.summary().read;
                let Some((id, lineage)) = self.guard.panicked() else {
                    // A clock has panicked, or a destructor in a stage: no item is to blame, so the
                    // flow ends.
                    self.ledger.stop(Cause::Failed(PipelineError::new("flow", read, panic)));
                    return None;
                };
                if lineage.index == read {
                    // The source has panicked, which counts as an item.
                    self.ledger.count_read();
                }
                self.ledger.fail(id, lineage, panic);
                None
            }
        }
    }

    // The code of stages.

    /// Polls a source, and counts the item it returns.
    #[inline]
    pub(crate) fn read<R>(
        &mut self,
        id: StageId,
        code: impl FnOnce() -> Poll<Option<R>>,
    ) -> Poll<Option<Item<R>>> {
        let (lineage, polled) = self.work(id, Lineage::item(self.ledger.summary().read), code);
        polled.map(|item| {
            item.map(|value| {
                self.ledger.count_read();
                Item { lineage, value }
            })
        })
    }

    /// Runs a stage's own code, times it now and then, and turns a panic into an error.
    #[inline]
    pub(crate) fn call<R>(&mut self, id: StageId, code: impl FnOnce() -> R) -> Result<R, BoxError> {
        let start = self.start_sample(id);
        let result = catch_panic(code);
        self.end_sample(id, start);
        result
    }

    /// Runs a stage's own code on an item, like [`call`](Self::call), but leaves panics to
    /// [`guarded`](Self::guarded), so that not every item pays for catching them.
    #[inline]
    pub(crate) fn work<R>(
        &mut self,
        id: StageId,
        lineage: Lineage,
        code: impl FnOnce() -> R,
    ) -> (Lineage, R) {
        self.guard.enter(id, lineage);
        let start = self.start_sample(id);
        let result = code();
        self.end_sample(id, start);
        (self.guard.exit(), result)
    }

    /// Returns true at random, about once in `n` times, in a deterministic run; in any other,
    /// false.
    pub(crate) fn draws_one_in(&mut self, n: usize) -> bool {
        self.rng.as_mut().is_some_and(|rng| rng.is_one_in(n))
    }

    #[inline]
    fn now(&self) -> Option<Timestamp> {
        (self.clock)()
    }

    #[inline]
    fn start_sample(&mut self, id: StageId) -> Option<Timestamp> {
        if self.ledger.meter(id).call() { self.now() } else { None }
    }

    #[inline]
    fn end_sample(&mut self, id: StageId, start: Option<Timestamp>) {
        if let Some(start) = start {
            self.sample(id, start);
        }
    }

    #[cold]
    fn sample(&mut self, id: StageId, start: Timestamp) {
        if let Some(now) = self.now() {
            self.ledger.meter(id).sample(now.since(start));
        }
    }
}

debug_by_name!(Flow<'h>);

/// Returns the time by the system's clock; `None` without std.
#[cfg(feature = "std")]
pub(crate) fn system_time() -> Option<Timestamp> {
    Some(tidegate_core::Clock::now(&tidegate_core::SystemClock))
}

#[cfg(not(feature = "std"))]
pub(crate) fn system_time() -> Option<Timestamp> {
    None
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use super::*;

    /// Polls a flow of which at most `most` items can move, in no time. Returns how many have.
    fn moved(flow: &mut Flow<'_>, most: usize) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        flow.begin_poll(&mut cx);
        let items = (0..most).take_while(|_| flow.budget.spend(&mut cx)).count();
        flow.end_poll();
        items
    }

    /// A random schedule must be the same however long its polls take.
    #[test]
    fn only_a_poll_that_spends_its_budget_adapts_it_unless_the_schedule_is_random() {
        let mut flow = Flow::new();
        flow.set_clock(Timestamp::default);
        assert_eq!([10_000, 1, 10_000].map(|most| moved(&mut flow, most)), [256, 1, 512]);
        flow.rng = Some(Random::new(7));
        assert_eq!([10_000, 10_000].map(|most| moved(&mut flow, most)), [1024, 1024]);
    }
}
