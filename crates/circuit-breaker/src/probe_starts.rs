//! When the probes in flight began.

use core::ops::Add;

use alloc::collections::BTreeMap;

use tidegate_core::Timestamp;

/// Counts probes by their starts. Finding the earliest probe and taking one out take time in
/// proportion to the logarithm of their number.
///
/// Probes of one start cannot be told apart, and need not be.
#[derive(Debug)]
pub(crate) struct ProbeStarts<T = Timestamp> {
    // INVARIANT: no count is zero.
    counts: BTreeMap<T, u32>,
}

impl<T: Ord + Copy> ProbeStarts<T> {
    pub(crate) fn add(&mut self, start: T) {
        *self.counts.entry(start).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, start: T) {
        if let Some(count) = self.counts.get_mut(&start) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&start);
            }
        }
    }

    /// Returns when the first probe becomes overdue; `None` if there are no probes.
    pub(crate) fn first_due<D>(&self, timeout: D) -> Option<T>
    where
        T: Add<D, Output = T>,
    {
        self.counts.first_key_value().map(|(start, _)| *start + timeout)
    }

    /// Returns how many probes are overdue; takes time in proportion to their number.
    pub(crate) fn overdue<D: Copy>(&self, timeout: D, now: T) -> u64
    where
        T: Add<D, Output = T>,
    {
        let overdue = self.counts.iter().take_while(|(start, _)| **start + timeout <= now);
        overdue.map(|(_, count)| u64::from(*count)).sum()
    }

    pub(crate) fn clear(&mut self) {
        self.counts.clear();
    }
}

impl<T> Default for ProbeStarts<T> {
    fn default() -> Self {
        Self { counts: BTreeMap::new() }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use core::cmp::Ordering;
    use std::{cell::Cell, thread_local};

    use super::*;

    thread_local! { static LOOKED_AT: Cell<u32> = const { Cell::new(0) }; }

    /// A start that counts how often it is compared.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Counted(u32);

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            LOOKED_AT.with(|count| count.set(count.get() + 1));
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Add<u32> for Counted {
        type Output = Self;

        fn add(self, timeout: u32) -> Self {
            Self(self.0 + timeout)
        }
    }

    #[test]
    fn equal_starts_are_counted_each() {
        let mut starts = ProbeStarts::default();
        [5, 3, 5, 9].into_iter().for_each(|start| starts.add(Counted(start)));
        assert_eq!((starts.overdue(10, Counted(15)), starts.first_due(10)), (3, Some(Counted(13))));
        starts.remove(Counted(5));
        starts.remove(Counted(3));
        assert_eq!((starts.overdue(10, Counted(15)), starts.first_due(10)), (1, Some(Counted(15))));
        starts.clear();
        assert_eq!(starts.first_due(10), None);
    }

    /// Returns the most comparisons of starts that one probe makes when it comes, or goes, while
    /// `n` are in flight.
    fn most_looked_at(n: u32) -> u32 {
        let mut starts = ProbeStarts::default();
        (0..n).for_each(|start| starts.add(Counted(start)));
        let count = |step: &mut dyn FnMut()| {
            LOOKED_AT.with(|count| count.set(0));
            step();
            LOOKED_AT.with(Cell::get)
        };
        let steps = (0..n).map(|start| {
            let comes = count(&mut || {
                assert_eq!(starts.overdue(n, Counted(start)), 0);
                assert_eq!(starts.first_due(n), Some(Counted(start + n)));
                starts.add(Counted(start + n));
            });
            comes.max(count(&mut || starts.remove(Counted(start))))
        });
        steps.max().unwrap_or_default()
    }

    #[test]
    fn a_probe_compares_hardly_more_starts_when_sixteen_times_as_many_are_in_flight() {
        let (few, many) = (most_looked_at(500), most_looked_at(16 * 500));
        assert!(few > 0 && many <= 2 * few, "{few}, then {many}");
    }
}
