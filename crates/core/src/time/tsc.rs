//! The processor's time stamp counter, read through `quanta`.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::time::{Clock, SystemClock, SystemSleep, Timer, Timestamp};

/// How many sleeps may end within one poll.
const ROUNDS: u32 = 8;

/// The processor's time stamp counter, calibrated against the system's clock by [`quanta`]. Its
/// origin is when it was created.
///
/// A reading takes about half of what [`SystemClock`] takes. Use it where this difference shows in
/// a profile, and where the counter is sound:
///
/// - on x86-64 with an invariant counter and `rdtscp` (`constant_tsc nonstop_tsc` in
///   `/proc/cpuinfo`), which `quanta` looks for, and on AArch64 except iOS, where it reads the
///   system counter. Everywhere else it reads the system's monotonic clock instead;
/// - with counters that are in step on all cores, which `quanta` cannot check. Where they are not,
///   the clock may step back as a thread moves, and the patterns then treat it as standing still;
/// - on a machine that is not suspended or moved to another host meanwhile, which changes the
///   counter's rate or value.
///
/// The counter is calibrated once per process, when the first clock is created; this takes up to
/// 200 ms of a busy processor. It is not adjusted afterwards: a limiter's rate stays off by as much
/// as the calibration was.
///
/// A clone shows the same time; clocks created separately have different origins.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Clock, Timer, Wait, time::TscClock};
///
/// let clock = TscClock::new();
/// let before = clock.now();
/// clock.sleep(Duration::from_millis(2)).wait();
/// assert!(clock.now().since(before) >= Duration::from_millis(2));
/// ```
#[derive(Clone)]
pub struct TscClock {
    counter: quanta::Clock,
    origin: u64,
}

impl TscClock {
    /// Creates a clock that shows [`Timestamp::ORIGIN`] now.
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        let origin = counter.raw();
        Self { counter, origin }
    }
}

impl Default for TscClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TscClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TscClock").finish_non_exhaustive()
    }
}

impl Clock for TscClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.counter.delta_as_nanos(self.origin, self.counter.raw()))
    }
}

impl Timer for TscClock {
    type Sleep = TscSleep;

    fn sleep_until(&self, time: Timestamp) -> TscSleep {
        TscSleep { clock: self.clone(), time, sleep: None }
    }
}

/// Future of [`TscClock`]'s [`Timer::sleep_until`]. The system's clock does the waiting.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct TscSleep {
    clock: TscClock,
    time: Timestamp,
    sleep: Option<SystemSleep>,
}

impl fmt::Debug for TscSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TscSleep").field("until", &self.time).finish_non_exhaustive()
    }
}

impl Future for TscSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.time == Timestamp::NEVER {
            return Poll::Pending;
        }
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            if now >= self.time {
                self.sleep = None;
                return Poll::Ready(());
            }
            let left = self.time.since(now);
            let sleep = self.sleep.get_or_insert_with(|| SystemClock.sleep(left));
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The two clocks do not run at the same rate: another sleep follows for the rest, which
            // is short.
            self.sleep = None;
        }
        // A counter that stands still must not keep the executor's other tasks waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
