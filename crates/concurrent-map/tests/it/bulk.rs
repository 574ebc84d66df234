//! Operations on many keys at once, compared with as many on one key.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    cell::Cell,
    collections::HashMap,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher},
    panic::{self, AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;
use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet};

#[derive(Debug, Clone)]
enum Step {
    Get(Vec<u8>),
    Insert(Vec<(u8, u32)>),
    Extend(Vec<(u8, u32)>),
    Remove(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || prop::collection::vec(0..60_u8, 0..80);
    let entries = || prop::collection::vec((0..60_u8, 0..20_u32), 0..80);
    prop_oneof![
        keys().prop_map(Step::Get),
        entries().prop_map(Step::Insert),
        entries().prop_map(Step::Extend),
        keys().prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn a_batch_does_what_single_operations_do_and_leaks_nothing(
        shards in 0..9_usize,
        steps in prop::collection::vec(step(), 0..30),
    ) {
        let counter = Rc::new(());
        let value = |n: u32| (n, counter.clone());
        let bare = |values: Vec<Option<(u32, Rc<()>)>>| -> Vec<Option<u32>> {
            values.into_iter().map(|value| value.map(|(n, _)| n)).collect()
        };
        let mut map = ConcurrentMap::<u8, (u32, Rc<()>)>::with_shards(shards);
        let mut reference = HashMap::<u8, u32>::new();
        for step in steps {
            match step {
                Step::Get(keys) => {
                    let expected: Vec<_> = keys.iter().map(|k| reference.get(k).copied()).collect();
                    prop_assert_eq!(bare(map.get_many(&keys)), expected);
                }
                Step::Insert(entries) => {
                    let old = map.insert_many(entries.iter().map(|(k, v)| (*k, value(*v))));
                    let expected: Vec<_> =
                        entries.into_iter().map(|(k, v)| reference.insert(k, v)).collect();
                    prop_assert_eq!(bare(old), expected);
                }
                Step::Extend(entries) => {
                    map.extend(entries.iter().map(|(k, v)| (*k, value(*v))));
                    reference.extend(entries);
                }
                Step::Remove(keys) => {
                    let expected: Vec<_> = keys.iter().map(|k| reference.remove(k)).collect();
                    prop_assert_eq!(bare(map.remove_many(&keys)), expected);
                }
            }
            prop_assert_eq!(map.len(), reference.len());
            prop_assert_eq!(Rc::strong_count(&counter), 1 + map.len());
        }
        let left: HashMap<_, _> = map.into_iter().map(|(k, v)| (k, v.0)).collect();
        prop_assert_eq!(left, reference);
        prop_assert_eq!(Rc::strong_count(&counter), 1);
    }
}

#[test]
fn a_batch_hashes_each_key_once() {
    #[derive(Default)]
    struct Counting(AtomicUsize);
    impl BuildHasher for Counting {
        type Hasher = DefaultHasher;
        fn build_hasher(&self) -> DefaultHasher {
            self.0.fetch_add(1, Ordering::Relaxed);
            DefaultHasher::new()
        }
    }
    let map =
        ConcurrentMap::<u32, u32, Counting>::with_capacity_and_hasher(10_000, Counting::default());
    let hashed = || map.hasher().0.swap(0, Ordering::Relaxed);
    map.insert_many((0..1000).map(|n| (n, n)));
    assert_eq!(hashed(), 1000);
    map.get_many(&(500..1500).collect::<Vec<_>>());
    assert_eq!(hashed(), 1000);
    map.remove_many(&[1, 2, 3]);
    assert_eq!(hashed(), 3);
}

#[test]
fn borrowed_keys_find_owned_ones_in_a_batch() {
    let map = ConcurrentMap::<String, u32>::new();
    assert_eq!(map.get_many(["ann"]), [None]);
    assert_eq!(map.remove_many(["ann"]), [None]);
    assert_eq!(map.insert_many([("ann".to_owned(), 1), ("bob".to_owned(), 2)]), [None, None]);
    assert_eq!(map.get_many(&["bob".to_owned(), "ann".to_owned()]), [Some(2), Some(1)]);
    assert_eq!(map.remove_many(["ann", "ann"]), [Some(1), None]);
    assert_eq!(map.insert_many([]), []);
}

/// A key that looks into its map when it is dropped.
struct Curious {
    n: u32,
    map: Weak<ConcurrentMap<Curious, u32>>,
    drops: Rc<Cell<usize>>,
}

impl PartialEq for Curious {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

impl Eq for Curious {}

impl Hash for Curious {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.n.hash(state);
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        if let Some(map) = self.map.upgrade() {
            map.retain(|_, _| true);
        }
    }
}

#[test]
fn keys_that_a_batch_has_no_use_for_are_dropped_with_no_lock_held() {
    let (map, drops) = (Rc::new(ConcurrentMap::with_shards(2)), Rc::new(Cell::new(0)));
    let key = |n| Curious { n, map: Rc::downgrade(&map), drops: drops.clone() };
    map.insert_many((0..20).chain(0..20).map(|n| (key(n), n)));
    assert_eq!(drops.get(), 20);
    let keys: Vec<Curious> = (0..5).map(key).collect();
    assert_eq!(map.remove_many(&keys), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(drops.get(), 25);
}

#[test]
fn each_key_is_new_to_exactly_one_of_many_batches() {
    const THREADS: usize = 4;
    const KEYS: usize = 2000;
    for round in 0..10 {
        let (map, start) = (ConcurrentMap::<usize, usize>::with_shards(4), Barrier::new(THREADS));
        let new: usize = thread::scope(|s| {
            let insert = |thread| {
                let (map, start) = (&map, &start);
                s.spawn(move || {
                    start.wait();
                    let mut new = 0;
                    for first in (0..KEYS).step_by(100) {
                        let keys = (first..first + 100 + 7 * thread).map(|n| n * (round + 1));
                        let old = map.insert_many(keys.clone().map(|n| (n, thread)));
                        new += old.iter().filter(|old| old.is_none()).count();
                        assert!(
                            map.get_many(&keys.collect::<Vec<_>>()).iter().all(Option::is_some)
                        );
                    }
                    new
                })
            };
            let threads: Vec<_> = (0..THREADS).map(insert).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(new, KEYS + 7 * (THREADS - 1));
        assert_eq!(map.len(), new);
    }
}

#[test]
fn an_iterator_is_taken_in_batches() {
    let mut map = ConcurrentMap::<u32, u32>::new();
    let mut given = 0;
    let endless = std::iter::from_fn(|| {
        given += 1;
        (given <= 5000).then_some((given, given)).or_else(|| panic!("it goes on for ever"))
    });
    let result = catch_unwind(AssertUnwindSafe(|| map.extend(endless)));
    assert!(result.is_err() && map.len() > 4000 && map.len() <= 5000, "{} are in", map.len());
}

#[test]
fn a_set_says_which_elements_were_new_or_there() {
    let set = ConcurrentSet::from(["a".to_owned()]);
    assert_eq!(set.insert_many(["a", "b", "b"].map(str::to_owned)), [false, true, false]);
    assert_eq!(set.contains_many(["b", "c"]), [true, false]);
    assert_eq!(set.remove_many(["a", "a", "c"]), [true, false, false]);
    assert_eq!(set.snapshot(), ["b"]);
}

thread_local! {
    /// How many more steps of foreign code go well.
    static FUSE: Cell<u32> = const { Cell::new(u32::MAX) };
}

fn burn() {
    match FUSE.get().checked_sub(1) {
        Some(left) => FUSE.set(left),
        None => panic::resume_unwind(Box::new("the fuse has blown")),
    }
}

#[derive(Debug, Eq)]
struct Key(u32);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

#[derive(Debug)]
struct Value(Rc<()>);

impl Clone for Value {
    fn clone(&self) -> Self {
        burn();
        Self(self.0.clone())
    }
}

/// Runs `operation` on 20 entries with a fuse for 0 steps, 1 step, … until it ends well. The
/// entries of even number must be there after each run.
fn blow_everywhere(operation: impl Fn(&ConcurrentMap<Key, Value>, &dyn Fn() -> Value)) {
    for fuse in 0.. {
        let living = Rc::new(());
        let value = || Value(living.clone());
        let map = ConcurrentMap::with_shards(2);
        (0..20).for_each(|n| _ = map.insert(Key(n), value()));
        FUSE.set(fuse);
        let result = catch_unwind(AssertUnwindSafe(|| operation(&map, &value)));
        FUSE.set(u32::MAX);
        assert_eq!(map.fold(0, |n, _, _| n + 1), map.len(), "the count is right");
        assert_eq!(Rc::strong_count(&living), 1 + map.len(), "nothing has leaked");
        assert!((0..20).step_by(2).all(|n| map.contains_key(&Key(n))), "nothing is lost");
        assert!(map.insert(Key(1000), value()).is_none(), "the map goes on working");
        if result.is_ok() {
            assert!(fuse > 20, "foreign code has run");
            return;
        }
    }
}

#[test]
fn a_panic_in_a_batch_loses_nothing_and_leaves_the_map_consistent() {
    let keys: Vec<Key> = (0..30).map(Key).collect();
    blow_everywhere(|map, _| _ = map.get_many(&keys));
    blow_everywhere(|map, value| _ = map.insert_many((10..40).map(|n| (Key(n), value()))));
    let odd: Vec<Key> = (0..20).map(|n| Key(2 * n + 1)).collect();
    blow_everywhere(|map, _| _ = map.remove_many(&odd));
}
