//! The outcomes of the last slices of time.

use alloc::{boxed::Box, vec};

use super::{Call, Ring, Totals};

/// Totals of the latest slices. Slice number `s` lives at `s % slices`.
#[derive(Debug)]
pub(crate) struct TimeRing {
    // INVARIANT: holds the slices `latest - slices + 1` to `latest`; those in which nothing
    // happened are zero.
    slices: Box<[Totals]>,
    /// The latest slice in which a call or a reader came. If time goes backward, it stays.
    latest: u64,
    // INVARIANT: the sum of `slices`.
    sum: Totals,
}

impl TimeRing {
    pub(super) fn new(slices: u32) -> Self {
        let slices = vec![Totals::default(); slices as usize].into_boxed_slice();
        Self { slices, latest: 0, sum: Totals::default() }
    }

    pub(super) fn record(&mut self, slice: u64, call: Call) {
        self.move_on(slice);
        let at = self.slot(self.latest);
        self.slices[at].add(call.into());
        self.sum.add(call.into());
    }

    pub(super) fn totals(&mut self, slice: u64) -> Totals {
        self.move_on(slice);
        self.sum
    }

    /// Makes `slice` the latest, unless it is an earlier one, and empties each slot whose slice has
    /// left the window.
    fn move_on(&mut self, slice: u64) {
        let passed = slice.saturating_sub(self.latest).min(self.slices.len() as u64);
        self.latest = self.latest.max(slice);
        for entered in 0..passed {
            let at = self.slot(self.latest - entered);
            self.sum.remove(core::mem::take(&mut self.slices[at]));
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a remainder of a usize")]
    fn slot(&self, slice: u64) -> usize {
        (slice % self.slices.len() as u64) as usize
    }
}

impl Ring for TimeRing {
    fn clear(&mut self) {
        // `latest` stays: time does not go backward with a generation.
        self.slices.fill(Totals::default());
        self.sum = Totals::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUCCESS: Call = Call { failed: false, slow: false };
    const FAILURE: Call = Call { failed: true, slow: true };

    #[test]
    fn slices_leave_one_by_one_and_all_at_once() {
        let mut ring = TimeRing::new(3);
        ring.record(10, FAILURE);
        ring.record(11, SUCCESS);
        assert_eq!(ring.totals(12), Totals { calls: 2, failed: 1, slow: 1 });
        assert_eq!(ring.totals(13), Totals { calls: 1, failed: 0, slow: 0 });
        ring.record(13, FAILURE);
        assert_eq!(ring.totals(u64::MAX), Totals::default());
    }

    #[test]
    fn time_that_goes_backward_stands_still() {
        let mut ring = TimeRing::new(2);
        ring.record(5, FAILURE);
        ring.record(1, FAILURE);
        assert_eq!(ring.totals(0), Totals { calls: 2, failed: 2, slow: 2 });
        assert_eq!(ring.totals(6), Totals { calls: 2, failed: 2, slow: 2 });
        assert_eq!(ring.totals(7), Totals::default());
    }
}
