//! Values that are numbered in the order in which they come, and leave in any order.

use alloc::collections::VecDeque;

/// A queue whose entries are found by their numbers, which ascend.
///
/// An entry that leaves from the middle leaves a gap. The gap stays until all entries before it
/// have left, or until there are more gaps than entries: then all gaps are removed. So adding and
/// removing take amortized constant time, and finding is a binary search.
#[derive(Debug)]
pub(super) struct Numbered<V> {
    // INVARIANT: the numbers ascend; the first entry is no gap; there are at most as many gaps as
    // values.
    entries: VecDeque<(u64, Option<V>)>,
    len: usize,
}

impl<V> Numbered<V> {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry, whose number must be above all others.
    pub(super) fn push(&mut self, number: u64, value: V) {
        self.entries.push_back((number, Some(value)));
        self.len += 1;
    }

    /// Returns the entry with the lowest number.
    pub(super) fn first(&self) -> Option<&V> {
        self.entries.front().and_then(|(_, value)| value.as_ref())
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        let index = self.find(number)?;
        self.entries[index].1.as_mut()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<V> {
        let index = self.find(number)?;
        let removed = self.entries[index].1.take()?;
        self.len -= 1;
        while self.entries.front().is_some_and(|(_, value)| value.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.len {
            self.entries.retain(|(_, value)| value.is_some());
        }
        Some(removed)
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), 0_u64..40), 0..200)) {
            let (mut numbered, mut map, mut next) = (Numbered::new(), BTreeMap::new(), 0);
            for (adds, number) in steps {
                if adds {
                    next += number % 3 + 1;
                    numbered.push(next, next * 10);
                    map.insert(next, next * 10);
                } else {
                    let number = next.saturating_sub(number);
                    prop_assert_eq!(numbered.get_mut(number).copied(), map.get(&number).copied());
                    prop_assert_eq!(numbered.remove(number), map.remove(&number));
                }
                prop_assert_eq!(numbered.len(), map.len());
                prop_assert_eq!(numbered.first(), map.values().next());
                prop_assert!(numbered.entries.len() <= 2 * map.len());
            }
        }
    }

    #[test]
    fn gaps_behind_an_old_entry_do_not_add_up() {
        let mut numbered = Numbered::new();
        numbered.push(0, ());
        for number in 1..100 {
            numbered.push(number, ());
            assert_eq!(numbered.remove(number), Some(()));
            assert!(numbered.entries.len() <= 2, "{number}");
        }
    }
}
