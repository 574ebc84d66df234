//! The keys that are in use, found with no lock held.
//!
//! ```text
//! find     read the root under the lock ─▶ search without the lock
//! claim    find ─▶ in use: count one use more, under the lock
//!               ─▶ dead, or not there: build a tree with the key ─▶ replace the root
//! release  count one use less, under the lock ─▶ was it the last? free the place, build a tree
//!          without the key ─▶ replace the root (if it is no longer the one that was read: again)
//! ```
//!
//! Keys are foreign: comparing, cloning or dropping them may call the batcher, block or panic, so
//! none of that happens under a lock. The tree is persistent: a change copies the nodes on its path
//! from the root, and a search keeps the root with which it began. It is a treap (Seidel and
//! Aragon, "Randomized Search Trees", Algorithmica 1996): its shape depends on the priorities of
//! the keys. Each priority is a hash of the key's number and a seed, so no choice of keys, and no
//! order of them, makes the tree deep. (Without std there is no source of randomness: the seed is
//! fixed, and a client that knows it can choose keys that make the tree deep.)
//!
//! A key is *dead* if it is not in use but still in the tree: it is about to be taken out, or a
//! comparison has panicked on the way to it. A claim of an equal key replaces a dead key. If no
//! such claim comes, the dead key is taken out right after the next key that is taken out.

use core::mem;

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::{
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        random_seed,
    },
};

use crate::{
    gatherer::Key,
    unwind::{attempt, shielded},
};

/// The keys of a batcher, each with a place while it is in use.
pub(crate) struct KeyIndex<K> {
    state: Lock<State<K>>,
    seed: u64,
}

struct State<K> {
    root: Link<K>,
    // INVARIANT: indexed by place; the places that are `None` are in `free`.
    places: Vec<Option<Used<K>>>,
    free: Vec<usize>,
    /// The number of the entry that was made last.
    id: u64,
    /// Dead keys that could not be taken out because a comparison has panicked.
    stuck: VecDeque<Arc<Entry<K>>>,
}

/// A key that has a place.
struct Used<K> {
    entry: Arc<Entry<K>>,
    // INVARIANT: above 0.
    uses: usize,
}

struct Entry<K> {
    // `None` only in `drop`.
    key: Option<K>,
    id: u64,
    /// Written once, under the lock, before another thread can find the entry.
    place: AtomicUsize,
}

impl<K> Drop for Entry<K> {
    fn drop(&mut self) {
        let key = self.key.take();
        shielded(|| drop(key));
    }
}

type Link<K> = Option<Arc<Node<K>>>;

// INVARIANT: keys to the left are less, to the right greater; children have no higher priority.
struct Node<K> {
    entry: Arc<Entry<K>>,
    priority: u64,
    left: Link<K>,
    right: Link<K>,
}

/// The nodes from the root down to the place where a key is or would be, without that place. The
/// flag of a node says whether the path goes on to its left.
type Path<'a, K> = Vec<(&'a Node<K>, bool)>;

/// Mixes the bits of a number (the finalizer of MurmurHash3).
fn mixed(number: u64) -> u64 {
    let mut bits = number;
    for factor in [0xFF51_AFD7_ED55_8CCD, 0xC4CE_B9FE_1A85_EC53] {
        bits = (bits ^ (bits >> 33)).wrapping_mul(factor);
    }
    bits ^ (bits >> 33)
}

impl<K> Entry<K> {
    fn as_key(&self) -> Key {
        // ORDERING: Relaxed: the entry was found in a tree whose root was taken under the lock, and
        // `place` was written under that lock before.
        Key { place: self.place.load(Ordering::Relaxed), id: self.id }
    }
}

impl<K> Node<K> {
    fn with_child(&self, is_left: bool, child: Link<K>) -> Arc<Self> {
        let (entry, priority) = (self.entry.clone(), self.priority);
        Arc::new(match is_left {
            true => Self { entry, priority, left: child, right: self.right.clone() },
            false => Self { entry, priority, left: self.left.clone(), right: child },
        })
    }

    fn with_entry(&self, entry: Arc<Entry<K>>) -> Arc<Self> {
        let (left, right) = (self.left.clone(), self.right.clone());
        Arc::new(Self { entry, priority: self.priority, left, right })
    }
}

impl<K: Ord> Node<K> {
    /// Compares a key with the key of this node: `None` if they are equal, else whether `key` is
    /// less, and so to the left.
    fn side_of(&self, key: &K) -> Option<bool> {
        let order = self.entry.key.as_ref().map(|own| key.cmp(own));
        order.filter(|order| order.is_ne()).map(core::cmp::Ordering::is_lt)
    }
}

/// Returns the path to a key, and the key's node if there is one.
fn search<'a, K: Ord>(root: &'a Link<K>, key: &K) -> (Path<'a, K>, Option<&'a Node<K>>) {
    let (mut path, mut link) = (Vec::new(), root);
    while let Some(node) = link {
        let Some(is_left) = node.side_of(key) else { return (path, Some(node)) };
        path.push((&**node, is_left));
        link = if is_left { &node.left } else { &node.right };
    }
    (path, None)
}

/// Returns the root of a copy of the tree in which `child` is at the end of the path.
fn rebuild<K>(path: Path<'_, K>, child: Link<K>) -> Link<K> {
    path.into_iter()
        .rev()
        .fold(child, |child, (node, is_left)| Some(node.with_child(is_left, child)))
}

/// Returns the root of a copy of the tree that also has `entry`, whose key belongs where the path
/// ends.
fn insert<K>(mut path: Path<'_, K>, entry: Arc<Entry<K>>, priority: u64) -> Link<K> {
    let above = path.iter().take_while(|(node, _)| node.priority >= priority).count();
    // The nodes below are split in two trees: those with lesser keys, and those with greater ones.
    let (mut left, mut right) = (None, None);
    for (node, is_left) in path.drain(above..).rev() {
        let side = if is_left { &mut right } else { &mut left };
        *side = Some(node.with_child(is_left, mem::take(side)));
    }
    rebuild(path, Some(Arc::new(Node { entry, priority, left, right })))
}

/// Joins two trees. All keys of `less` are less than those of `greater`.
fn join<K>(less: &Link<K>, greater: &Link<K>) -> Link<K> {
    let (Some(first), Some(second)) = (less, greater) else {
        return less.clone().or(greater.clone());
    };
    Some(match first.priority >= second.priority {
        true => first.with_child(false, join(&first.right, greater)),
        false => second.with_child(true, join(less, &second.left)),
    })
}

fn is_same<K>(one: &Link<K>, other: &Link<K>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

impl<K> State<K> {
    /// Replaces the root with `new`, if it is still `old`. Returns the tree that is not used any
    /// more, for the caller to drop after unlocking: `Ok(old)`, or `Err(new)` if the root was
    /// another one.
    fn replace(&mut self, old: &Link<K>, new: Link<K>) -> Result<Link<K>, Link<K>> {
        match is_same(&self.root, old) {
            true => Ok(mem::replace(&mut self.root, new)),
            false => Err(new),
        }
    }

    /// Begins one more use of a key; `None` if the key is dead.
    fn use_again(&mut self, entry: &Arc<Entry<K>>) -> Option<Key> {
        let key = entry.as_key();
        let used = self.places.get_mut(key.place)?.as_mut()?;
        Arc::ptr_eq(&used.entry, entry).then(|| used.uses += 1)?;
        Some(key)
    }

    /// Gives a new key a place, for its first use.
    fn give_place(&mut self, entry: &Arc<Entry<K>>) -> Key {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        // ORDERING: Relaxed: see `as_key`.
        entry.place.store(place, Ordering::Relaxed);
        self.places[place] = Some(Used { entry: entry.clone(), uses: 1 });
        entry.as_key()
    }

    /// Ends one use of a key. Returns the key's entry if that was the last use; `None` if not, or
    /// if the key was not in use.
    fn end_use(&mut self, key: Key) -> Option<Arc<Entry<K>>> {
        let place = self.places.get_mut(key.place)?;
        let used = place.as_mut().filter(|used| used.entry.id == key.id)?;
        used.uses -= 1;
        if used.uses > 0 {
            return None;
        }
        self.free.push(key.place);
        place.take().map(|used| used.entry)
    }
}

impl<K> KeyIndex<K> {
    pub(crate) fn new() -> Self {
        let (places, free, stuck) = (Vec::new(), Vec::new(), VecDeque::new());
        let state = State { root: None, places, free, id: 0, stuck };
        Self { state: Lock::new(state), seed: random_seed() }
    }

    fn root(&self) -> Link<K> {
        self.state.with(|state| state.root.clone())
    }
}

impl<K: Ord> KeyIndex<K> {
    /// Returns the place that a key has, or had a moment ago; `None` if it is not in the tree.
    pub(crate) fn find(&self, key: &K) -> Option<Key> {
        let root = self.root();
        let mut link = &root;
        while let Some(node) = link {
            link = match node.side_of(key) {
                None => return Some(node.entry.as_key()),
                Some(true) => &node.left,
                Some(false) => &node.right,
            };
        }
        None
    }

    /// Claims a key and returns its place. The key keeps the place until it is released as often as
    /// it was claimed.
    pub(crate) fn claim(&self, key: &K) -> Key
    where
        K: Clone,
    {
        let mut own = None;
        loop {
            let root = self.root();
            let (path, found) = search(&root, key);
            if let Some(node) = found {
                if let Some(key) = self.state.with(|state| state.use_again(&node.entry)) {
                    return key;
                }
            }
            let entry = own.get_or_insert_with(|| {
                let key = Some(key.clone());
                let id = self.state.with(|state| {
                    state.id += 1;
                    state.id
                });
                Arc::new(Entry { key, id, place: AtomicUsize::new(0) })
            });
            let new = match found {
                Some(dead) => rebuild(path, Some(dead.with_entry(entry.clone()))),
                None => insert(path, entry.clone(), mixed(entry.id ^ self.seed)),
            };
            // The tree that is not used any more, old or new, is dropped after unlocking.
            let (settled, _unused) = self.state.with(|state| match state.replace(&root, new) {
                Ok(old) => (Some(state.give_place(entry)), old),
                Err(new) => (None, new),
            });
            if let Some(key) = settled {
                return key;
            }
        }
    }

    /// Ends one use of a key. After its last use the key is taken out. If a comparison panics, the
    /// key stays, dead, until an equal key is claimed or another key is taken out.
    pub(crate) fn release(&self, key: Key) {
        let mut next = self.state.with(|state| state.end_use(key));
        while let Some(dead) = next.take() {
            let is_gone = attempt(|| self.forget(&dead)).is_some();
            self.state.with(|state| match is_gone {
                true => next = state.stuck.pop_front(),
                // At the back, so that a key whose comparison always panics does not keep the
                // others from being taken out.
                false => state.stuck.push_back(dead.clone()),
            });
        }
    }

    fn forget(&self, dead: &Arc<Entry<K>>) {
        let Some(key) = &dead.key else { return };
        loop {
            let root = self.root();
            let (path, found) = search(&root, key);
            let Some(node) = found.filter(|node| Arc::ptr_eq(&node.entry, dead)) else { return };
            let new = rebuild(path, join(&node.left, &node.right));
            let replaced = self.state.with(|state| state.replace(&root, new));
            if replaced.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Appends the keys in their order to `keys`, and returns the depth of the tree.
    fn contents<K: Copy>(link: &Link<K>, keys: &mut Vec<K>) -> usize {
        let Some(node) = link else { return 0 };
        let left = contents(&node.left, keys);
        keys.extend(node.entry.key);
        let right = contents(&node.right, keys);
        for child in [&node.left, &node.right].into_iter().flatten() {
            assert!(child.priority <= node.priority);
        }
        1 + left.max(right)
    }

    proptest! {
        #[test]
        fn keys_have_places_of_their_own_until_they_are_released(
            steps in prop::collection::vec((any::<bool>(), 0_u8..20), 0..200),
        ) {
            let (index, mut known) = (KeyIndex::new(), BTreeMap::<u8, (Key, usize)>::new());
            for (claims, key) in steps {
                if claims {
                    let claimed = index.claim(&key);
                    let (own, uses) = known.entry(key).or_insert((claimed, 0));
                    *uses += 1;
                    prop_assert_eq!(*own, claimed);
                } else if let Some((own, uses)) = known.get_mut(&key) {
                    index.release(*own);
                    *uses -= 1;
                    if *uses == 0 {
                        known.remove(&key);
                    }
                }
                for key in 0..20 {
                    prop_assert_eq!(index.find(&key), known.get(&key).map(|(own, _)| *own));
                }
                let mut places: Vec<_> = known.values().map(|(own, _)| own.place).collect();
                places.sort_unstable();
                places.dedup();
                prop_assert_eq!(places.len(), known.len());
                let mut keys = Vec::new();
                contents(&index.root(), &mut keys);
                prop_assert!(keys.iter().eq(known.keys()));
            }
        }
    }

    #[test]
    fn the_tree_is_flat_in_whatever_order_keys_come_and_keeps_no_more_places_than_were_needed() {
        let index = KeyIndex::new();
        for round in 0..3 {
            let claimed: Vec<_> = (0..4096).map(|key| index.claim(&(round * 4096 + key))).collect();
            let depth = contents(&index.root(), &mut Vec::new());
            assert!(depth <= 64, "{depth} levels of 4096 keys");
            claimed.into_iter().for_each(|key| index.release(key));
            assert!(index.root().is_none());
        }
        assert_eq!(index.state.with(|state| state.places.len()), 4096);
    }

    #[test]
    fn priorities_are_mixed_as_murmur_hash_does_and_differ_from_index_to_index() {
        assert_eq!(
            [0, 1, 2, u64::MAX].map(mixed),
            [0, 0xB456_BCFC_34C2_CB2C, 0x3ABF_2A20_6506_83E7, 0x64B5_720B_4B82_5F21,]
        );
        assert_ne!(KeyIndex::<u8>::new().seed, KeyIndex::<u8>::new().seed);
        let index = KeyIndex { seed: 0xFF00, ..KeyIndex::new() };
        (0..9).for_each(|key| _ = index.claim(&key));
        let mut priorities = Vec::new();
        let mut nodes = Vec::from_iter(index.root());
        while let Some(node) = nodes.pop() {
            priorities.push(node.priority);
            nodes.extend([&node.left, &node.right].into_iter().flatten().cloned());
        }
        priorities.sort_unstable();
        priorities.dedup();
        assert_eq!(priorities.len(), 9);
    }

    /// A key that, when it is cloned, claims the next key.
    struct Mother(u8, Option<Arc<KeyIndex<Mother>>>);

    impl Clone for Mother {
        fn clone(&self) -> Self {
            if let Some(index) = &self.1 {
                index.claim(&Self(self.0 + 1, None));
            }
            Self(self.0, None)
        }
    }

    impl PartialEq for Mother {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    impl Eq for Mother {}

    impl PartialOrd for Mother {
        fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Mother {
        fn cmp(&self, other: &Self) -> core::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }

    #[test]
    fn a_key_that_comes_while_another_is_claimed_stays() {
        let index = Arc::new(KeyIndex::new());
        let claimed = index.claim(&Mother(1, Some(index.clone())));
        assert_eq!(index.find(&Mother(1, None)), Some(claimed));
        assert!(index.find(&Mother(2, None)).is_some());
    }

    #[test]
    fn a_dead_key_makes_way_for_an_equal_one() {
        let index = KeyIndex::new();
        let first = index.claim(&7);
        // As if a comparison had panicked: the key is not taken out of the tree.
        assert!(index.state.with(|state| state.end_use(first)).is_some());
        let second = index.claim(&7);
        assert_eq!((first.place, second.id), (second.place, first.id + 1));
        // A release of the dead key comes too late to change anything.
        index.release(first);
        assert_eq!(index.find(&7), Some(second));
        index.release(second);
        assert_eq!(index.find(&7), None);
    }
}
