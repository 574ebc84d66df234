//! The clock and the timers of a tokio runtime.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep},
};

use crate::time::{Clock, Timer, Timestamp};

/// The clock of a tokio runtime, whose timers end the sleeps. Its origin is when it was created.
///
/// Use it in a program that runs on tokio and wants no helper thread beside it, and in tests that
/// pause tokio's clock. What is built with this clock follows `tokio::time::pause` and `advance`.
/// Do not use it for sleeps below a millisecond: tokio ends a sleep up to 1 ms late.
///
/// A sleep registers with the runtime of its clock, so tasks of other executors and threads in
/// [`Wait::wait`](crate::Wait::wait) can wait for it, too, while that runtime runs. A
/// `current_thread` runtime runs only inside of its `block_on`: else its sleeps do not end.
///
/// A reading is one of `tokio::time::Instant::now`. With tokio's feature `test-util` and a paused
/// clock, that shows the runtime's time inside of the runtime, and the system's on other threads,
/// unless they have entered the runtime with `Handle::enter`.
///
/// A clone shows the same time; clocks created separately have different origins.
///
/// # Panics
///
/// Polling a sleep panics if the runtime was built without `enable_time`, or has shut down.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Clock, Timer, Wait, time::TokioClock};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// runtime.block_on(async {
///     let clock = TokioClock::current();
///     let before = clock.now();
///     clock.sleep(Duration::from_millis(2)).await;
///     assert!(clock.now().since(before) >= Duration::from_millis(2));
///     let late = core::future::pending::<()>().or_timeout(&clock, Duration::from_millis(2));
///     assert!(late.await.is_err());
/// });
/// ```
#[derive(Clone)]
pub struct TokioClock {
    runtime: Handle,
    origin: Instant,
}

impl TokioClock {
    /// Creates a clock of the runtime behind the handle. It shows [`Timestamp::ORIGIN`] now.
    pub fn new(runtime: Handle) -> Self {
        let origin = {
            let _inside = runtime.enter();
            Instant::now()
        };
        Self { runtime, origin }
    }

    /// Creates a clock of the runtime in which the caller runs.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    #[track_caller]
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// Returns the instant of a timestamp; `None` if that does not come, or is too late for an
    /// `Instant`.
    fn instant_of(&self, time: Timestamp) -> Option<Instant> {
        if time == Timestamp::NEVER {
            return None;
        }
        self.origin.checked_add(time.since(Timestamp::ORIGIN))
    }
}

impl fmt::Debug for TokioClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioClock").finish_non_exhaustive()
    }
}

impl Clock for TokioClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::ORIGIN + Instant::now().saturating_duration_since(self.origin)
    }
}

impl Timer for TokioClock {
    type Sleep = TokioSleep;

    fn sleep_until(&self, time: Timestamp) -> TokioSleep {
        TokioSleep { clock: self.clone(), time, sleep: None }
    }
}

pin_project! {
    /// Future of [`TokioClock`]'s [`Timer::sleep_until`].
    ///
    /// # Panics
    ///
    /// Polling panics if the clock's runtime was built without `enable_time`, or has shut down.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct TokioSleep {
        clock: TokioClock,
        time: Timestamp,
        // `None` until the first poll that has to wait.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Future for TokioSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.is_none() {
            if this.clock.now() >= *this.time {
                return Poll::Ready(());
            }
            let Some(deadline) = this.clock.instant_of(*this.time) else { return Poll::Pending };
            let _inside = this.clock.runtime.enter();
            this.sleep.set(Some(tokio::time::sleep_until(deadline)));
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for TokioSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioSleep").field("until", &self.time).finish_non_exhaustive()
    }
}
