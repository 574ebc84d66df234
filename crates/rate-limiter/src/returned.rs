//! Which of the tokens that were taken have come back.
//!
//! Whatever a bucket grants stands on an axis, one grant above the other: a unit of the axis is given out once and never
//! again, whatever comes back. The number of a token bucket is not that axis, as a refund moves it down, and what is taken
//! next stands where something else stood before; but the number and all that was ever given back, added up, is.
//!
//! ```text
//!                     now                                     top of the axis
//! ─────────┬───────────┼──────┬───────┬────────┬───────────────┼──▶
//!  refilled by now     │  A   │▒▒ B ▒▒│   C    │       D       │        ▒ given back
//! ```
//!
//! A grant that is given back leaves the axis and what stands above it moves down. That is right for what would still be
//! missing if nothing had come back, for that is above the present: A unit below the present has been refilled since, and
//! whoever gives it back restores nothing. Each unit that counts stands at or above the time at which it was used, and no more
//! than a burst above it: so no interval sees more than `rate·t + burst`, whatever was given back, in whatever order.

use alloc::vec::Vec;

/// Spans that are told apart. Beyond, the two closest are taken for one at the lower place, which makes what stands between
/// them older than it is: it can only restore less.
const MOST: usize = 32;

/// The parts of an axis that were given back.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    // INVARIANT: ascending; between two of them something is left; at most `MOST`.
    spans: Vec<Span>,
}

/// From `low`, exclusive, to `high`.
#[derive(Debug, Clone, Copy)]
struct Span {
    low: u64,
    high: u64,
}

impl Span {
    const fn len(self) -> u64 {
        self.high - self.low
    }
}

impl Returned {
    pub(crate) const fn new() -> Self {
        Self { spans: Vec::new() }
    }

    /// Returns how much of what stands above `place` was given back.
    pub(crate) fn above(&self, place: u64) -> u64 {
        self.within(place, u64::MAX)
    }

    /// Returns how much of what stands from `low` to `high` was given back.
    pub(crate) fn within(&self, low: u64, high: u64) -> u64 {
        let clipped = |span: &Span| span.high.min(high).saturating_sub(span.low.max(low));
        self.spans.iter().rev().take_while(|span| span.high > low).map(clipped).sum()
    }

    /// Takes the uppermost `n` below `high` for given back that were not before.
    pub(crate) fn strike(&mut self, high: u64, mut n: u64) {
        let mut high = high;
        while n > 0 && high > 0 {
            let index = self.spans.partition_point(|span| span.low < high);
            let below = index.checked_sub(1).map(|index| self.spans[index]);
            match below {
                Some(span) if span.high >= high => high = span.low,
                _ => {
                    let low = below.map_or(0, |span| span.high).max(high - n.min(high));
                    self.insert(index, Span { low, high });
                    n -= high - low;
                    high = low;
                }
            }
        }
    }

    /// Forgets what stands at or below `place`: what was given back from there is of no use to anybody.
    pub(crate) fn forget_up_to(&mut self, place: u64) {
        let gone = self.spans.partition_point(|span| span.high <= place);
        self.spans.drain(..gone);
    }

    /// Puts down a span that overlaps with no other, and belongs at `index`.
    fn insert(&mut self, index: usize, span: Span) {
        let touches_next = self.spans.get(index).is_some_and(|next| next.low == span.high);
        let touches_last = index > 0 && self.spans[index - 1].high == span.low;
        match (touches_last, touches_next) {
            (true, true) => {
                self.spans[index - 1].high = self.spans[index].high;
                self.spans.remove(index);
            }
            (true, false) => self.spans[index - 1].high = span.high,
            (false, true) => self.spans[index].low = span.low,
            (false, false) => self.spans.insert(index, span),
        }
        if self.spans.len() > MOST {
            self.join_closest();
        }
    }

    #[cold]
    fn join_closest(&mut self) {
        let gaps = self.spans.windows(2).map(|pair| pair[1].low - pair[0].high);
        if let Some((index, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) {
            let upper = self.spans.remove(index + 1);
            self.spans[index].high += upper.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MOST, Returned};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn spans_know_each_unit_that_was_struck(
            strikes in prop::collection::vec((1..100usize, 1..9usize), 1..60),
        ) {
            let mut returned = Returned::new();
            let mut struck = [false; 101];
            for (high, n) in strikes {
                returned.strike(high as u64, n as u64);
                let free = struck[1..=high].iter_mut().rev().filter(|struck| !**struck);
                free.take(n).for_each(|struck| *struck = true);
                if returned.spans.len() == MOST {
                    break;
                }
                for place in 0..100 {
                    let above = struck[place + 1..].iter().filter(|struck| **struck).count();
                    prop_assert_eq!(returned.above(place as u64), above as u64);
                }
            }
        }

        #[test]
        fn what_is_known_no_more_was_given_back_from_below(strikes in prop::collection::vec(1..200u64, 1..200)) {
            let mut returned = Returned::new();
            let mut struck = std::collections::BTreeSet::new();
            for high in strikes {
                // Each unit once: what is taken for given back is not given back again.
                if returned.within(3 * high - 1, 3 * high) == 0 && struck.insert(3 * high) {
                    returned.strike(3 * high, 1);
                }
                prop_assert!(returned.spans.len() <= MOST);
                for place in (0..600).step_by(11) {
                    prop_assert!(returned.above(place) <= struck.range(place + 1..).count() as u64);
                }
            }
        }
    }
}
