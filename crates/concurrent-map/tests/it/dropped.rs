//! Laws of keys and values whose destructors do what they should not: nothing foreign is dropped
//! under a lock, and no panic of one destructor leaks another value.

use std::{
    future::Future,
    hash::{BuildHasherDefault, Hash, Hasher},
    mem::ManuallyDrop,
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use test_kit::{Bomb, panics, quiet_panic};
use tidegate_concurrent_map::{ConcurrentMap, Keyed, Op};
use tidegate_core::Wait;

use crate::hashers::Identity;

type Meddled = ConcurrentMap<Meddler, Meddler>;

/// Calls its map when it is dropped; where a panic drops it under a lock, that ends the process.
/// The clone of `UNIQUE` panics.
struct Meddler(u32, Option<Arc<Meddled>>, Arc<AtomicUsize>);

const UNIQUE: u32 = 13;

impl Clone for Meddler {
    fn clone(&self) -> Self {
        if self.0 == UNIQUE {
            quiet_panic("quiet");
        }
        Self(self.0, self.1.clone(), self.2.clone())
    }
}

impl PartialEq for Meddler {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Meddler {}

impl Hash for Meddler {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        if let Some(map) = &self.1 {
            map.contains_key(&Self(0, None, self.2.clone()));
            self.2.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn what_a_clone_that_panics_leaves_is_dropped_with_the_lock_open() {
    let map = Arc::new(Meddled::with_shards(1));
    let asked = Arc::new(AtomicUsize::new(0));
    let meddler = |n| Meddler(n, Some(map.clone()), asked.clone());
    let calls = || asked.swap(0, Ordering::SeqCst);
    // The value is made, and its clone panics: the value and the key are dropped.
    assert!(panics(|| map.get_or_insert_with(meddler(1), || meddler(UNIQUE))));
    assert_eq!((calls(), map.len()), (2, 0));
    map.insert(meddler(1), meddler(UNIQUE));
    // Clones of keys, whose values panic.
    assert!(panics(|| map.find(|_, _| true)));
    assert!(panics(|| map.filter(|_, _| true)));
    assert!(panics(|| map.snapshot()));
    assert!(panics(|| map.map_values(|_, _| quiet_panic("quiet"))));
    assert_eq!((calls(), map.len()), (4, 1));
    map.clear();
    assert_eq!(calls(), 2);
}

type Bombs = ConcurrentMap<Bomb, Bomb>;

/// Fills a map of several shards with `n` entries, and returns how many bombs have gone off when
/// `act` has ended.
fn gone(n: u32, act: impl FnOnce(Bombs, &dyn Fn(u32) -> Bomb)) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let map = Bombs::with_shards(4);
    let bomb = |n| Bomb(n, count.clone());
    (0..n).for_each(|n| assert!(map.insert(bomb(n), bomb(n)).is_none()));
    assert!(panics(|| act(map, &bomb)));
    count.load(Ordering::SeqCst)
}

#[test]
fn keys_and_values_of_a_map_are_dropped_each_whoever_drops_them() {
    assert_eq!(gone(20, |map, _| drop(map)), 40);
    assert_eq!(gone(20, |map, _| map.into_iter().take(0).for_each(drop)), 40);
    let cleared = |map: Bombs, _: &dyn Fn(u32) -> Bomb| {
        assert!(panics(|| map.clear()) && map.is_empty());
        quiet_panic("quiet")
    };
    assert_eq!(gone(20, cleared), 40);
    let retained = |map: Bombs, _: &dyn Fn(u32) -> Bomb| {
        assert!(panics(|| map.retain(|_, _| false)) && map.is_empty());
        quiet_panic("quiet")
    };
    assert_eq!(gone(20, retained), 40);
    let unwound = |map: Bombs, _: &dyn Fn(u32) -> Bomb| {
        let _map = map;
        quiet_panic("quiet")
    };
    assert_eq!(gone(20, unwound), 40);
}

type Registry = Keyed<Bomb, Bomb>;

#[test]
fn keys_and_values_of_a_registry_are_dropped_each_whoever_drops_them() {
    let gone = |act: &dyn Fn(Registry)| {
        let count = Arc::new(AtomicUsize::new(0));
        let bomb = |n| Bomb(n, count.clone());
        let registry = Registry::new(NonZeroUsize::new(20).unwrap());
        for n in 20..40 {
            let key = ManuallyDrop::new(bomb(n));
            assert_eq!(registry.with(&*key, || bomb(n), |_| false, |value| value.0), Ok(n));
            assert!(panics(|| drop(ManuallyDrop::into_inner(key))));
        }
        assert!(panics(|| act(registry)));
        count.load(Ordering::SeqCst) - 20
    };
    let retained = |registry: Registry| {
        assert!(panics(|| registry.retain(|_, _| false)) && registry.is_empty());
        quiet_panic("quiet")
    };
    let stopped = |registry: Registry| {
        let mut refused = 0;
        registry.retain(|_, _| {
            refused += 1;
            if refused > 10 { quiet_panic("quiet") } else { false }
        });
    };
    let unwound = |registry: Registry| {
        let _registry = registry;
        quiet_panic("quiet")
    };
    assert_eq!(gone(&drop), 40);
    assert_eq!(gone(&retained), 40);
    assert_eq!(gone(&stopped), 40);
    assert_eq!(gone(&unwound), 40);
}

#[test]
fn a_key_that_panics_when_it_is_dropped_takes_no_value_along() {
    let pass = |old: Option<Bomb>, n| {
        assert_eq!(old.as_ref().map(|old| old.0), n);
        assert_eq!(panics(|| drop(old)), n.is_some());
    };
    let all = |map: Bombs, bomb: &dyn Fn(u32) -> Bomb| {
        pass(map.insert(bomb(0), bomb(100)), Some(0));
        pass(map.compute(bomb(1), |_| Op::Put(bomb(101))), Some(1));
        pass(map.compute(bomb(2), |_| Op::Remove), Some(2));
        assert!(!map.upsert(bomb(3), || quiet_panic("quiet"), |_| ()));
        for (old, n) in
            map.insert_many((0..5).map(|n| (bomb(n), bomb(n)))).into_iter().zip([100, 101, 0, 3, 4])
        {
            pass(old, (n > 0).then_some(n));
        }
        let key = ManuallyDrop::new(bomb(0));
        pass(map.remove(&*key), Some(0));
        for old in map.remove_many([&*key, &*key]) {
            pass(old, None);
        }
        drop(ManuallyDrop::into_inner(key));
    };
    // Ten in the map, and all that came later: none is left.
    assert_eq!(gone(5, all), 10 + 2 + 2 + 1 + 1 + 10 + 1);
}

/// Is ready at once, and panics when it is dropped.
struct Fragile(#[allow(dead_code, reason = "it is there to be dropped")] Bomb);

impl Future for Fragile {
    type Output = Result<u32, ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(7))
    }
}

#[test]
fn a_computation_that_panics_when_it_is_dropped_takes_no_value_along() {
    let map = ConcurrentMap::new();
    let fragile = Fragile(Bomb(0, Arc::default()));
    assert_eq!(map.get_or_try_insert_async("seven", fragile).wait(), Ok(7));
    assert_eq!(map.get("seven"), Some(7));
}

#[test]
fn a_map_that_is_a_value_of_another_is_dropped_in_a_section_of_that() {
    let inner = || ConcurrentMap::from([(1, String::from("one"))]);
    let outer = ConcurrentMap::from([("map", inner())]);
    outer.update("map", |map| *map = inner());
    assert_eq!(outer.get_with("map", |map| map.len()), Some(1));
}

/// Its first clone panics when it is dropped; the second call of `clone` panics.
struct ClonedOnce {
    clones: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    is_clone: bool,
}

impl Clone for ClonedOnce {
    fn clone(&self) -> Self {
        if self.clones.fetch_add(1, Ordering::SeqCst) == 1 {
            quiet_panic("no second clone");
        }
        Self { clones: self.clones.clone(), dropped: self.dropped.clone(), is_clone: true }
    }
}

impl Drop for ClonedOnce {
    fn drop(&mut self) {
        if self.is_clone {
            self.dropped.fetch_add(1, Ordering::SeqCst);
            quiet_panic("dropped");
        }
    }
}

#[test]
fn a_copy_that_a_clone_ends_drops_each_value_that_it_has() {
    let (clones, dropped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let hasher = BuildHasherDefault::<Identity>::default();
    let map = ConcurrentMap::with_shards_and_hasher(2, hasher);
    // One entry in each of the two shards.
    for key in [0_u64, 1] {
        let value =
            ClonedOnce { clones: clones.clone(), dropped: dropped.clone(), is_clone: false };
        assert!(map.insert(key, value).is_none());
    }
    assert!(panics(|| drop(map.clone())));
    assert_eq!((clones.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (2, 1));
}
