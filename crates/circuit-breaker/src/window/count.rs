//! The last `n` outcomes, one bit each.

use alloc::{boxed::Box, vec};

use super::{Ring, Totals};

/// A ring of outcomes that overwrites its oldest.
#[derive(Debug)]
pub(crate) struct CountRing {
    /// A set bit is a failure. Bits from `len` on mean nothing.
    bits: Box<[u64]>,
    capacity: usize,
    /// Where the next outcome goes; in a full ring that is the oldest.
    next: usize,
    // INVARIANT: what the first `calls` bits say.
    totals: Totals,
}

impl CountRing {
    pub(super) fn new(n: u32) -> Self {
        let capacity = n as usize;
        let bits = vec![0; capacity.div_ceil(64)].into_boxed_slice();
        Self { bits, capacity, next: 0, totals: Totals::default() }
    }

    pub(super) fn record(&mut self, failed: bool) {
        let (word, bit) = (&mut self.bits[self.next / 64], 1 << (self.next % 64));
        if self.totals.calls == self.capacity as u64 {
            self.totals.remove(Totals::one(*word & bit != 0));
        }
        *word = if failed { *word | bit } else { *word & !bit };
        self.totals.add(Totals::one(failed));
        self.next = if self.next + 1 == self.capacity { 0 } else { self.next + 1 };
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }
}

impl Ring for CountRing {
    fn clear(&mut self) {
        self.next = 0;
        self.totals = Totals::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_forgets_its_oldest_and_no_other() {
        for capacity in [1, 3, 64, 65, 130] {
            let mut ring = CountRing::new(capacity);
            let failed = |call: u32| call % 3 == 0 || call % 7 == 2;
            for call in 0..400 {
                ring.record(failed(call));
                let oldest = (call + 1).saturating_sub(capacity);
                let failures = (oldest..=call).filter(|&call| failed(call)).count() as u64;
                let calls = u64::from(call + 1 - oldest);
                assert_eq!(ring.totals(), Totals { calls, failures });
            }
            ring.clear();
            assert_eq!(ring.totals(), Totals::default());
        }
    }
}
