//! Panics at every place where foreign code runs: the map stays consistent and loses nothing but what it says.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    panic::{self, AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Once,
};

use tidegate_concurrent_map::{ConcurrentMap, Op};

thread_local! {
    /// How many more steps of foreign code go well; `None`: all.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
}

fn step() {
    if let Some(left) = FUSE.get() {
        FUSE.set(left.checked_sub(1));
        if left == 0 {
            panic::panic_any("the fuse has blown");
        }
    }
}

#[derive(Debug, Eq)]
struct Key(u32);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        step();
        self.0 == other.0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        step();
        self.0.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        step();
        Self(self.0)
    }
}

/// Counts its living clones.
#[derive(Debug)]
struct Value(u32, Rc<()>);

impl Clone for Value {
    fn clone(&self) -> Self {
        step();
        Self(self.0, self.1.clone())
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        step();
        self.0 == other.0
    }
}

/// Keeps the messages of the expected panics out of the output.
fn quiet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref() != Some(&"the fuse has blown") {
                usual(info);
            }
        }));
    });
}

type Map = ConcurrentMap<Key, Value>;

/// Runs `operation` with a fuse for 0 steps, 1 step, … until it ends well; looks at the map after each.
fn blow_everywhere(entries: u32, operation: impl Fn(&Map, &dyn Fn() -> Value)) {
    quiet();
    for fuse in 0.. {
        assert!(fuse < 10_000, "the operation never ends well");
        let living = Rc::new(());
        let value = || Value(7, living.clone());
        let map = Map::with_shards(1);
        (0..entries).for_each(|n| drop(map.insert(Key(n), value())));
        FUSE.set(Some(fuse));
        let result = catch_unwind(AssertUnwindSafe(|| operation(&map, &value)));
        FUSE.set(None);
        let mut keys: Vec<u32> = map.keys().into_iter().map(|key| key.0).collect();
        assert_eq!(keys.len(), map.len(), "the count is right");
        assert_eq!(Rc::strong_count(&living), 1 + map.len(), "nothing has leaked");
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), map.len(), "each key is there once");
        assert!(keys.iter().all(|n| map.contains_key(&Key(*n))), "each key is found");
        map.insert(Key(1), value());
        assert!(map.remove(&Key(1)).is_some(), "the map goes on working");
        if result.is_ok() {
            return;
        }
    }
}

#[test]
fn in_an_insertion_that_grows_the_table() {
    // 3, 7, 14 and 28 entries fill tables of 4, 8, 16 and 32 slots.
    for entries in [0, 3, 7, 14, 28] {
        blow_everywhere(entries, |map, value| drop(map.insert(Key(1000), value())));
        blow_everywhere(entries, |map, value| drop(map.try_insert(Key(1), value())));
        blow_everywhere(entries, |map, value| drop(map.get_or_insert_with(Key(1000), value)));
    }
}

#[test]
fn in_an_operation_on_one_key() {
    blow_everywhere(5, |map, _| drop(map.get(&Key(2))));
    blow_everywhere(5, |map, _| _ = map.get_with(&Key(2), |_| step()));
    blow_everywhere(5, |map, _| drop(map.remove_if(&Key(2), |_, _| (step(), true).1)));
    blow_everywhere(5, |map, _| _ = map.update(&Key(2), |_| step()));
    blow_everywhere(5, |map, value| _ = map.compare_and_swap(&Key(2), &value(), value()));
    for key in [2, 1000] {
        blow_everywhere(5, |map, value| {
            map.upsert(Key(key), || (step(), value()).1, |_| step());
        });
        blow_everywhere(5, |map, value| {
            drop(map.compute(Key(key), |_| (step(), Op::Put(value())).1));
        });
        blow_everywhere(5, |map, _| drop(map.compute(Key(key), |_| (step(), Op::Remove).1)));
    }
}

#[test]
fn in_an_operation_on_every_entry() {
    blow_everywhere(9, |map, _| map.for_each(|_, _| step()));
    blow_everywhere(9, |map, _| drop(map.snapshot()));
    blow_everywhere(9, |map, _| _ = map.fold(0, |sum, _, _| (step(), sum + 1).1));
    blow_everywhere(9, |map, _| map.retain(|key, _| (step(), key.0 % 2 == 0).1));
}

#[test]
fn in_growth_after_many_removals() {
    blow_everywhere(12, |map, value| {
        for n in 0..40 {
            map.remove(&Key(n));
            map.insert(Key(n + 12), value());
        }
    });
}

#[test]
fn in_a_destructor() {
    struct Bomb {
        is_live: bool,
        _living: Rc<()>,
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.is_live {
                panic::panic_any("the fuse has blown");
            }
        }
    }

    quiet();
    let living = Rc::new(());
    let map = ConcurrentMap::<u32, Bomb>::with_shards(1);
    let bomb = |is_live| Bomb { is_live, _living: living.clone() };
    let fill = || (0..10).for_each(|n| _ = map.try_insert(n, bomb(n == 5)));
    let blows = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    fill();
    blows(&|| map.retain(|_, bomb| !bomb.is_live));
    assert_eq!((map.len(), Rc::strong_count(&living)), (9, 10));
    fill();
    blows(&|| drop(map.insert(5, bomb(false))));
    assert_eq!((map.len(), Rc::strong_count(&living)), (10, 11));
    drop(map.remove(&5));
    fill();
    blows(&|| map.clear());
    // What lay behind the bomb may leak, as in std's map.
    assert!(map.is_empty() && map.insert(5, bomb(false)).is_none());
}
