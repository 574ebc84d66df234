//! Which items of a parallel stage may run at the same time.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use tidegate_core::unwind::{DropEach, Foreign, drop_each};

use crate::{debug::debug_by_name, flow::Item};

/// Decides which items a parallel stage may start. Implemented by this crate.
pub trait KeyPolicy<In> {
    /// What the stage keeps for an item in work, and then passes to [`leave`](Self::leave).
    #[doc(hidden)]
    type Key;

    /// Returns the key of `item` if it may start now; else takes the item, keeps it for later, and
    /// returns `None`.
    #[doc(hidden)]
    fn arrive(&mut self, item: &mut Option<Item<In>>) -> Option<Self::Key>;

    /// Ends the work on an item of `key`. Returns the next item of that key, which may start now;
    /// `None` if none waits.
    #[doc(hidden)]
    fn leave(&mut self, key: Self::Key) -> Option<(Self::Key, Item<In>)>;

    /// Returns how many items are kept for later.
    #[doc(hidden)]
    fn waiting(&self) -> usize;
}

/// Every item may start at once.
#[derive(Debug)]
pub struct Unkeyed;

impl<In> KeyPolicy<In> for Unkeyed {
    type Key = ();

    fn arrive(&mut self, _item: &mut Option<Item<In>>) -> Option<()> {
        Some(())
    }

    fn leave(&mut self, (): ()) -> Option<((), Item<In>)> {
        None
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// An item may start when no other item of its key is in work.
///
/// A key in work has an entry in `queues`, and its item in work knows the entry's position: keys
/// are compared only when an item arrives and when a key is forgotten. If the latter comparison
/// panics, the entry stays, marked as not in work: the next item of that key may start.
pub struct PerKey<F, K, In> {
    key: F,
    index: DropEach<BTreeMap<Foreign<K>, usize>>,
    // INVARIANT: the entries at the positions in `free` have no key; `index` has the positions of
    // the others.
    queues: DropEach<Vec<KeyQueue<K, In>>>,
    free: Vec<usize>,
    waiting: usize,
}

debug_by_name!(PerKey<F, K, In>);

struct KeyQueue<K, In> {
    /// `None` if the entry is free.
    key: Option<Foreign<K>>,
    in_work: bool,
    // INVARIANT: empty unless the key is in work.
    waiting: DropEach<VecDeque<Item<In>>>,
}

impl<F, K, In> PerKey<F, K, In> {
    pub(crate) fn new(key: F) -> Self {
        let (index, queues) = (DropEach::default(), DropEach::default());
        Self { key, index, queues, free: Vec::new(), waiting: 0 }
    }
}

impl<F, K: Ord + Clone, In> PerKey<F, K, In> {
    /// Adds an entry for a key, and returns its position.
    fn add(&mut self, key: Foreign<K>) -> usize {
        let slot = self.free.last().copied().unwrap_or(self.queues.len());
        // Cloned and compared before anything is changed: both may panic.
        let kept = Foreign::new(K::clone(&key));
        self.index.insert(key, slot);
        if self.free.pop().is_none() {
            self.queues.push(KeyQueue { key: None, in_work: false, waiting: DropEach::default() });
        }
        self.queues[slot].key = Some(kept);
        slot
    }
}

impl<F, K, In> KeyPolicy<In> for PerKey<F, K, In>
where
    F: Fn(&In) -> K,
    K: Ord + Clone,
{
    type Key = usize;

    fn arrive(&mut self, item: &mut Option<Item<In>>) -> Option<usize> {
        let key = Foreign::new((self.key)(&item.as_ref()?.value));
        let slot = match self.index.get(&*key).copied() {
            Some(slot) => {
                // Drop it before anything is changed: its destructor may panic.
                drop(key);
                slot
            }
            None => self.add(key),
        };
        let queue = &mut self.queues[slot];
        if queue.in_work {
            queue.waiting.extend(item.take());
            self.waiting += 1;
            return None;
        }
        queue.in_work = true;
        Some(slot)
    }

    fn leave(&mut self, slot: usize) -> Option<(usize, Item<In>)> {
        let queue = &mut self.queues[slot];
        if let Some(next) = queue.waiting.pop_front() {
            self.waiting -= 1;
            return Some((slot, next));
        }
        queue.in_work = false;
        let removed = queue.key.as_ref().and_then(|key| self.index.remove_entry(&**key));
        if let Some((removed, _)) = removed {
            let key = queue.key.take();
            self.free.push(slot);
            drop_each(key.into_iter().chain([removed]));
        }
        None
    }

    fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Lineage;

    #[test]
    fn items_wait_for_the_one_of_their_key_and_are_counted_while_they_do() {
        let mut keys = PerKey::new(|value: &u8| value % 2);
        let item = |value: u8| Some(Item { lineage: Lineage::item(value.into()), value });
        let odd = keys.arrive(&mut item(1)).unwrap();
        let even = keys.arrive(&mut item(2)).unwrap();
        assert!(keys.arrive(&mut item(3)).is_none() && keys.arrive(&mut item(5)).is_none());
        assert_eq!(keys.waiting(), 2);
        for (value, left) in [(3, 1), (5, 0)] {
            let (key, item) = keys.leave(odd).unwrap();
            assert_eq!((key, item.value, keys.waiting()), (odd, value, left));
        }
        assert!(keys.leave(odd).is_none() && keys.leave(even).is_none());
    }
}
