//! How an operation is timed: loops, pairs of threads, and polls by hand.

use std::{
    hint,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

/// Times `f`.
pub fn timed(f: impl FnOnce()) -> Duration {
    timed_result(f).0
}

/// Times `f`, and returns what it returns, too.
pub fn timed_result<R>(f: impl FnOnce() -> R) -> (Duration, R) {
    let start = Instant::now();
    let result = f();
    (start.elapsed(), result)
}

/// Runs `f(0)` and `f(1)` on two threads that start together, and returns the time from the first
/// start to the last end.
///
/// `f` prepares, and returns what is timed.
pub fn timed_on_two_threads<G: FnOnce()>(f: impl Fn(usize) -> G + Sync) -> Duration {
    timed_on_threads(2, f)
}

/// The same on any number of threads, of which the calling one is the first.
pub fn timed_on_threads<G: FnOnce()>(threads: usize, f: impl Fn(usize) -> G + Sync) -> Duration {
    let ready = AtomicUsize::new(0);
    let run = |index| {
        let act = f(index);
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < threads {
            // Two threads have a core each, as neither has to be woken. More may share one.
            if threads > 2 { thread::yield_now() } else { hint::spin_loop() }
        }
        let start = Instant::now();
        act();
        (start, Instant::now())
    };
    thread::scope(|scope| {
        let run = &run;
        let others: Vec<_> = (1..threads).map(|index| scope.spawn(move || run(index))).collect();
        let (mut first, mut last) = run(0);
        for other in others {
            let (start, end) = other.join().expect("a contender does not panic");
            (first, last) = (first.min(start), last.max(end));
        }
        last - first
    })
}

/// Scales the time of `done` operations to `wanted`, which not every workload can do exactly.
pub fn scaled(elapsed: Duration, done: u64, wanted: u64) -> Duration {
    elapsed.mul_f64(wanted as f64 / done as f64)
}

/// Polls with a waker that is an `Arc`, as in an executor, and does nothing when it is woken.
#[derive(Debug)]
pub struct ByHand {
    waker: Waker,
}

impl ByHand {
    /// Creates one.
    pub fn new() -> Self {
        struct Idle;
        impl Wake for Idle {
            fn wake(self: Arc<Self>) {}
            fn wake_by_ref(self: &Arc<Self>) {}
        }
        Self { waker: Arc::new(Idle).into() }
    }

    /// Polls `future` once.
    #[inline]
    pub fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker))
    }
}

impl Default for ByHand {
    fn default() -> Self {
        Self::new()
    }
}
