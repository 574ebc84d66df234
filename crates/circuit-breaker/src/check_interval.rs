//! Lets one of all callers check, and the next one only an interval later.

use tidegate_core::{
    Timestamp,
    primitive::atomic::{AtomicU64, Ordering},
};

/// Picks the callers that check, at least an interval apart: a check in each call would cost too
/// much.
#[derive(Debug)]
pub(crate) struct CheckInterval {
    /// When the next check is due, in nanoseconds.
    next: AtomicU64,
    every: u64,
}

impl CheckInterval {
    /// Makes a check due `every` nanoseconds after the one before; 0 counts as 1. The first is due
    /// at once.
    pub(crate) fn new(every: u64) -> Self {
        Self { next: AtomicU64::new(0), every: every.max(1) }
    }

    /// Returns whether the caller has to check. If so, the next check is due `every` after `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let now = now.as_nanos();
        // ORDERING: Relaxed: only the number itself matters; what is checked is under locks.
        let next = self.next.load(Ordering::Relaxed);
        let later = now.saturating_add(self.every);
        now >= next
            && self.next.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_in_an_interval_checks() {
        let checks = CheckInterval::new(10);
        let due = [0, 9, 10, 10, 30, 39, 40].map(|now| checks.is_due(Timestamp::from_nanos(now)));
        assert_eq!(due, [true, false, true, false, true, false, true]);
    }
}
