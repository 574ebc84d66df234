//! What the map does, compared with what `std::collections::HashMap` does, step by step.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use proptest::prelude::*;
use tidegate_concurrent_map::{ConcurrentMap, Op};

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u32),
    TryInsert(u8, u32),
    Get(u8),
    Remove(u8),
    RemoveIfEven(u8),
    Update(u8, u32),
    Upsert(u8, u32),
    GetOrInsert(u8, u32),
    ComputePut(u8, u32),
    ComputeRemove(u8),
    ComputeKeep(u8),
    CompareAndSwap(u8, u32, u32),
    RetainBelow(u32),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..40_u8;
    let value = || 0..20_u32;
    prop_oneof![
        12 => (key(), value()).prop_map(|(k, v)| Step::Insert(k, v)),
        4 => (key(), value()).prop_map(|(k, v)| Step::TryInsert(k, v)),
        4 => key().prop_map(Step::Get),
        6 => key().prop_map(Step::Remove),
        2 => key().prop_map(Step::RemoveIfEven),
        3 => (key(), value()).prop_map(|(k, v)| Step::Update(k, v)),
        3 => (key(), value()).prop_map(|(k, v)| Step::Upsert(k, v)),
        3 => (key(), value()).prop_map(|(k, v)| Step::GetOrInsert(k, v)),
        3 => (key(), value()).prop_map(|(k, v)| Step::ComputePut(k, v)),
        2 => key().prop_map(Step::ComputeRemove),
        1 => key().prop_map(Step::ComputeKeep),
        4 => (key(), value(), value()).prop_map(|(k, e, v)| Step::CompareAndSwap(k, e, v)),
        1 => value().prop_map(Step::RetainBelow),
        1 => Just(Step::Clear),
    ]
}

/// A value whose clones are counted: what is left when everything is gone has leaked.
type Value = (u32, Rc<()>);

proptest! {
    #[test]
    fn it_does_what_std_does_and_leaks_nothing(
        shards in 0..5_usize,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let counter = Rc::new(());
        let value = |n: u32| -> Value { (n, counter.clone()) };
        let map = ConcurrentMap::<u8, Value>::with_shards(shards);
        let mut reference = HashMap::<u8, u32>::new();
        for step in steps {
            match step {
                Step::Insert(k, v) => {
                    prop_assert_eq!(map.insert(k, value(v)).map(|old| old.0), reference.insert(k, v));
                }
                Step::TryInsert(k, v) => {
                    let refused = map.try_insert(k, value(v)).map_err(|error| error.into_inner());
                    match reference.contains_key(&k) {
                        true => prop_assert_eq!(refused.unwrap_err(), (k, value(v))),
                        false => {
                            prop_assert!(refused.is_ok());
                            reference.insert(k, v);
                        }
                    }
                }
                Step::Get(k) => {
                    prop_assert_eq!(map.get(&k).map(|v| v.0), reference.get(&k).copied());
                    prop_assert_eq!(map.contains_key(&k), reference.contains_key(&k));
                }
                Step::Remove(k) => {
                    prop_assert_eq!(map.remove(&k).map(|old| old.0), reference.remove(&k));
                }
                Step::RemoveIfEven(k) => {
                    let removed = map.remove_if(&k, |_, v| v.0 % 2 == 0).map(|old| old.0);
                    let is_even = reference.get(&k).is_some_and(|v| v % 2 == 0);
                    prop_assert_eq!(removed, if is_even { reference.remove(&k) } else { None });
                }
                Step::Update(k, v) => {
                    let old = map.update(&k, |held| core::mem::replace(&mut held.0, v));
                    prop_assert_eq!(old, reference.get_mut(&k).map(|held| core::mem::replace(held, v)));
                }
                Step::Upsert(k, v) => {
                    let is_new = map.upsert(k, || value(v), |held| held.0 += v);
                    prop_assert_eq!(is_new, !reference.contains_key(&k));
                    reference.entry(k).and_modify(|held| *held += v).or_insert(v);
                }
                Step::GetOrInsert(k, v) => {
                    let got = map.get_or_insert_with(k, || value(v)).0;
                    prop_assert_eq!(got, *reference.entry(k).or_insert(v));
                }
                Step::ComputePut(k, v) => {
                    let old = map.compute(k, |held| Op::Put(value(v + held.map_or(0, |held| held.0))));
                    let sum = v + reference.get(&k).copied().unwrap_or(0);
                    prop_assert_eq!(old.map(|old| old.0), reference.insert(k, sum));
                }
                Step::ComputeRemove(k) => {
                    let old = map.compute(k, |_| Op::Remove);
                    prop_assert_eq!(old.map(|old| old.0), reference.remove(&k));
                }
                Step::ComputeKeep(k) => prop_assert!(map.compute(k, |_| Op::Keep).is_none()),
                Step::CompareAndSwap(k, expected, v) => {
                    let swapped = map.compare_and_swap(&k, &value(expected), value(v));
                    match reference.get_mut(&k) {
                        None => prop_assert!(swapped.unwrap_err().is_absent()),
                        Some(held) if *held != expected => {
                            prop_assert!(swapped.unwrap_err().is_different());
                        }
                        Some(held) => {
                            prop_assert_eq!(swapped.unwrap().0, core::mem::replace(held, v));
                        }
                    }
                }
                Step::RetainBelow(limit) => {
                    map.retain(|_, v| v.0 < limit);
                    reference.retain(|_, v| *v < limit);
                }
                Step::Clear => {
                    map.clear();
                    reference.clear();
                }
            }
            prop_assert_eq!(map.len(), reference.len());
            prop_assert_eq!(map.is_empty(), reference.is_empty());
            prop_assert_eq!(Rc::strong_count(&counter), 1 + reference.len());
        }
        let ours: BTreeMap<u8, u32> = map.map_values(|_, v| v.0).into_iter().collect();
        prop_assert_eq!(ours, reference.into_iter().collect::<BTreeMap<_, _>>());
        drop(map);
        prop_assert_eq!(Rc::strong_count(&counter), 1);
    }
}
