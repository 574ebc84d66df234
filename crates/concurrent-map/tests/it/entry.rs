//! Several steps on one key as one: entries that are lent to closures, and calls that return the
//! new value.

use std::{
    cell::Cell,
    collections::HashMap,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use proptest::prelude::*;
use tidegate_concurrent_map::{ConcurrentMap, Op};

#[derive(Debug, Clone)]
enum Step {
    Insert(u32),
    OrInsert(u32),
    Add(u32),
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u32..9).prop_map(Step::Insert),
        (0_u32..9).prop_map(Step::OrInsert),
        (0_u32..9).prop_map(Step::Add),
        Just(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn an_entry_does_what_an_option_in_std_s_map_does(
        calls in prop::collection::vec((0_u8..6, prop::collection::vec(step(), 0..6)), 0..60),
    ) {
        let map = ConcurrentMap::with_shards(2);
        let mut reference = HashMap::<u8, u32>::new();
        for (key, steps) in calls {
            let mut slot = reference.remove(&key);
            map.entry(key, |entry| {
                for step in steps {
                    match step {
                        Step::Insert(value) => assert_eq!(entry.insert(value), slot.replace(value)),
                        Step::OrInsert(value) => {
                            let expected = *slot.get_or_insert(value);
                            assert_eq!(*entry.or_insert_with(|| value), expected);
                        }
                        Step::Add(more) => {
                            entry.get_mut().into_iter().for_each(|value| *value += more);
                            slot.iter_mut().for_each(|value| *value += more);
                        }
                        Step::Remove => assert_eq!(entry.remove(), slot.take()),
                    }
                    assert_eq!((entry.key(), entry.get()), (&key, slot.as_ref()));
                }
            });
            reference.extend(slot.map(|value| (key, value)));
            prop_assert_eq!(map.len(), reference.len());
            prop_assert!((0..6).all(|key| map.get(&key) == reference.get(&key).copied()));
        }
    }
}

#[test]
fn modify_or_remove_is_one_step_for_many_threads() {
    const THREADS: u32 = 4;
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    let (map, zeros) = (ConcurrentMap::new(), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let held = map.upsert_and_get("count", || 1, |count| *count += 1);
                    assert!((1..=THREADS).contains(&held), "{held}");
                    let last = map.remove_if_mut("count", |_, count| {
                        *count -= 1;
                        *count == 0
                    });
                    assert!(matches!(last, None | Some(0)));
                    zeros.fetch_add(u32::from(last.is_some()), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(map.is_empty() && zeros.into_inner() >= 1);
}

#[test]
fn what_is_modified_stays_unless_the_condition_says_otherwise() {
    let map = ConcurrentMap::from([("a", 2)]);
    let take = |name| {
        map.remove_if_mut(name, |_, count| {
            *count -= 1;
            *count == 0
        })
    };
    assert_eq!((take("a"), map.get("a")), (None, Some(1)));
    assert_eq!((take("a"), map.get("a"), take("a"), take("b")), (Some(0), None, None, None));
}

#[test]
fn computing_tells_the_new_value() {
    let map = ConcurrentMap::from([(1, 10)]);
    let double = |old: Option<&i32>| old.map_or(Op::Put(1), |old| Op::Put(old * 2));
    assert_eq!(
        (map.compute_and_get(1, double), map.compute_and_get(2, double)),
        (Some(20), Some(1))
    );
    assert_eq!(map.compute_and_get(1, |_| Op::Keep), Some(20));
    assert_eq!((map.compute_and_get(1, |_| Op::Remove), map.get(&1)), (None, None));
    assert_eq!(map.compute_and_get(3, |_| Op::Remove), None);
    assert_eq!(map.upsert_and_get(2, || unreachable!(), |n| *n += 4), 5);
    assert_eq!((map.upsert_and_get(4, || 7, |_| unreachable!()), map.len()), (7, 2));
}

#[test]
fn a_closure_of_an_entry_that_calls_the_map_panics_and_nothing_is_held() {
    let map = ConcurrentMap::from([(1, 10)]);
    let calls: [&dyn Fn(); 4] = [
        &|| map.entry(1, |_| _ = map.get(&2)),
        &|| _ = map.remove_if_mut(&1, |_, _| map.insert(2, 2).is_some()),
        &|| _ = map.upsert_and_get(1, || 0, |_| map.clear()),
        &|| _ = map.compute_and_get(1, |_| Op::Put(map.get(&1).unwrap_or(0))),
    ];
    for call in calls {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        assert_eq!((map.get(&1), map.len()), (Some(10), 1));
    }
}

/// A key that counts the living ones; the last number tells equal keys apart.
#[derive(Clone)]
struct Key(u32, Rc<Cell<isize>>, u32);

impl Key {
    fn new(n: u32, living: &Rc<Cell<isize>>, number: u32) -> Self {
        living.set(living.get() + 1);
        Self(n, living.clone(), number)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
    }
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

#[test]
fn what_an_entry_has_done_when_its_closure_panics_stays_and_nothing_leaks() {
    let living = Rc::new(Cell::new(0));
    let map = ConcurrentMap::new();
    map.insert(Key::new(1, &living, 0), 1);
    let key = |number| Key::new(1, &living, number);
    let panicking = |steps: &dyn Fn(&mut tidegate_concurrent_map::MapEntry<'_, Key, i32>)| {
        let call = || {
            map.entry(key(1), |entry| {
                steps(entry);
                resume_unwind(Box::new("quiet"));
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    };
    panicking(&|entry| *entry.get_mut().unwrap() += 1);
    assert_eq!(map.get(&key(2)), Some(2));
    assert_eq!(living.get(), 1);
    panicking(&|entry| {
        assert_eq!((entry.remove(), entry.key().2), (Some(2), 1));
        entry.insert(5);
        assert_eq!(entry.remove(), Some(5));
        entry.insert(6);
    });
    assert_eq!(map.get(&key(2)), Some(6));
    assert_eq!(living.get(), 1);
    panicking(&|entry| _ = entry.remove());
    assert_eq!((map.len(), living.get()), (0, 0));
    let make =
        || map.entry(key(3), |entry| *entry.or_insert_with(|| resume_unwind(Box::new("quiet"))));
    assert!(catch_unwind(AssertUnwindSafe(make)).is_err());
    assert_eq!((map.len(), living.get()), (0, 0));
}

#[test]
fn an_entry_knows_its_key_whether_it_is_there_or_not() {
    let map = ConcurrentMap::from([(1, 1)]);
    for key in [1, 2] {
        map.entry(key, |entry| {
            assert_eq!(*entry.key(), key);
            entry.insert(7);
            assert_eq!(*entry.key(), key);
            entry.remove();
            assert_eq!(*entry.key(), key);
        });
    }
    assert!(map.is_empty());
}
