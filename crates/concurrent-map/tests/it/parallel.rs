//! The map and the set on the threads of a rayon pool.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::{
    ThreadPool, ThreadPoolBuilder,
    iter::{IntoParallelIterator, ParallelExtend, ParallelIterator},
};
use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet};

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started")
}

fn squares(shards: usize) -> ConcurrentMap<u64, u64> {
    let map = ConcurrentMap::with_shards(shards);
    (0..10_000).for_each(|n| _ = map.insert(n, n * n));
    map
}

#[test]
fn in_parallel_the_same_comes_out() {
    for (threads, shards) in [(1, 8), (4, 1), (4, 64)] {
        pool(threads).install(|| {
            let map = squares(shards);
            let expected = map.fold(0, |sum, key, value| sum + key + value);
            let sum = AtomicUsize::new(0);
            map.par_for_each(|key, value| {
                sum.fetch_add(usize::try_from(key + value).unwrap(), Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner() as u64, expected);
            let add = |sum, key: &u64, value: &u64| sum + key + value;
            assert_eq!(map.par_fold(|| 0, add, |a, b| a + b), expected);
            assert!(map.par_any(|key, _| *key == 9_999) && !map.par_any(|key, _| *key == 10_000));
            map.par_retain(|key, value| {
                *value += 1;
                key % 10 == 0
            });
            assert_eq!((map.len(), map.get(&70), map.get(&71)), (1000, Some(4901), None));
        });
    }
}

#[test]
fn of_an_empty_map_nothing_comes_out() {
    let map = ConcurrentMap::<u8, u8>::new();
    map.par_for_each(|_, _| unreachable!("there are no entries"));
    map.par_retain(|_, _| unreachable!("there are no entries"));
    assert!(!map.par_any(|_, _| true));
    assert_eq!(map.par_fold(|| 0, |n, _, _| n + 1, |a, b| a + b), 0);
}

#[test]
fn entries_collected_in_parallel_all_arrive() {
    pool(4).install(|| {
        let mut map: ConcurrentMap<u64, u64> =
            (0..20_000_u64).into_par_iter().map(|n| (n, n)).collect();
        assert_eq!(map.len(), 20_000);
        map.par_extend((10_000..30_000_u64).into_par_iter().map(|n| (n, n + 1)));
        // Without a known length.
        map.par_extend(
            (0..80_000_u64).into_par_iter().filter(|n| *n >= 30_000).map(|n| (n, n + 1)),
        );
        assert_eq!(map.len(), 80_000);
        assert!(map.all(|key, value| *value == key + u64::from(*key >= 10_000)));
    });
}

#[test]
fn a_set_does_it_too() {
    let mut set: ConcurrentSet<u64> = (0..1000_u64).into_par_iter().map(|n| n % 500).collect();
    assert_eq!(set.len(), 500);
    set.par_extend((0..600_u64).into_par_iter());
    let count = AtomicUsize::new(0);
    set.par_for_each(|_| _ = count.fetch_add(1, Ordering::Relaxed));
    assert_eq!(count.into_inner(), 600);
    set.par_retain(|n| n % 2 == 0);
    assert!(set.par_any(|n| *n == 4) && !set.par_any(|n| *n == 5));
    assert_eq!(set.par_fold(|| 0, |sum, n| sum + n, |a, b| a + b), 299 * 300);
}

/// Runs what must panic, and returns the message.
fn message_of(panics: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(panics)).expect_err("it panics");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

#[test]
fn a_parallel_operation_called_from_a_closure_panics_and_never_hangs() {
    let map = squares(4);
    for outer in 0..4 {
        let from_inside = message_of(|| {
            _ = map.get_with(&outer, |_| map.par_for_each(|_, _| ()));
        });
        assert!(from_inside.contains("called back into the same map"), "{from_inside}");
        let from_inside = message_of(|| {
            _ = map.update(&outer, |_| map.par_fold(|| 0, |n, _, _| n, |n, _| n));
        });
        assert!(from_inside.contains("called back into the same map"), "{from_inside}");
    }
    let other = squares(4);
    assert_eq!(map.update(&1, |_| other.par_any(|_, _| true)), Some(true));
}

#[test]
fn a_job_taken_up_by_a_closure_that_enters_the_same_map_panics_and_never_hangs() {
    let map = squares(8);
    let stolen = message_of(|| {
        pool(1).install(|| {
            // The pool's one thread is inside a shard, and here takes up the job of another shard.
            map.par_retain(|_, _| (rayon::yield_now(), true).1);
        });
    });
    assert!(stolen.contains("called back into the same map"), "{stolen}");
    assert_eq!((map.len(), map.get(&9)), (10_000, Some(81)));
}

#[test]
fn a_panic_of_a_closure_is_passed_on_and_the_map_goes_on_working() {
    pool(4).install(|| {
        let map = squares(16);
        assert_eq!(message_of(|| map.par_for_each(|key, _| assert!(*key != 77, "77"))), "77");
        assert_eq!(message_of(|| map.par_retain(|key, _| *key != 77 || panic!("again"))), "again");
        assert_eq!(map.par_fold(|| 0, |n, _, _| n + 1, |a, b| a + b), 10_000);
    });
}

/// A value that looks into its map when it is dropped.
struct Curious(Weak<ConcurrentMap<u64, Curious>>);

impl Drop for Curious {
    fn drop(&mut self) {
        if let Some(map) = self.0.upgrade() {
            map.retain(|_, _| true);
        }
    }
}

#[test]
fn what_is_refused_in_parallel_is_dropped_with_no_lock_held() {
    let map = Arc::new(ConcurrentMap::with_shards(8));
    (0..200).for_each(|n| _ = map.insert(n, Curious(Arc::downgrade(&map))));
    pool(4).install(|| map.par_retain(|key, _| key % 2 == 0));
    assert_eq!(map.len(), 100);
}

/// A thread of the pool might wait for the section, which waits for that thread.
#[test]
fn a_section_of_a_map_does_not_call_the_pool_for_it() {
    let map = squares(4);
    let inside = || map.get_with(&7, |_| map.par_any(|_, _| true));
    assert!(catch_unwind(AssertUnwindSafe(inside)).is_err());
    assert!(map.par_any(|_, _| true));
}
