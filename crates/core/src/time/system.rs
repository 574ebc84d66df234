//! The system clock: instants of the system as timestamps, and timers that a driver serves itself.

use std::time::Instant;

use crate::{
    primitive::ProcessCell,
    time::{Clock, SystemClock, Timestamp, timers::Timers},
};

#[inline]
fn origin() -> Instant {
    static ORIGIN: ProcessCell<Instant> = ProcessCell::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Returns the instant of a system timestamp; `None` if the timestamp is `NEVER`, or too late for
/// an `Instant`.
pub(super) fn instant_of(time: Timestamp) -> Option<Instant> {
    if time == Timestamp::NEVER {
        return None;
    }
    origin().checked_add(time.since(Timestamp::ORIGIN))
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        let (now, origin) = (Instant::now(), origin());
        let elapsed = now.saturating_duration_since(origin);
        // 64 bits are enough throughout: the process does not get 584 years old.
        let nanos =
            elapsed.as_secs().wrapping_mul(1_000_000_000) + u64::from(elapsed.subsec_nanos());
        Timestamp::from_nanos(nanos)
    }
}

/// Calls the wakers that are due among a driver's timers, and returns when the next one will be
/// due; `None` if there is none.
///
/// A sleep that came due after the driver's last poll has to unpark the driver: nothing else would.
pub(crate) fn driven(timers: &Timers) -> Option<Instant> {
    while let Some(waker) = timers.pop_due(SystemClock.now()) {
        waker.wake();
    }
    timers.next().and_then(instant_of)
}
