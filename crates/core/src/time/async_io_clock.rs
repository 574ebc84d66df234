//! The system's clock with the timers of async-io.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::time::{Clock, SystemClock, Timer, Timestamp, system::instant_of};

/// The system's monotonic clock, with sleeps that the reactor of async-io ends: that of smol, of
/// async-std, and of every program that uses async-io for sockets anyway.
///
/// It shows the same time as [`SystemClock`], with the same origin: timestamps of the two may be
/// compared. Use it instead of `SystemClock` if one reactor is to wait for sockets and sleeps,
/// without a helper thread of this crate beside it.
///
/// A sleep may be waited for anywhere: in async-io's own executors, in others, and on threads in
/// [`Wait::wait`](crate::Wait::wait). Where no caller drives the reactor, async-io's own thread
/// does, which the first sleep starts.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Clock, Timer, time::AsyncIoClock};
///
/// async_io::block_on(async {
///     let before = AsyncIoClock.now();
///     AsyncIoClock.sleep(Duration::from_millis(2)).await;
///     assert!(AsyncIoClock.now().since(before) >= Duration::from_millis(2));
/// });
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AsyncIoClock;

impl Clock for AsyncIoClock {
    #[inline]
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

impl Timer for AsyncIoClock {
    type Sleep = AsyncIoSleep;

    fn sleep_until(&self, time: Timestamp) -> AsyncIoSleep {
        AsyncIoSleep { time, timer: None }
    }
}

/// Future of [`AsyncIoClock`]'s [`Timer::sleep_until`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct AsyncIoSleep {
    time: Timestamp,
    // `None` until the first poll that has to wait.
    timer: Option<async_io::Timer>,
}

impl Future for AsyncIoSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if SystemClock.now() >= self.time {
            // Withdraws the waker.
            self.timer = None;
            return Poll::Ready(());
        }
        let Some(instant) = instant_of(self.time) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| async_io::Timer::at(instant));
        Pin::new(timer).poll(cx).map(|_| ())
    }
}

impl fmt::Debug for AsyncIoSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncIoSleep").field("until", &self.time).finish_non_exhaustive()
    }
}
