//! The last `n` outcomes, two bits each.

use alloc::{boxed::Box, vec};

use super::{Call, Ring, Totals};

/// A ring of outcomes that overwrites its oldest.
#[derive(Debug)]
pub(crate) struct CountRing {
    /// One word for each 32 outcomes: its lower half says which of them failed, its upper half
    /// which were slow. The bits of outcomes from `totals.calls` on mean nothing.
    words: Box<[u64]>,
    capacity: usize,
    /// Where the next outcome goes; in a full ring that is the oldest.
    next: usize,
    // INVARIANT: the sums of the first `calls` outcomes.
    totals: Totals,
}

const FAILED: u64 = 1;
const SLOW: u64 = 1 << 32;

impl CountRing {
    pub(super) fn new(n: u32) -> Self {
        let capacity = n as usize;
        let words = vec![0; capacity.div_ceil(32)].into_boxed_slice();
        Self { words, capacity, next: 0, totals: Totals::default() }
    }

    pub(super) fn record(&mut self, call: Call) {
        let (word, place) = (&mut self.words[self.next / 32], self.next % 32);
        if self.totals.calls == self.capacity as u64 {
            let oldest = *word >> place;
            let oldest = Call { failed: oldest & FAILED != 0, slow: oldest & SLOW != 0 };
            self.totals.remove(oldest.into());
        }
        let bits = if call.failed { FAILED } else { 0 } | if call.slow { SLOW } else { 0 };
        *word = *word & !((FAILED | SLOW) << place) | bits << place;
        self.totals.add(call.into());
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
        for capacity in [1, 3, 32, 33, 64, 65, 130] {
            let mut ring = CountRing::new(capacity);
            let at = |call: u32| Call {
                failed: call % 3 == 0 || call % 7 == 2,
                slow: call % 5 == 1 || call % 11 == 3,
            };
            for call in 0..400 {
                ring.record(at(call));
                let oldest = (call + 1).saturating_sub(capacity);
                let mut totals = Totals::default();
                (oldest..=call).for_each(|call| totals.add(at(call).into()));
                assert_eq!(ring.totals(), totals);
            }
            ring.clear();
            assert_eq!(ring.totals(), Totals::default());
        }
    }
}
