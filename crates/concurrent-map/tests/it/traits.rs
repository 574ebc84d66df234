//! What users expect of public types: what `{:?}` shows of them, errors' predicates, and a set's
//! methods, which are those of its map.
#![allow(clippy::std_instead_of_core, reason = "a test is an ordinary program on std")]

use std::{
    future::pending,
    hash::{BuildHasher, Hasher},
    num::NonZeroUsize,
};

use test_kit::Task;
use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, DefaultHashBuilder, Flight, Keyed};

#[test]
fn everything_shows_how_much_it_holds_or_its_name() {
    let map = ConcurrentMap::with_shards(4);
    map.insert("a", 1);
    assert_eq!(format!("{map:?}"), "ConcurrentMap { len: 1, shards: 4, .. }");
    for (key, is_there) in [("a", true), ("b", false)] {
        let shown = map.entry(key, |entry| format!("{entry:?}"));
        assert_eq!(shown, format!("MapEntry {{ is_there: {is_there}, .. }}"));
    }
    assert_eq!(format!("{:?}", map.try_insert("a", 2).unwrap_err()), "Occupied(..)");
    assert_eq!(format!("{:?}", map.into_iter()), "IntoEntries { left: 1, .. }");
    let set = ConcurrentSet::with_shards(2);
    set.insert(1);
    assert_eq!(format!("{set:?}"), "ConcurrentSet { len: 1, shards: 2, .. }");
    assert_eq!(format!("{:?}", set.into_iter()), "IntoElements { left: 1, .. }");
    let keyed = Keyed::<u8, u8>::new(NonZeroUsize::new(3).unwrap());
    assert_eq!(format!("{keyed:?}"), "Keyed { len: 0, max_keys: 3, .. }");
    let (flight, map) = (Flight::<u8, u8>::new(), ConcurrentMap::<u8, u8>::new());
    let mut run = Task::new(flight.run(1, pending()));
    assert!(format!("{run:?}").contains("Run { waiting: false, leads: false, .. }"));
    assert!(run.is_pending());
    assert!(format!("{run:?}").contains("Run { waiting: false, leads: true, .. }"));
    assert_eq!(format!("{flight:?}"), "Flight { in_flight: 1, .. }");
    let compute = || map.get_or_try_insert_async(1, pending::<Result<u8, ()>>());
    let (_leads, waits) = (Task::waiting(compute()), Task::waiting(compute()));
    let shown = "GetOrTryInsert { waiting: true, leads: false, .. }";
    assert!(format!("{waits:?}").contains(shown), "{waits:?}");
    let build = DefaultHashBuilder::default();
    assert_eq!(format!("{build:?}"), "DefaultHashBuilder { .. }", "the key stays secret");
    assert_eq!(format!("{:?}", build.build_hasher()), "DefaultHasher { .. }");
}

#[test]
fn a_failed_swap_says_why_and_nothing_else() {
    let map = ConcurrentMap::from([("a", 1)]);
    let errors = ["b", "a"].map(|key| map.compare_and_swap(key, &7, 8).unwrap_err());
    let said = errors.map(|error| (error.is_absent(), error.is_different()));
    assert_eq!(said, [(true, false), (false, true)]);
    assert_eq!(errors.map(|error| format!("{error:?}")), ["Absent(..)", "Different(..)"]);
}

#[test]
fn a_full_registry_says_how_many_keys_there_may_be() {
    let keyed = Keyed::new(NonZeroUsize::new(3).unwrap());
    assert!(keyed.is_empty() && keyed.max_keys() == 3);
    for key in 0..3 {
        keyed.with(&key, || (), |()| false, |()| ()).unwrap();
    }
    let error = keyed.with(&3, || (), |()| false, |()| ()).unwrap_err();
    assert_eq!((error.max_keys(), keyed.len(), keyed.is_empty()), (3, 3, false));
}

/// Clients that know how keys are hashed could send many of one hash.
#[test]
fn no_two_maps_hash_alike() {
    let hash = || {
        let mut hasher = DefaultHashBuilder::default().build_hasher();
        hasher.write_u64(7);
        hasher.finish()
    };
    assert_ne!(hash(), hash());
}

#[test]
fn a_set_is_a_map_without_values() {
    let set = ConcurrentSet::from([1, 2, 3]);
    assert!(!set.is_empty());
    let mut sum = 0;
    set.for_each(|element| sum += element);
    assert_eq!(sum, 6);
    assert!(set.any(|element| *element == 3) && !set.any(|element| *element == 4));
    assert!(set.all(|element| *element < 4) && !set.all(|element| *element < 3));
    let roomy = ConcurrentSet::with_capacity(1000);
    roomy.insert(1);
    roomy.shrink_to_fit();
    assert!((1..100).contains(&roomy.capacity()));
    let mut left = set.into_iter();
    for len in [3, 2, 1, 0] {
        assert_eq!(left.size_hint(), (len, Some(len)));
        assert_eq!(left.next().is_some(), len > 0);
    }
}
