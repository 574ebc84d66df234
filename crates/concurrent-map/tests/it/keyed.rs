//! The promises of `Keyed`.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    cell::Cell,
    collections::HashMap,
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;
use tidegate_concurrent_map::Keyed;

/// A state that is idle when told so.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Flag {
    fn idle() -> Self {
        Self(AtomicBool::new(true))
    }

    fn set_idle(&self, idle: bool) {
        self.0.store(idle, Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn keyed<K: Hash + Eq, V>(max_keys: usize) -> Keyed<K, V> {
    Keyed::new(NonZeroUsize::new(max_keys).unwrap())
}

fn keys<K: Hash + Eq + Clone + Ord, V>(keyed: &Keyed<K, V>) -> Vec<K> {
    let mut keys = Vec::new();
    keyed.for_each(|key, _| keys.push(key.clone()));
    keys.sort();
    keys
}

#[test]
fn there_is_one_state_per_key_made_on_first_use() {
    let keyed = keyed::<u32, Arc<u32>>(8);
    let first = keyed.get_or_insert_with(&1, || 10, |_| false).unwrap();
    let again = keyed.get_or_insert_with(&1, || panic!("made twice"), |_| false).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert!(Arc::ptr_eq(&first, &keyed.get(&1).unwrap()));
    assert_eq!(keyed.len(), 1);
    assert!(keyed.get(&2).is_none());
}

#[test]
fn a_hit_makes_no_owned_key() {
    thread_local!(static CLONES: Cell<usize> = const { Cell::new(0) });

    #[derive(PartialEq, Eq, Hash)]
    struct Key(u32);
    impl Clone for Key {
        fn clone(&self) -> Self {
            CLONES.set(CLONES.get() + 1);
            Self(self.0)
        }
    }

    let keyed = keyed::<Key, ()>(8);
    for _ in 0..3 {
        keyed.with(&Key(1), || (), |()| false, |()| ()).unwrap();
    }
    assert_eq!(CLONES.get(), 1);
}

#[test]
fn borrowed_keys_find_owned_ones() {
    let keyed = keyed::<String, Arc<u32>>(8);
    keyed.get_or_insert_with("ann", || 1, |_| false).unwrap();
    assert_eq!(keyed.get("ann").as_deref(), Some(&1));
    assert_eq!(keyed.remove("ann").as_deref(), Some(&1));
    assert!(keyed.is_empty());
}

#[test]
fn a_new_key_takes_the_place_of_the_only_idle_entry_wherever_it_is() {
    const MAX: usize = 50;
    for idle in 0..MAX {
        let keyed = keyed::<usize, Arc<Flag>>(MAX);
        for key in 0..MAX {
            let flag = keyed.get_or_insert_with(&key, Flag::default, Flag::is_idle).unwrap();
            flag.set_idle(key == idle);
        }
        keyed.get_or_insert_with(&MAX, Flag::default, Flag::is_idle).unwrap();
        assert_eq!(keys(&keyed), (0..=MAX).filter(|key| *key != idle).collect::<Vec<_>>());
    }
}

#[test]
fn idle_entries_stay_while_there_is_room() {
    let keyed = keyed::<u32, Arc<Flag>>(4);
    for key in 0..4 {
        keyed.get_or_insert_with(&key, Flag::idle, Flag::is_idle).unwrap();
    }
    assert_eq!(keys(&keyed), [0, 1, 2, 3]);
}

#[test]
fn a_full_registry_refuses_a_new_key_and_keeps_serving_the_old_ones() {
    let keyed = keyed::<u32, Arc<Flag>>(2);
    keyed.get_or_insert_with(&1, Flag::default, Flag::is_idle).unwrap();
    keyed.get_or_insert_with(&2, Flag::default, Flag::is_idle).unwrap();
    let refused = keyed.get_or_insert_with(&3, || panic!("made in vain"), Flag::is_idle);
    assert_eq!(refused.unwrap_err().to_string(), "too many keys: 2 of 2 in use");
    assert!(keyed.get_or_insert_with(&2, Flag::default, Flag::is_idle).is_ok());
    assert!(keyed.remove(&1).is_some());
    assert!(keyed.get_or_insert_with(&3, Flag::default, Flag::is_idle).is_ok());
}

#[test]
fn a_state_that_somebody_holds_is_not_forgotten() {
    let keyed = keyed::<u32, Arc<Flag>>(1);
    let held = keyed.get_or_insert_with(&1, Flag::idle, Flag::is_idle).unwrap();
    assert!(keyed.get_or_insert_with(&2, Flag::idle, Flag::is_idle).is_err());
    let weak = Arc::downgrade(&held);
    drop(held);
    assert!(keyed.get_or_insert_with(&2, Flag::idle, Flag::is_idle).is_err());
    drop(weak);
    assert!(keyed.get_or_insert_with(&2, Flag::idle, Flag::is_idle).is_ok());
}

#[test]
fn memory_stays_bounded_under_many_distinct_keys() {
    let alive = Arc::new(());
    let keyed = keyed::<u64, Arc<()>>(100);
    for key in 0..100_000 {
        let state = keyed.with(&key, || alive.clone(), |_| true, |state| state.clone());
        drop(state.unwrap());
        assert!(keyed.len() <= 100);
        assert!(Arc::strong_count(&alive) <= 101);
    }
    assert_eq!(keys(&keyed).len(), 100);
}

#[test]
fn the_bound_is_strict_under_contention() {
    let keyed = keyed::<usize, Arc<Flag>>(3);
    thread::scope(|s| {
        for thread in 0..4 {
            let keyed = &keyed;
            s.spawn(move || {
                for round in 0..2000 {
                    let key = (thread + round) % 7;
                    _ = keyed.get_or_insert_with(&key, Flag::idle, Flag::is_idle);
                    assert!(keyed.len() <= 3);
                    let mut seen = 0;
                    keyed.for_each(|_, _| seen += 1);
                    if round % 5 == 0 {
                        keyed.remove(&key);
                    }
                }
            });
        }
    });
    assert!(keys(&keyed).len() <= 3);
    assert_eq!(keys(&keyed).len(), keyed.len());
}

#[test]
fn each_state_is_shared_by_all_who_ask_for_its_key() {
    let keyed = keyed::<usize, Arc<AtomicUsize>>(4);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for round in 0..1000 {
                    let state =
                        keyed.get_or_insert_with(&(round % 4), AtomicUsize::default, |_| false);
                    state.unwrap().fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    keyed.for_each(|_, count| assert_eq!(count.load(Ordering::Relaxed), 1000));
}

#[test]
fn retain_keeps_what_it_is_told_to() {
    let keyed = keyed::<u32, ()>(10);
    for key in 0..10 {
        keyed.with(&key, || (), |()| false, |()| ()).unwrap();
    }
    keyed.retain(|key, _| key % 2 == 0);
    assert_eq!(keys(&keyed), [0, 2, 4, 6, 8]);
    assert_eq!(keyed.len(), 5);
}

#[test]
fn panicking_closures_cost_no_place() {
    let keyed = keyed::<u32, Arc<Flag>>(1);
    let panics = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    panics(&|| drop(keyed.get_or_insert_with(&1, || panic!("make"), Flag::is_idle)));
    assert_eq!(keyed.len(), 0);
    panics(&|| keyed.with(&1, Arc::default, |_| false, |_| panic!("f")).unwrap());
    assert_eq!((keyed.len(), keys(&keyed)), (1, vec![1]));
    panics(&|| drop(keyed.get_or_insert_with(&2, Flag::default, |_| panic!("is_idle"))));
    assert_eq!((keyed.len(), keys(&keyed)), (1, vec![1]));
    // An idle entry is evicted for a state that cannot be made.
    panics(&|| drop(keyed.get_or_insert_with(&2, || panic!("make"), |_| true)));
    assert_eq!((keyed.len(), keys(&keyed)), (0, vec![]));
    keyed.get_or_insert_with(&2, Flag::default, Flag::is_idle).unwrap();
    panics(&|| keyed.retain(|_, _| panic!("keep")));
    assert_eq!((keyed.len(), keys(&keyed)), (1, vec![2]));
}

#[test]
fn calling_back_from_a_closure_that_writes_panics_instead_of_hanging() {
    let keyed = keyed::<u32, Arc<Flag>>(2);
    keyed.get_or_insert_with(&1, Flag::default, Flag::is_idle).unwrap();
    let again = || drop(keyed.get(&7));
    let is_refused = |f: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        let message = payload.downcast::<&str>().unwrap();
        assert!(message.contains("called back into the same map"), "{message}");
    };
    is_refused(&|| _ = keyed.with(&1, Arc::default, |_| false, |_| again()));
    is_refused(&|| {
        drop(keyed.get_or_insert_with(
            &2,
            || {
                again();
                Flag::default()
            },
            Flag::is_idle,
        ));
    });
    keyed.get_or_insert_with(&2, Flag::default, Flag::is_idle).unwrap();
    is_refused(&|| {
        drop(keyed.get_or_insert_with(&3, Flag::default, |_| {
            again();
            true
        }));
    });
    is_refused(&|| keyed.for_each(|key, _| drop(keyed.remove(key))));
    keyed.for_each(|_, _| again());
    is_refused(&|| {
        keyed.retain(|_, _| {
            again();
            true
        });
    });
    assert_eq!(keys(&keyed), [1, 2]);
}

/// Calls its registry when it is dropped.
struct Caller {
    registry: Weak<Keyed<u32, Caller>>,
    calls: Arc<AtomicUsize>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.for_each(|_, _| ());
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn states_are_dropped_with_no_lock_held() {
    let registry = Arc::new(keyed::<u32, Caller>(2));
    let calls = Arc::new(AtomicUsize::new(0));
    let make = || Caller { registry: Arc::downgrade(&registry), calls: calls.clone() };
    for key in 0..4 {
        registry.with(&key, make, |_| true, |_| ()).unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2, "two were evicted");
    let kept = keys(&registry);
    drop(registry.remove(&kept[0]));
    registry.retain(|_, _| false);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[test]
fn what_a_closure_that_did_not_run_has_captured_is_dropped_with_no_lock_held() {
    let registry = Arc::new(keyed::<u32, Caller>(1));
    let calls = Arc::new(AtomicUsize::new(0));
    let new = || Caller { registry: Arc::downgrade(&registry), calls: calls.clone() };
    let (unused_make, unused_use) = (new(), new());
    registry.with(&1, new, |_| false, |_| ()).unwrap();
    registry.with(&1, move || unused_make, |_| false, |_| ()).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the key is there");
    let panics = || panic!("no state");
    registry.remove(&1);
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the key was removed");
    let made = AssertUnwindSafe(|| registry.with(&1, panics, |_| false, move |_| drop(unused_use)));
    assert!(catch_unwind(made).is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 3, "the state could not be made");
}

#[test]
fn a_hash_that_panics_while_the_table_grows_loses_no_key() {
    thread_local!(static FUSE: Cell<usize> = const { Cell::new(usize::MAX) });

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
    struct Key(u32);
    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            FUSE.set(FUSE.get().checked_sub(1).expect("the fuse has blown"));
            self.0.hash(state);
        }
    }

    let keyed = keyed::<Key, u32>(1000);
    let (mut expected, mut blown) = (Vec::new(), 0);
    for n in 0..400 {
        // With a fuse of 0 the key's own hash would panic, whether or not the table grows.
        for fuse in [1, 2, 5, 20] {
            FUSE.set(fuse);
            let with = || keyed.with(&Key(n), || n, |_| false, |_| ());
            let is_blown = catch_unwind(AssertUnwindSafe(with)).is_err();
            FUSE.set(usize::MAX);
            blown += usize::from(is_blown);
            assert_eq!(keyed.len(), expected.len() + usize::from(!is_blown));
            if !is_blown {
                break;
            }
        }
        keyed.with(&Key(n), || n, |_| false, |_| ()).unwrap();
        expected.push(Key(n));
        assert_eq!(keys(&keyed), expected);
    }
    assert!(blown > 10, "{blown}");
    for n in 0..400 {
        assert_eq!(keyed.get(&Key(n)), Some(n));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Use(u8),
    SetIdle(u8, bool),
    Hold(u8),
    Release(u8),
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..12_u8;
    prop_oneof![
        4 => key.clone().prop_map(Step::Use),
        2 => (key.clone(), any::<bool>()).prop_map(|(key, idle)| Step::SetIdle(key, idle)),
        1 => key.clone().prop_map(Step::Hold),
        1 => key.clone().prop_map(Step::Release),
        1 => key.prop_map(Step::Remove),
    ]
}

proptest! {
    /// Which idle entry is evicted is not specified; everything else follows from the steps.
    #[test]
    fn it_does_what_a_bounded_hash_map_would(
        max_keys in 1..8_usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let keyed = keyed::<u8, Arc<Flag>>(max_keys);
        let mut reference = HashMap::<u8, bool>::new();
        let mut held = HashMap::<u8, Arc<Flag>>::new();
        for step in steps {
            match step {
                Step::Use(key) => {
                    let is_busy = |(key, idle): (&u8, &bool)| !idle || held.contains_key(key);
                    let must_refuse = !reference.contains_key(&key)
                        && reference.len() == max_keys
                        && reference.iter().all(is_busy);
                    let result = keyed.get_or_insert_with(&key, Flag::default, Flag::is_idle);
                    prop_assert_eq!(result.is_err(), must_refuse);
                    if result.is_ok() {
                        reference.entry(key).or_insert(false);
                    }
                    if reference.len() > max_keys {
                        let gone: Vec<u8> =
                            reference.keys().copied().filter(|key| keyed.get(key).is_none()).collect();
                        prop_assert_eq!(gone.len(), 1);
                        prop_assert!(reference[&gone[0]] && !held.contains_key(&gone[0]));
                        reference.remove(&gone[0]);
                    }
                }
                Step::SetIdle(key, idle) => {
                    if let Some(flag) = keyed.get(&key) {
                        flag.set_idle(idle);
                        reference.insert(key, idle);
                    }
                }
                Step::Hold(key) => {
                    if let Some(flag) = keyed.get(&key) {
                        held.insert(key, flag);
                    }
                }
                Step::Release(key) => drop(held.remove(&key)),
                Step::Remove(key) => {
                    prop_assert_eq!(keyed.remove(&key).is_some(), reference.remove(&key).is_some());
                    held.remove(&key);
                }
            }
            prop_assert_eq!(keyed.len(), reference.len());
            let mut expected: Vec<u8> = reference.keys().copied().collect();
            expected.sort_unstable();
            prop_assert_eq!(keys(&keyed), expected);
        }
    }
}
