//! A flow whose schedule is drawn at random.

use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use alloc::vec::Vec;

use tidegate_core::{
    ManualClock, Wait,
    primitive::{
        Arc, OnWake, Wakeable,
        atomic::{AtomicBool, Ordering},
    },
    random::Random,
};

use crate::{
    flow::{Stage, Stopped, Summary},
    pipeline::Pipeline,
};

use super::future::{Collect, Run};

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Runs the flow on this thread alone, and draws a schedule at random. The same seed gives the
    /// same run; another seed usually gives another run. This is for tests that search for an order
    /// in which something breaks, and then replay it.
    ///
    /// The seed decides which woken futures are polled first; when a chunk is worked on, and how
    /// many items are in it; and which side of a [`merge`](Self::merge) or [`split`](Self::split)
    /// is polled first. Work for a pool or [`Threads`](crate::Threads) is done on this thread, too.
    /// The seed does not decide what other threads and the system's clock do;
    /// [`simulated`](Self::simulated) replaces the clock.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if an error or the token stopped the flow.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Threads};
    ///
    /// let four = NonZeroUsize::new(4).unwrap();
    /// let order = |seed| {
    ///     let flow = Pipeline::from_iter(0..20).map_on(Threads, "pass", four, |n| n);
    ///     flow.unordered().collect().run_deterministic(seed).unwrap()
    /// };
    /// assert_eq!(order(7), order(7));
    /// assert!((0..10).any(|seed| order(seed) != order(7)));
    /// ```
    pub fn run_deterministic(self, seed: u64) -> Result<Summary, Stopped> {
        self.run().run_deterministic(seed)
    }

    /// Makes `clock` the timer of the stages added from here on, like [`timer`](Self::timer), and
    /// lets [`run_deterministic`](Self::run_deterministic) advance it to the next due time of a
    /// sleep whenever nothing else can be done.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{Clock, ManualClock, Pipeline, Timer};
    ///
    /// let clock = ManualClock::new();
    /// let flow = Pipeline::from_iter([3, 1, 2])
    ///     .simulated(&clock)
    ///     .map_async("nap", NonZeroUsize::new(3).unwrap(), |hours| {
    ///         let nap = clock.sleep(Duration::from_secs(3600 * hours));
    ///         async move { (nap.await, hours).1 }
    ///     })
    ///     .unordered();
    /// assert_eq!(flow.collect().run_deterministic(1).unwrap(), [1, 2, 3]);
    /// assert_eq!(clock.now().as_nanos(), 3 * 3600 * 1_000_000_000);
    /// ```
    pub fn simulated(self, clock: &ManualClock) -> Pipeline<'h, S, ManualClock> {
        let mut flow = self.timer(clock.clone());
        flow.flow.simulated = Some(clock.clone());
        flow
    }
}

impl<S: Stage> Run<'_, S> {
    /// Runs the flow to its end on a random schedule: see [`Pipeline::run_deterministic`].
    ///
    /// # Errors
    ///
    /// [`Stopped`] if an error or the token stopped the flow.
    pub fn run_deterministic(mut self, seed: u64) -> Result<Summary, Stopped> {
        self.engine.flow.rng = Some(Random::new(seed));
        let clock = self.engine.flow.simulated.clone();
        simulate(self, clock)
    }
}

impl<S: Stage> Collect<'_, S> {
    /// Runs the flow to its end on a random schedule: see [`Pipeline::run_deterministic`].
    ///
    /// # Errors
    ///
    /// [`Stopped`] if an error or the token stopped the flow.
    pub fn run_deterministic(mut self, seed: u64) -> Result<Vec<S::Item>, Stopped> {
        self.engine.flow.rng = Some(Random::new(seed));
        let clock = self.engine.flow.simulated.clone();
        simulate(self, clock)
    }
}

/// Drives a run, and advances the clock when nothing else can be done.
fn simulate<F: Future>(run: F, clock: Option<ManualClock>) -> F::Output {
    let Some(clock) = clock else { return run.wait() };
    let mut run = pin!(run);
    poll_fn(|cx| {
        let relay = Arc::new(Wakeable(WakeRelay {
            woken: AtomicBool::new(false),
            waker: cx.waker().clone(),
        }));
        let waker = Waker::from(relay.clone());
        loop {
            // ORDERING: Relaxed: wakes by other threads are passed on; only this thread's own wakes
            // must be seen here.
            relay.0.woken.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = run.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            if !relay.0.woken.load(Ordering::Relaxed) {
                let Some(due) = clock.next_due() else { return Poll::Pending };
                clock.advance_to(due);
            }
        }
    })
    .wait()
}

/// Notes wakes, and passes them on.
struct WakeRelay {
    woken: AtomicBool,
    waker: Waker,
}

impl OnWake for WakeRelay {
    fn on_wake(&self) {
        self.woken.store(true, Ordering::Relaxed);
        self.waker.wake_by_ref();
    }
}
