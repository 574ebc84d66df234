//! When a parallel stage may begin with an item.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};

use crate::{parcel::Parcel, stage::debug_by_name};

/// When a parallel stage may begin with an item. Implemented by this crate.
pub trait Turns<In> {
    /// What an item in work keeps others from.
    #[doc(hidden)]
    type Key;

    /// Returns the key of an item that may begin, or takes the item and keeps it for later.
    #[doc(hidden)]
    fn arrive(&mut self, parcel: &mut Option<Parcel<In>>) -> Option<Self::Key>;

    /// Ends an item's work; returns the next that may begin for that.
    #[doc(hidden)]
    fn leave(&mut self, key: Self::Key) -> Option<(Self::Key, Parcel<In>)>;

    /// Returns how many items are kept for later.
    #[doc(hidden)]
    fn waiting(&self) -> usize;
}

/// At once.
#[derive(Debug)]
pub struct AtOnce;

impl<In> Turns<In> for AtOnce {
    type Key = ();

    fn arrive(&mut self, _parcel: &mut Option<Parcel<In>>) -> Option<()> {
        Some(())
    }

    fn leave(&mut self, (): ()) -> Option<((), Parcel<In>)> {
        None
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// When no item of the same key is in work.
pub struct ByKey<F, K, In> {
    key: F,
    /// The keys in work, with what waits for each.
    lines: BTreeMap<K, VecDeque<Parcel<In>>>,
    waiting: usize,
}

debug_by_name!(ByKey<F, K, In>);

impl<F, K, In> ByKey<F, K, In> {
    pub(crate) fn new(key: F) -> Self {
        Self { key, lines: BTreeMap::new(), waiting: 0 }
    }
}

impl<F, K, In> Turns<In> for ByKey<F, K, In>
where
    F: Fn(&In) -> K,
    K: Ord + Clone,
{
    type Key = K;

    fn arrive(&mut self, parcel: &mut Option<Parcel<In>>) -> Option<K> {
        let key = (self.key)(&parcel.as_ref()?.value);
        match self.lines.entry(key) {
            Entry::Vacant(free) => {
                let key = free.key().clone();
                free.insert(VecDeque::new());
                Some(key)
            }
            Entry::Occupied(mut busy) => {
                busy.get_mut().extend(parcel.take());
                self.waiting += 1;
                None
            }
        }
    }

    fn leave(&mut self, key: K) -> Option<(K, Parcel<In>)> {
        match self.lines.get_mut(&key)?.pop_front() {
            Some(next) => {
                self.waiting -= 1;
                Some((key, next))
            }
            None => {
                self.lines.remove(&key);
                None
            }
        }
    }

    fn waiting(&self) -> usize {
        self.waiting
    }
}
