//! The wait queue of one limiter or key.

use core::time::Duration;

#[cfg(feature = "std")]
use alloc::boxed::Box;

#[cfg(feature = "std")]
use tidegate_core::primitive::OnceLock;
use tidegate_core::{
    Event, Timestamp, Turnstile, const_fn,
    primitive::atomic::{AtomicU64, Ordering},
};

/// The waiters, in order, and the sleepers beside them.
///
/// Waiters are the futures of `acquire`. Sleepers are throttled readers and writers: they take no
/// turn in the queue, as they may never be polled again.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    /// The waiter that holds the turnstile's turn is the head.
    pub(crate) turnstile: Turnstile,
    /// Tells the head of refunds and of new quotas.
    pub(crate) head: Event,
    /// Tells the sleepers the same.
    pub(crate) sleepers: Event,
    /// When the last sleeper wakes, in nanoseconds.
    last_wake: AtomicU64,
}

/// How many sleepers wake one after the other. The next one wakes as soon as a token is available,
/// as the first one did.
const MAX_STAGGERED: u32 = 1024;

impl WaitQueue {
    const_fn! {
        fn new() -> Self {
            Self {
                turnstile: Turnstile::new(),
                head: Event::new(),
                sleepers: Event::new(),
                last_wake: AtomicU64::new(0),
            }
        }
    }

    /// Wakes the head and all sleepers.
    pub(crate) fn notify_all(&self) {
        self.head.notify(1);
        self.sleepers.notify_all();
    }

    /// Wakes the head and one sleeper.
    pub(crate) fn notify_two(&self) {
        self.head.notify(1);
        self.sleepers.notify(1);
    }

    /// Returns when to wake a sleeper whose token is available at `earliest`: `spacing` after the
    /// sleeper before it, or at `earliest` if there is none. A sleeper whose time has passed delays
    /// no other.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "stream", feature = "tokio-io")),
        allow(dead_code, reason = "without these features no caller sleeps beside the queue")
    )]
    pub(crate) fn stagger(&self, earliest: Timestamp, spacing: Duration) -> Timestamp {
        if earliest == Timestamp::NEVER {
            return earliest;
        }
        let due = |last: u64| {
            let last = Timestamp::from_nanos(last);
            let is_behind = last >= earliest && last.since(earliest) < spacing * MAX_STAGGERED;
            if is_behind { last + spacing } else { earliest }
        };
        let next = |last| Some(due(last).as_nanos());
        // ORDERING: Relaxed: only the number counts, and that it differs from call to call.
        let last = self.last_wake.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map_or(earliest, due)
    }
}

/// Most keys of a keyed limiter are never waited for, so the first waiter allocates the queue.
#[cfg(feature = "std")]
#[derive(Debug)]
pub(crate) struct LazyWaitQueue {
    wait_queue: OnceLock<Box<WaitQueue>>,
}

#[cfg(feature = "std")]
impl LazyWaitQueue {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { wait_queue: OnceLock::new() }
        }
    }

    /// Returns the queue; `None` if no caller has waited yet.
    pub(crate) fn get(&self) -> Option<&WaitQueue> {
        self.wait_queue.get().map(|wait_queue| &**wait_queue)
    }

    pub(crate) fn get_or_make(&self) -> &WaitQueue {
        self.wait_queue.get_or_init(|| Box::new(WaitQueue::new()))
    }
}

/// Without std there is no `OnceLock`, so the queue is there from the start.
#[cfg(not(feature = "std"))]
#[derive(Debug)]
pub(crate) struct LazyWaitQueue {
    wait_queue: WaitQueue,
}

#[cfg(not(feature = "std"))]
impl LazyWaitQueue {
    pub(crate) const fn new() -> Self {
        Self { wait_queue: WaitQueue::new() }
    }

    #[allow(clippy::unnecessary_wraps, reason = "the allocated one may be missing")]
    pub(crate) const fn get(&self) -> Option<&WaitQueue> {
        Some(&self.wait_queue)
    }

    pub(crate) const fn get_or_make(&self) -> &WaitQueue {
        &self.wait_queue
    }
}
