//! When and where destructors run: once, at once, in the thread that removed the value, with no
//! lock held.

use std::{
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, Op};

/// A value with a flag that outlives it and says whether it is alive.
struct Guarded(Arc<AtomicBool>);

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// scc #176: a value is freed while another thread reads it.
#[test]
fn a_value_that_somebody_looks_at_is_not_removed_under_his_eyes() {
    // Every second map is one that is mostly read.
    for reads in [0, 5000].repeat(10) {
        let alive = Arc::new(AtomicBool::new(true));
        let map = ConcurrentMap::from([("k", Guarded(alive.clone()))]);
        (0..reads).for_each(|_| assert!(map.contains_key("k")));
        let inside = Barrier::new(4);
        let actions: [&(dyn Fn() + Sync); 3] =
            [&|| _ = map.remove("k"), &|| map.clear(), &|| map.retain(|_, _| false)];
        thread::scope(|s| {
            for action in actions {
                let inside = &inside;
                s.spawn(move || {
                    inside.wait();
                    action();
                });
            }
            map.get_with("k", |value| {
                inside.wait();
                for _ in 0..200 {
                    assert!(value.0.load(Ordering::Relaxed));
                    thread::yield_now();
                }
            });
        });
        assert!(!alive.load(Ordering::Relaxed) && map.is_empty());
    }
}

/// papaya, flurry and scc drop what is removed when an epoch has passed; a reader elsewhere delays
/// that.
#[test]
fn what_is_removed_is_dropped_before_the_operation_returns_whoever_reads() {
    let map = ConcurrentMap::with_shards(64);
    let alive = [(); 512].map(|()| Arc::new(AtomicBool::new(true)));
    let is_alive = |n: usize| alive[n].load(Ordering::Relaxed);
    for (n, alive) in alive.iter().enumerate() {
        map.insert(n, Guarded(alive.clone()));
    }
    let order = map.keys();
    let (inside, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            map.get_with(&order[0], |_| {
                inside.wait();
                done.wait();
            });
        });
        inside.wait();
        let [.., replaced, computed, removed] = order[..] else { unreachable!("512 keys") };
        drop(map.insert(replaced, Guarded(Arc::default())));
        drop(map.compute(computed, |_| Op::Remove));
        drop(map.remove(&removed));
        assert!([replaced, computed, removed].iter().all(|n| !is_alive(*n)));
        done.wait();
    });
    map.retain(|key, _| *key != order[1]);
    assert!(!is_alive(order[1]) && is_alive(order[2]));
    map.clear();
    assert!((0..512).all(|n| !is_alive(n)));
}

/// A value that writes to its own map when it is dropped.
struct Avenger(Arc<ConcurrentMap<u32, Option<Avenger>>>, u32);

impl Drop for Avenger {
    fn drop(&mut self) {
        self.0.insert(self.1 + 1000, None);
        self.0.remove(&(self.1 + 2000));
    }
}

/// A destructor that finds its map locked deadlocks, and nothing in the source code shows it.
#[test]
fn a_values_destructor_may_write_to_the_map() {
    let map = Arc::new(ConcurrentMap::<u32, Option<Avenger>>::with_shards(1));
    let fill = || (0..6).for_each(|n| drop(map.insert(n, Some(Avenger(map.clone(), n)))));
    fill();
    fill();
    drop(map.remove(&0));
    drop(map.compute(1, |_| Op::Put(None)));
    drop(map.remove_if(&2, |_, _| true));
    drop(map.update(&3, core::mem::take));
    map.retain(|key, value| *key != 4 && value.is_none());
    assert_eq!(map.len(), 2 + 6, "two emptied ones, and what the destructors of all have inserted");
    fill();
    map.clear();
    assert_eq!(map.len(), 6, "what the destructors have inserted behind the clear");
}

/// dashmap #300: the map is unusable in a thread that unwinds. Nor does a thread that unwinds leave
/// a lock closed.
#[test]
fn a_thread_that_unwinds_may_use_the_map_and_leaves_it_open() {
    struct LastWill<'a>(&'a ConcurrentMap<&'static str, u32>);
    impl Drop for LastWill<'_> {
        fn drop(&mut self) {
            self.0.upsert("wills", || 1, |n| *n += 1);
            self.0.for_each(|_, _| ());
        }
    }
    let map = ConcurrentMap::with_shards(1);
    let fall = |inside: bool| {
        let _will = LastWill(&map);
        let blow = || resume_unwind(Box::new("on purpose"));
        if inside { map.get_or_insert_with("k", &blow) } else { blow() }
    };
    for inside in [false, true] {
        assert!(thread::scope(|s| s.spawn(|| fall(inside)).join()).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| fall(inside))).is_err());
    }
    assert_eq!(map.snapshot(), [("wills", 4)]);
}

/// A key that writes to its map, if it has one, when it is dropped.
struct Key(u32, Option<Arc<Spite>>);

struct Spite {
    map: ConcurrentMap<Key, ()>,
    calls: AtomicUsize,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if let Some(spite) = &self.1 {
            spite.calls.fetch_add(1, Ordering::Relaxed);
            spite.map.insert(Self(self.0 + 1000, None), ());
        }
    }
}

#[test]
fn a_keys_destructor_may_write_to_the_map() {
    let map = ConcurrentMap::with_shards(1);
    let spite = Arc::new(Spite { map, calls: AtomicUsize::new(0) });
    let (map, key) = (&spite.map, |n| Key(n, Some(spite.clone())));
    let calls = || spite.calls.swap(0, Ordering::Relaxed);
    let quiet = |n| Key(n, None);
    (0..6).for_each(|n| _ = map.insert(key(n), ()));
    assert_eq!(calls(), 0);
    map.insert(key(0), ());
    drop(map.try_insert(key(0), ()));
    map.upsert(key(0), || (), |()| ());
    map.get_or_insert_with(key(0), || ());
    map.compute(key(0), |_| Op::Put(()));
    map.compute(key(99), |_| Op::Keep);
    assert_eq!(calls(), 6, "keys that were there, or not wanted");
    map.remove(&quiet(0));
    map.remove_if(&quiet(1), |_, ()| true);
    map.compute(quiet(2), |_| Op::Remove);
    assert_eq!(calls(), 3, "keys that were removed, one by one");
    map.retain(|key, ()| key.0 != 3);
    assert_eq!(calls(), 1, "retain");
    map.clear();
    assert_eq!(calls(), 2, "clear");
}
