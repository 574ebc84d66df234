//! The record of which granted tokens were refunded. `ledger.rs` and `limits.rs` decide how many
//! are.
//!
//! The grants of a bucket lie on an axis, each above the one before it. A unit of the axis is
//! granted once and never again. A position on it is the number of the bucket plus all units
//! refunded before; in `limits.rs`, it is the count of all granted tokens. A refund moves the
//! number down, but not the position of the next grant.
//!
//! ```text
//!                     now                                     top of the axis
//! ─────────┬───────────┼──────┬───────┬────────┬───────────────┼──▶
//!  refilled by now     │  A   │▒▒ B ▒▒│   C    │       D       │           ▒ refunded
//! ```
//!
//! A refund moves the bucket down only by units above the present: time has refilled the units
//! below, so their refund restores nothing. Each unit that was granted and not refunded lies at or
//! above the time at which it was used, and at most a burst above it. So no interval sees more than
//! `rate·t + burst`, whatever is refunded, in any order.

use alloc::vec::Vec;

/// The most spans. Beyond that, the two closest are joined at the position of the lower one. Tokens
/// between the two then look older, so their refund can only restore less.
const MAX_SPANS: usize = 32;

/// The refunded parts of an axis.
#[derive(Debug, Default)]
pub(crate) struct Refunded {
    // INVARIANT: ascending, not overlapping, at most `MAX_SPANS`.
    spans: Vec<Span>,
}

/// From `low`, exclusive, to `high`, inclusive.
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

impl Refunded {
    pub(crate) const fn new() -> Self {
        Self { spans: Vec::new() }
    }

    /// Returns how many units above `position` were refunded.
    pub(crate) fn above(&self, position: u64) -> u64 {
        self.within(position, u64::MAX)
    }

    /// Returns how many units from `low` to `high` were refunded.
    pub(crate) fn within(&self, low: u64, high: u64) -> u64 {
        let clipped = |span: &Span| span.high.min(high).saturating_sub(span.low.max(low));
        self.spans.iter().rev().take_while(|span| span.high > low).map(clipped).sum()
    }

    /// Notes the refund of the uppermost `n` units below `high` that were not refunded before.
    pub(crate) fn add(&mut self, mut high: u64, mut n: u64) {
        // Goes downward from one gap between the spans to the next.
        for index in (0..=self.spans.partition_point(|span| span.low < high)).rev() {
            let below = index.checked_sub(1).map_or(Span { low: 0, high: 0 }, |it| self.spans[it]);
            let low = below.high.max(high.saturating_sub(n));
            if low < high {
                self.spans.insert(index, Span { low, high });
                n -= high - low;
            }
            high = below.low;
        }
        for _ in MAX_SPANS..self.spans.len() {
            self.join_closest();
        }
    }

    /// Forgets the spans that end at or below `position`.
    pub(crate) fn forget_up_to(&mut self, position: u64) {
        let gone = self.spans.partition_point(|span| span.high <= position);
        self.spans.drain(..gone);
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

    use super::{MAX_SPANS, Refunded};

    #[test]
    fn spans_are_exact_up_to_their_most_and_then_the_two_closest_are_joined() {
        let most = MAX_SPANS as u64;
        let mut refunded = Refunded::new();
        // The last unit of each hundred, and one more beside that of the tenth.
        for hundred in 1..most {
            refunded.add(100 * hundred, 1);
        }
        refunded.add(990, 1);
        for hundred in 1..most {
            let above = (most - hundred) + u64::from(hundred <= 10);
            assert_eq!(refunded.above(100 * (hundred - 1)), above);
            assert_eq!(refunded.within(100 * hundred - 1, 100 * hundred), 1);
        }
        refunded.add(100 * most, 1);
        assert_eq!(refunded.above(0), most + 1);
        assert_eq!((refunded.within(989, 991), refunded.above(991)), (2, most - 10));
        for hundred in (1..=most).filter(|hundred| *hundred != 10) {
            assert_eq!(refunded.within(100 * hundred - 1, 100 * hundred), 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn spans_know_each_refunded_unit(
            refunds in prop::collection::vec((1..100usize, 1..9usize), 1..60),
        ) {
            let mut refunded = Refunded::new();
            let mut marked = [false; 101];
            for (high, n) in refunds {
                refunded.add(high as u64, n as u64);
                let free = marked[1..=high].iter_mut().rev().filter(|marked| !**marked);
                free.take(n).for_each(|marked| *marked = true);
                if marked.windows(2).filter(|pair| pair[1] && !pair[0]).count() > MAX_SPANS {
                    break;
                }
                for position in 0..100 {
                    let above = marked[position + 1..].iter().filter(|marked| **marked).count();
                    prop_assert_eq!(refunded.above(position as u64), above as u64);
                }
            }
        }

        #[test]
        fn joined_spans_never_count_more_than_was_refunded_above(
            refunds in prop::collection::vec(1..200u64, 1..200),
        ) {
            let mut refunded = Refunded::new();
            let mut marked = std::collections::BTreeSet::new();
            for high in refunds {
                // Each unit once: a unit that counts as refunded is not refunded again.
                if refunded.within(3 * high - 1, 3 * high) == 0 && marked.insert(3 * high) {
                    refunded.add(3 * high, 1);
                }
                prop_assert!(refunded.spans.len() <= MAX_SPANS);
                prop_assert_eq!(refunded.above(0), marked.len() as u64);
                for position in (0..600).step_by(11) {
                    let above = marked.range(position + 1..).count();
                    prop_assert!(refunded.above(position) <= above as u64);
                }
            }
        }
    }
}
