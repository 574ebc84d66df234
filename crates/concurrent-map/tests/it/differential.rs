//! Map, set and registry do, step by step, what std's map and set do; and what they hold is
//! counted.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    num::NonZeroUsize,
    rc::Rc,
};

use proptest::prelude::*;
use tidegate_concurrent_map::{
    ConcurrentMap, ConcurrentSet, DefaultHashBuilder, Equivalent, Keyed, Op,
};

use crate::hashers::{Constant, Identity};

/// Puts the number into the highest bits; all others are zero.
#[derive(Default)]
struct Highest(Identity);

impl Hasher for Highest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn write_u16(&mut self, n: u16) {
        self.0.write_u16(n);
    }

    fn finish(&self) -> u64 {
        self.0.finish() << 48
    }
}

/// A key whose copies are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key(u16, Rc<()>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Finds a [`Key`] without being one.
#[derive(Hash)]
struct Number(u16);

impl Equivalent<Key> for Number {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0
    }
}

/// A value whose copies are counted.
type Value = (u32, Rc<()>);

#[derive(Debug, Clone)]
enum Step {
    Insert(u16, u32),
    TryInsert(u16, u32),
    Get(u16),
    Remove(u16),
    RemoveIfEven(u16),
    Update(u16, u32),
    Upsert(u16, u32),
    GetOrInsert(u16, u32),
    ComputePut(u16, u32),
    ComputeRemove(u16),
    ComputeKeep(u16),
    CompareAndSwap(u16, u32, u32),
    /// Inserts a run of keys, by `extend`.
    Grow(u16, u16),
    /// Removes a run of keys.
    Shrink(u16, u16),
    RetainBelow(u32),
    RetainHalved,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..60_u16;
    let value = || 0..20_u32;
    prop_oneof![
        12 => (key(), value()).prop_map(|(k, v)| Step::Insert(k, v)),
        4 => (key(), value()).prop_map(|(k, v)| Step::TryInsert(k, v)),
        4 => key().prop_map(Step::Get),
        6 => key().prop_map(Step::Remove),
        3 => key().prop_map(Step::RemoveIfEven),
        3 => (key(), value()).prop_map(|(k, v)| Step::Update(k, v)),
        3 => (key(), value()).prop_map(|(k, v)| Step::Upsert(k, v)),
        3 => (key(), value()).prop_map(|(k, v)| Step::GetOrInsert(k, v)),
        3 => (key(), value()).prop_map(|(k, v)| Step::ComputePut(k, v)),
        2 => key().prop_map(Step::ComputeRemove),
        1 => key().prop_map(Step::ComputeKeep),
        4 => (key(), value(), value()).prop_map(|(k, e, v)| Step::CompareAndSwap(k, e, v)),
        1 => (key(), 0..200_u16).prop_map(|(k, n)| Step::Grow(k, n)),
        2 => (key(), 0..100_u16).prop_map(|(k, n)| Step::Shrink(k, n)),
        1 => value().prop_map(Step::RetainBelow),
        1 => Just(Step::RetainHalved),
        1 => Just(Step::Clear),
    ]
}

type Reference = HashMap<u16, u32>;

/// Takes one step on both, and asserts that they answer the same.
fn take<S: BuildHasher>(
    map: &mut ConcurrentMap<Key, Value, S>,
    reference: &mut Reference,
    living: &(Rc<()>, Rc<()>),
    step: &Step,
) {
    let key = |n: u16| Key(n, living.0.clone());
    let value = |n: u32| -> Value { (n, living.1.clone()) };
    let number = |value: Option<Value>| value.map(|value| value.0);
    match *step {
        Step::Insert(k, v) => {
            assert_eq!(number(map.insert(key(k), value(v))), reference.insert(k, v));
        }
        Step::TryInsert(k, v) => {
            match map.try_insert(key(k), value(v)).map_err(|error| error.into_inner()) {
                Ok(()) => assert_eq!(reference.insert(k, v), None),
                Err(refused) => {
                    assert!(reference.contains_key(&k));
                    assert_eq!(refused, (key(k), value(v)));
                }
            }
        }
        Step::Get(k) => {
            let expected = reference.get(&k).copied();
            assert_eq!(number(map.get(&key(k))), expected);
            assert_eq!(map.get_with(&Number(k), |v| v.0), expected);
            assert_eq!(map.contains_key(&Number(k)), expected.is_some());
        }
        Step::Remove(k) => assert_eq!(number(map.remove(&Number(k))), reference.remove(&k)),
        Step::RemoveIfEven(k) => {
            let removed = map.remove_if(&Number(k), |held, v| {
                assert_eq!(held.0, k);
                v.0 % 2 == 0
            });
            let is_even = reference.get(&k).is_some_and(|v| v % 2 == 0);
            assert_eq!(number(removed), if is_even { reference.remove(&k) } else { None });
        }
        Step::Update(k, v) => {
            let old = map.update(&Number(k), |held| core::mem::replace(&mut held.0, v));
            assert_eq!(old, reference.get_mut(&k).map(|held| core::mem::replace(held, v)));
        }
        Step::Upsert(k, v) => {
            let is_new = map.upsert(key(k), || value(v), |held| held.0 += v);
            assert_eq!(is_new, !reference.contains_key(&k));
            reference.entry(k).and_modify(|held| *held += v).or_insert(v);
        }
        Step::GetOrInsert(k, v) => {
            let got = map.get_or_insert_with(key(k), || value(v)).0;
            assert_eq!(got, *reference.entry(k).or_insert(v));
        }
        Step::ComputePut(k, v) => {
            let old = map.compute(key(k), |held| Op::Put(value(v + held.map_or(0, |held| held.0))));
            let sum = v + reference.get(&k).copied().unwrap_or(0);
            assert_eq!(number(old), reference.insert(k, sum));
        }
        Step::ComputeRemove(k) => {
            assert_eq!(number(map.compute(key(k), |_| Op::Remove)), reference.remove(&k));
        }
        Step::ComputeKeep(k) => {
            let mut seen = None;
            assert!(map.compute(key(k), |held| (seen = held.map(|v| v.0), Op::Keep).1).is_none());
            assert_eq!(seen, reference.get(&k).copied());
        }
        Step::CompareAndSwap(k, expected, v) => {
            match (
                map.compare_and_swap(&Number(k), &value(expected), value(v)),
                reference.get_mut(&k),
            ) {
                (Err(error), None) => assert!(error.is_absent() && error.into_inner().0 == v),
                (Err(error), Some(held)) => {
                    assert!(error.is_different() && error.into_inner().0 == v && *held != expected);
                }
                (Ok(old), held) => {
                    assert_eq!(old.0, expected);
                    assert_eq!(core::mem::replace(held.unwrap(), v), expected);
                }
            }
        }
        Step::Grow(from, count) => {
            map.extend((from..from + count).map(|k| (key(k), value(k.into()))));
            reference.extend((from..from + count).map(|k| (k, u32::from(k))));
        }
        Step::Shrink(from, count) => {
            for k in from..from + count {
                assert_eq!(number(map.remove(&Number(k))), reference.remove(&k));
            }
        }
        Step::RetainBelow(limit) => {
            map.retain(|_, v| v.0 < limit);
            reference.retain(|_, v| *v < limit);
        }
        Step::RetainHalved => {
            map.retain(|k, v| (v.0 /= 2, (k.0 + 1) % 4 != 0).1);
            reference.retain(|k, v| (*v /= 2, (k + 1) % 4 != 0).1);
        }
        Step::Clear => {
            map.clear();
            reference.clear();
        }
    }
}

/// Asserts that both have the same entries, by every method that visits all of them.
fn compare<S: BuildHasher>(map: &ConcurrentMap<Key, Value, S>, reference: &Reference) {
    let sorted: BTreeMap<u16, u32> = reference.iter().map(|(k, v)| (*k, *v)).collect();
    let entries = |list: Vec<(u16, u32)>| {
        assert_eq!(list.len(), sorted.len(), "each entry once");
        assert_eq!(list.into_iter().collect::<BTreeMap<_, _>>(), sorted);
    };
    entries(map.snapshot().into_iter().map(|(k, v)| (k.0, v.0)).collect());
    entries(map.map_values(|_, v| v.0).into_iter().map(|(k, v)| (k.0, v)).collect());
    entries(map.fold(Vec::new(), |mut list, k, v| (list.push((k.0, v.0)), list).1));
    entries(map.keys().into_iter().map(|k| (k.0, map.get(&k).unwrap().0)).collect());
    let mut values: Vec<u32> = map.values().into_iter().map(|v| v.0).collect();
    let mut expected: Vec<u32> = sorted.values().copied().collect();
    values.sort_unstable();
    expected.sort_unstable();
    assert_eq!(values, expected);
    let is_odd = |n: u32| n % 2 == 1;
    let odd = sorted.values().filter(|v| is_odd(**v)).count();
    assert_eq!(map.filter(|_, v| is_odd(v.0)).len(), odd);
    assert_eq!(map.any(|_, v| is_odd(v.0)), odd > 0);
    assert_eq!(map.all(|_, v| is_odd(v.0)), odd == sorted.len());
    match map.find(|_, v| is_odd(v.0)) {
        Some((k, v)) => assert!(is_odd(v.0) && sorted.get(&k.0) == Some(&v.0)),
        None => assert_eq!(odd, 0),
    }
}

fn same<S: BuildHasher>(shards: usize, hasher: S, steps: &[Step]) {
    let living = (Rc::new(()), Rc::new(()));
    let count = || (Rc::strong_count(&living.0) - 1, Rc::strong_count(&living.1) - 1);
    let mut map = ConcurrentMap::with_shards_and_hasher(shards, hasher);
    let mut reference = Reference::new();
    for step in steps {
        take(&mut map, &mut reference, &living, step);
        assert_eq!(map.len(), reference.len(), "after {step:?}");
        assert_eq!(map.is_empty(), reference.is_empty());
        assert_eq!(count(), (reference.len(), reference.len()), "what lives, after {step:?}");
    }
    compare(&map, &reference);
    drop(map);
    assert_eq!(count(), (0, 0), "what lives at the end");
}

proptest! {
    #[test]
    fn it_does_what_std_does_and_leaks_nothing(
        shards in prop::sample::select(&[0, 1, 3, 64][..]),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        same(shards, DefaultHashBuilder::default(), &steps);
        same(shards, RandomState::new(), &steps);
        same(shards, BuildHasherDefault::<Constant>::default(), &steps);
        same(shards, BuildHasherDefault::<Identity>::default(), &steps);
        same(shards, BuildHasherDefault::<Highest>::default(), &steps);
    }

    #[test]
    fn a_set_does_what_std_does(
        shards in prop::sample::select(&[0, 1, 3, 64][..]),
        steps in prop::collection::vec((0..8_u8, 0..60_u16), 0..200),
    ) {
        let mut set = ConcurrentSet::<u16>::with_shards(shards);
        let mut reference = HashSet::new();
        for (step, n) in steps {
            match step {
                0..3 => prop_assert_eq!(set.insert(n), reference.insert(n)),
                3..5 => prop_assert_eq!(set.remove(&n), reference.remove(&n)),
                5 => {
                    set.extend(n..2 * n);
                    reference.extend(n..2 * n);
                }
                6 => {
                    set.retain(|k| k % 7 != n % 7);
                    reference.retain(|k| k % 7 != n % 7);
                }
                _ if n == 0 => {
                    set.clear();
                    reference.clear();
                }
                _ => prop_assert_eq!(set.contains(&n), reference.contains(&n)),
            }
            prop_assert_eq!((set.len(), set.is_empty()), (reference.len(), reference.is_empty()));
        }
        let mut seen = Vec::new();
        set.for_each(|n| seen.push(*n));
        prop_assert_eq!(seen.len(), reference.len());
        prop_assert_eq!(set.snapshot().into_iter().collect::<HashSet<_>>(), reference.clone());
        prop_assert_eq!(set.fold(0, |sum, n| sum + u32::from(*n)), reference.iter().map(|n| u32::from(*n)).sum::<u32>());
        prop_assert_eq!(set.any(|n| *n > 50), reference.iter().any(|n| *n > 50));
        prop_assert_eq!(set.all(|n| *n > 3), reference.iter().all(|n| *n > 3));
        prop_assert_eq!(set.find(|n| *n == 7), reference.get(&7).copied());
    }

    #[test]
    fn a_registry_without_idle_entries_is_a_bounded_map(
        max_keys in 1..40_usize,
        steps in prop::collection::vec((0..8_u8, 0..60_u16, 0..20_u32), 0..200),
    ) {
        let living = Rc::new(());
        let keyed = Keyed::<u16, Value>::new(NonZeroUsize::new(max_keys).unwrap());
        let mut reference = Reference::new();
        for (step, k, v) in steps {
            match step {
                0..4 => {
                    let got = keyed.with(&k, || (v, living.clone()), |_| false, |held| {
                        held.0 += 1;
                        held.0
                    });
                    if reference.contains_key(&k) || reference.len() < max_keys {
                        let held = reference.entry(k).or_insert(v);
                        *held += 1;
                        prop_assert_eq!(got, Ok(*held));
                    } else {
                        prop_assert_eq!(got.unwrap_err().max_keys(), max_keys);
                    }
                }
                4 => prop_assert_eq!(keyed.remove(&k).map(|v| v.0), reference.remove(&k)),
                5 => {
                    let old = keyed.get_with(&k, |held| core::mem::replace(&mut held.0, v));
                    prop_assert_eq!(old, reference.get_mut(&k).map(|held| core::mem::replace(held, v)));
                }
                6 if k < 10 => {
                    keyed.retain(|k, held| (held.0 /= 2, u32::from(*k) % 5 != v % 5).1);
                    reference.retain(|k, held| (*held /= 2, u32::from(*k) % 5 != v % 5).1);
                }
                _ => prop_assert_eq!(keyed.get(&k).map(|v| v.0), reference.get(&k).copied()),
            }
            prop_assert_eq!((keyed.len(), keyed.is_empty()), (reference.len(), reference.is_empty()));
            prop_assert_eq!(Rc::strong_count(&living), 1 + reference.len());
        }
        let mut seen = HashMap::new();
        keyed.for_each(|k, v| assert_eq!(seen.insert(*k, v.0), None, "each entry once"));
        prop_assert_eq!(seen, reference);
        drop(keyed);
        prop_assert_eq!(Rc::strong_count(&living), 1);
    }
}
