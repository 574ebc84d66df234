//! The map against std's, one operation after the other.
#![no_main]

use std::collections::HashMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate::ConcurrentMap;

#[derive(Debug, Arbitrary)]
enum Step {
    Insert(u8, u16),
    Remove(u8),
    Get(u8),
    GetOrInsert(u8, u16),
    Upsert(u8, u16),
    Update(u8, u16),
    Retain(u8),
    InsertMany(Vec<(u8, u16)>),
    Shrink,
    Clear,
}

fuzz_target!(|steps: Vec<Step>| {
    let (map, mut paper) = (ConcurrentMap::new(), HashMap::<u8, u16>::new());
    for step in steps {
        match step {
            Step::Insert(key, value) => {
                assert_eq!(map.insert(key, value), paper.insert(key, value))
            }
            Step::Remove(key) => assert_eq!(map.remove(&key), paper.remove(&key)),
            Step::Get(key) => assert_eq!(map.get(&key), paper.get(&key).copied()),
            Step::GetOrInsert(key, value) => {
                let found = map.get_or_insert_with(key, || value);
                assert_eq!(found, *paper.entry(key).or_insert(value));
            }
            Step::Upsert(key, value) => {
                map.upsert(key, || value, |old| *old = old.wrapping_add(value));
                let wrong = u16::from(cfg!(feature = "wrong"));
                let add = |old: &mut u16| *old = old.wrapping_add(value + wrong);
                paper.entry(key).and_modify(add).or_insert(value);
            }
            Step::Update(key, value) => {
                let updated = map.update(&key, |old| *old ^= value).is_some();
                assert_eq!(updated, paper.get_mut(&key).map(|old| *old ^= value).is_some());
            }
            Step::Retain(least) => {
                map.retain(|key, _| *key >= least);
                paper.retain(|key, _| *key >= least);
            }
            Step::InsertMany(entries) => {
                paper.extend(entries.iter().copied());
                map.insert_many(entries);
            }
            Step::Shrink => map.shrink_to_fit(),
            Step::Clear => {
                map.clear();
                paper.clear();
            }
        }
        assert_eq!(map.len(), paper.len());
    }
    let mut all = map.snapshot();
    all.sort_unstable();
    let mut wanted: Vec<_> = paper.into_iter().collect();
    wanted.sort_unstable();
    assert_eq!(all, wanted);
});
