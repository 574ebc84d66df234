//! When a parallel stage may begin with an item.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use crate::{
    flow::{DropEach, Foreign, drop_each},
    parcel::Parcel,
    stage::debug_by_name,
};

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
///
/// A key in work has a place, by which it is found again: only an item that arrives, and a key that is forgotten, is compared
/// with others. Where a comparison panics, a key that is not in work keeps its place, and nothing waits in vain.
pub struct ByKey<F, K, In> {
    key: F,
    places: DropEach<BTreeMap<Foreign<K>, usize>>,
    // INVARIANT: those in `free` have no key, the others are where their key says.
    lines: DropEach<Vec<Line<K, In>>>,
    free: Vec<usize>,
    waiting: usize,
}

debug_by_name!(ByKey<F, K, In>);

struct Line<K, In> {
    /// `None` if the place is free.
    key: Option<Foreign<K>>,
    in_work: bool,
    // INVARIANT: empty unless the key is in work.
    waiting: DropEach<VecDeque<Parcel<In>>>,
}

impl<F, K, In> ByKey<F, K, In> {
    pub(crate) fn new(key: F) -> Self {
        let (places, lines) = (DropEach::default(), DropEach::default());
        Self { key, places, lines, free: Vec::new(), waiting: 0 }
    }
}

impl<F, K: Ord + Clone, In> ByKey<F, K, In> {
    /// Gives a key a place.
    fn add(&mut self, key: Foreign<K>) -> usize {
        let place = self.free.last().copied().unwrap_or(self.lines.len());
        // Cloned and compared before anything is changed: both may panic.
        let kept = Foreign::new(K::clone(&key));
        self.places.insert(key, place);
        if self.free.pop().is_none() {
            self.lines.push(Line { key: None, in_work: false, waiting: DropEach::default() });
        }
        self.lines[place].key = Some(kept);
        place
    }
}

impl<F, K, In> Turns<In> for ByKey<F, K, In>
where
    F: Fn(&In) -> K,
    K: Ord + Clone,
{
    type Key = usize;

    fn arrive(&mut self, parcel: &mut Option<Parcel<In>>) -> Option<usize> {
        let key = Foreign::new((self.key)(&parcel.as_ref()?.value));
        let place = match self.places.get(&*key).copied() {
            Some(place) => {
                // Before anything is changed: its destructor may panic.
                drop(key);
                place
            }
            None => self.add(key),
        };
        let line = &mut self.lines[place];
        if line.in_work {
            line.waiting.extend(parcel.take());
            self.waiting += 1;
            return None;
        }
        line.in_work = true;
        Some(place)
    }

    fn leave(&mut self, place: usize) -> Option<(usize, Parcel<In>)> {
        let line = &mut self.lines[place];
        if let Some(next) = line.waiting.pop_front() {
            self.waiting -= 1;
            return Some((place, next));
        }
        line.in_work = false;
        let removed = line.key.as_ref().and_then(|key| self.places.remove_entry(&**key));
        if let Some((removed, _)) = removed {
            let key = line.key.take();
            self.free.push(place);
            drop_each(key.into_iter().chain([removed]));
        }
        None
    }

    fn waiting(&self) -> usize {
        self.waiting
    }
}
