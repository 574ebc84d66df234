//! When the entries of a table may be idle at the earliest.

use alloc::vec::Vec;

/// For each group of buckets, a lower bound of the times at which its entries may be idle; the
/// least of all bounds is read in one step.
///
/// A tournament: a complete binary tree whose leaves are the groups' bounds, and each of whose
/// inner nodes is the lesser of its two children. A change takes as many steps as the tree is high.
///
/// A bound may be too low, never too high: an entry that is used stays busy for longer, and need
/// not report that. An entry that has reported no time does not lower its group's bound; the search
/// finds it by checking one entry after the other. A group without a bound has
/// [`NEVER`](Self::NEVER).
#[derive(Debug)]
pub(super) struct IdleTimes {
    // The root is at 1, the children of `n` at `2n` and `2n + 1`, the leaves are the second half.
    // Empty means that no group has a bound.
    nodes: Vec<u64>,
}

impl IdleTimes {
    pub(super) const NEVER: u64 = u64::MAX;

    /// The number of buckets in a group. All buckets of a group are checked together, and the
    /// bounds cost one byte a bucket.
    pub(super) const GROUP: usize = 16;

    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Forgets all bounds. To be called when entries have moved.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
    }

    /// Returns the least bound; [`NEVER`](Self::NEVER) if no group has one.
    #[inline]
    pub(super) fn least(&self) -> u64 {
        self.nodes.get(1).copied().unwrap_or(Self::NEVER)
    }

    /// Lowers the bound of a bucket's group to `due` if it is higher, in a table of `buckets`
    /// buckets. If the table had another size before, forgets its bounds first.
    pub(super) fn lower(&mut self, buckets: usize, bucket: usize, due: u64) {
        if due == Self::NEVER {
            return;
        }
        let leaves = buckets.div_ceil(Self::GROUP).next_power_of_two();
        if self.nodes.len() != 2 * leaves {
            self.nodes.clear();
            self.nodes.resize(2 * leaves, Self::NEVER);
        }
        let mut node = leaves + bucket / Self::GROUP;
        while node > 0 && self.nodes[node] > due {
            self.nodes[node] = due;
            node /= 2;
        }
    }

    /// Returns the bound of a bucket's group.
    pub(super) fn bound(&self, bucket: usize) -> u64 {
        let leaf = self.nodes.len() / 2 + bucket / Self::GROUP;
        self.nodes.get(leaf).copied().unwrap_or(Self::NEVER)
    }

    /// Returns the first group whose bound has come at `now`; `None` if none has.
    pub(super) fn first_due(&self, now: u64) -> Option<usize> {
        // A group without a bound is never due, not even at the end of time.
        let now = now.min(Self::NEVER - 1);
        if self.least() > now {
            return None;
        }
        let leaves = self.nodes.len() / 2;
        let mut node = 1;
        while node < leaves {
            node *= 2;
            // The bound of one of the two children has come, as their parent's has.
            if self.nodes[node] > now {
                node += 1;
            }
        }
        Some(node - leaves)
    }

    /// Replaces the bound of a group that has one.
    pub(super) fn set(&mut self, group: usize, due: u64) {
        let mut node = self.nodes.len() / 2 + group;
        self.nodes[node] = due;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IdleTimes;

    #[test]
    fn the_least_bound_is_at_hand_after_any_change() {
        let buckets = 256;
        let mut idle_times = IdleTimes::new();
        let mut bounds = [IdleTimes::NEVER; 16];
        let mut random = 7_u64;
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (bucket, due) = ((random >> 40) as usize % buckets, random >> 56);
            let group = bucket / IdleTimes::GROUP;
            if random & (1 << 20) == 0 || idle_times.least() == IdleTimes::NEVER {
                idle_times.lower(buckets, bucket, due);
                bounds[group] = bounds[group].min(due);
            } else {
                idle_times.set(group, due);
                bounds[group] = due;
            }
            assert_eq!(idle_times.least(), *bounds.iter().min().unwrap());
            for now in [0, due, 100, 255] {
                let first = bounds.iter().position(|bound| *bound <= now);
                assert_eq!(idle_times.first_due(now), first);
            }
        }
    }

    #[test]
    fn a_table_of_any_size_has_a_group_for_every_bucket() {
        for buckets in [1, 4, 8, 16, 32, 512] {
            let mut idle_times = IdleTimes::new();
            for bucket in 0..buckets {
                idle_times.lower(buckets, bucket, 5);
            }
            assert_eq!(idle_times.least(), 5);
            assert!((0..buckets).all(|bucket| idle_times.bound(bucket) == 5));
            assert_eq!((idle_times.first_due(4), idle_times.first_due(5)), (None, Some(0)));
        }
    }

    #[test]
    fn the_end_of_time_is_no_bound() {
        let mut idle_times = IdleTimes::new();
        idle_times.lower(16, 3, IdleTimes::NEVER);
        assert_eq!(idle_times.least(), IdleTimes::NEVER);
        assert_eq!(idle_times.first_due(IdleTimes::NEVER), None);
        idle_times.lower(16, 3, 5);
        idle_times.set(0, IdleTimes::NEVER);
        assert_eq!(idle_times.first_due(IdleTimes::NEVER), None);
        idle_times.lower(64, 40, 5);
        let bounds = [0, 31, 32, 47, 48].map(|bucket| idle_times.bound(bucket));
        assert_eq!(bounds, [IdleTimes::NEVER, IdleTimes::NEVER, 5, 5, IdleTimes::NEVER]);
        assert_eq!(idle_times.first_due(IdleTimes::NEVER), Some(2));
    }
}
