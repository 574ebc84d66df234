//! The largest numbers that callers can pass: only what is used takes memory; no process aborts.

use std::{
    iter,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, Keyed};

#[test]
fn as_many_shards_as_can_be_said_are_sixteen_thousand() {
    for shards in [usize::MAX, usize::MAX / 2 + 2, (1 << 14) + 1] {
        let map = ConcurrentMap::with_shards(shards);
        assert_eq!((map.insert(1, 2), map.get(&1), map.shards()), (None, Some(2), 1 << 14));
        assert_eq!(ConcurrentSet::<u8>::with_shards(shards).shards(), 1 << 14);
        let map = ConcurrentMap::<u8, u8>::with_shards_and_hasher(shards, map.hasher().clone());
        assert_eq!((map.len(), map.capacity(), map.snapshot()), (0, 0, vec![]));
    }
    assert_eq!(ConcurrentMap::<u8, u8>::with_shards((1 << 14) - 1).shards(), 1 << 14);
}

#[test]
fn room_that_nobody_has_is_a_panic_that_says_so_and_leaves_the_map_as_it_was() {
    let map = ConcurrentMap::from([(1_u64, 2_u64)]);
    let set = ConcurrentSet::from([1_u64]);
    for entries in [usize::MAX, isize::MAX.unsigned_abs(), usize::MAX >> 8] {
        let calls: [&dyn Fn(); 4] = [
            &|| drop(ConcurrentMap::<u64, u64>::with_capacity(entries)),
            &|| drop(ConcurrentSet::<u64>::with_capacity(entries)),
            &|| map.reserve(entries),
            &|| set.reserve(entries),
        ];
        for call in calls {
            let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
            assert!(panic.downcast::<String>().unwrap().contains("capacity overflow"));
        }
    }
    assert_eq!((map.get(&1), set.contains(&1), map.insert(2, 3)), (Some(2), true, None));
}

/// An iterator that says more of itself than is true.
struct Boasts(u64);

impl Iterator for Boasts {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        self.0 = self.0.checked_sub(1)?;
        Some((self.0, self.0))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

#[test]
fn a_size_hint_that_boasts_costs_a_bounded_room() {
    let map: ConcurrentMap<u64, u64> = Boasts(100).collect();
    assert!(map.len() == 100 && map.capacity() < 1 << 20);
    let mut set = ConcurrentSet::new();
    set.extend(Boasts(10).map(|(n, _)| n).chain(iter::empty()));
    assert_eq!(set.len(), 10);
}

#[test]
fn a_registry_for_as_many_keys_as_can_be_said_weighs_what_is_in_it() {
    let keyed = Keyed::<u64, u32>::new(NonZeroUsize::MAX);
    for n in 0..100 {
        assert_eq!(keyed.with(&n, || 1, |_| false, |value| *value), Ok(1));
    }
    assert_eq!((keyed.len(), keyed.get(&7), keyed.get(&100)), (100, Some(1), None));
}
