//! The time and the timers of embassy.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use embassy_time::{Instant, TICK_HZ, Timer as Alarm};

use crate::time::{Clock, Timer, Timestamp};

const SECOND: u64 = 1_000_000_000;

/// The clock of [embassy-time](https://docs.rs/embassy-time), whose time driver ends the sleeps.
/// Its origin is that of the driver, most often the boot.
///
/// Use it in firmware whose board support brings a time driver. Its resolution is a tick, that is
/// `1 / TICK_HZ` of a second: readings are rounded down to a tick, and sleeps are rounded up. A
/// sleep that is dropped leaves its waker with the driver, so the task may be woken once more for
/// nothing.
///
/// The driver's queue takes wakers of embassy's executor only, unless embassy-time has a feature
/// `generic-queue-8` to `generic-queue-128`. One of these is needed where a future polls others
/// with a waker of its own, as pipelines do, and where a thread waits in `Wait::wait`. Without one
/// of these features such a poll panics.
///
/// # Examples
///
/// ```no_run
/// use core::time::Duration;
/// use tidegate_core::{Clock, Timer, time::EmbassyClock};
///
/// # async fn task() {
/// let before = EmbassyClock.now();
/// EmbassyClock.sleep(Duration::from_millis(2)).await;
/// assert!(EmbassyClock.now().since(before) >= Duration::from_millis(2));
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmbassyClock;

impl Clock for EmbassyClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(nanos_of(Instant::now().as_ticks(), TICK_HZ))
    }
}

impl Timer for EmbassyClock {
    type Sleep = EmbassySleep;

    fn sleep_until(&self, time: Timestamp) -> EmbassySleep {
        let tick = ticks_until(time.as_nanos(), TICK_HZ);
        EmbassySleep { time, alarm: Alarm::at(Instant::from_ticks(tick)) }
    }
}

/// Returns the nanosecond at which tick number `ticks` begins, rounded down.
const fn nanos_of(ticks: u64, hz: u64) -> u64 {
    let (seconds, rest) = (ticks / hz, ticks % hz);
    seconds.saturating_mul(SECOND).saturating_add(rest * SECOND / hz)
}

/// Returns the first tick whose [`nanos_of`] is `nanos` or more.
const fn ticks_until(nanos: u64, hz: u64) -> u64 {
    let (seconds, rest) = (nanos / SECOND, nanos % SECOND);
    seconds.saturating_mul(hz).saturating_add((rest * hz).div_ceil(SECOND))
}

/// Future of [`EmbassyClock`]'s [`Timer::sleep_until`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct EmbassySleep {
    time: Timestamp,
    alarm: Alarm,
}

impl Future for EmbassySleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // An alarm is never ready at its first poll.
        if EmbassyClock.now() >= self.time {
            return Poll::Ready(());
        }
        if self.time == Timestamp::NEVER {
            return Poll::Pending;
        }
        Pin::new(&mut self.alarm).poll(cx)
    }
}

impl fmt::Debug for EmbassySleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbassySleep").field("until", &self.time).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{nanos_of, ticks_until};

    #[test]
    fn a_sleep_ends_at_the_first_tick_that_shows_its_time() {
        for hz in [1, 3, 1_000, 32_768, 1_000_000, 7_777_777, 1_000_000_000] {
            for nanos in [0, 1, 30_517, 30_518, 999_999_999, 1_000_000_000, 86_400_000_000_001] {
                let tick = ticks_until(nanos, hz);
                assert!(nanos_of(tick, hz) >= nanos, "{nanos} ns at {hz} Hz");
                assert!(tick == 0 || nanos_of(tick - 1, hz) < nanos, "{nanos} ns at {hz} Hz");
            }
        }
    }

    #[test]
    fn the_latest_times_saturate() {
        assert_eq!(nanos_of(u64::MAX, 1), u64::MAX);
        assert!(nanos_of(ticks_until(u64::MAX - 1, 1_000_000_000), 1_000_000_000) >= u64::MAX - 1);
    }
}
