//! Laws of `RwShards` that the models leave out.
#![cfg(feature = "std")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    cell::RefCell,
    future::poll_fn,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Barrier},
    task::Poll,
    thread,
};

use tidegate_core::{
    RwShards, Wait,
    rw_shards::{self, Reading, Shard},
};

fn one() -> RwShards<u32> {
    RwShards::new(NonZeroUsize::MIN, |_| (0, ()))
}

fn only(shards: &RwShards<u32>) -> Shard<'_, u32> {
    shards.get(0).unwrap()
}

fn is_biased(shards: &RwShards<u32>) -> bool {
    format!("{:?}", only(shards)).contains("is_biased: true")
}

/// Calls `f` until the shard is biased, or until it is not, as `wanted` says. Fails if that takes
/// too many calls.
fn until(shards: &RwShards<u32>, wanted: bool, mut f: impl FnMut()) {
    let calls = (0..1_000_000).take_while(|_| is_biased(shards) != wanted).map(|_| f()).count();
    assert!((1..1_000_000).contains(&calls));
}

#[test]
fn a_bias_is_earned_by_reads_lasts_for_some_writes_and_is_earned_again() {
    let shards = one();
    for _ in 0..3 {
        until(&shards, true, || only(&shards).read(|_| ()));
        only(&shards).write(|value| *value += 1);
        assert!(is_biased(&shards), "it lasts for more than one write");
        until(&shards, false, || only(&shards).write(|value| *value += 1));
    }
}

#[test]
fn writes_in_between_keep_a_shard_without_bias() {
    let shards = one();
    for _ in 0..10_000 {
        only(&shards).read(|_| ());
        only(&shards).write(|value| *value += 1);
        assert!(!is_biased(&shards));
    }
}

#[test]
fn a_panic_in_a_section_leaves_the_shard_open_and_the_thread_outside() {
    let shards = one();
    let panics = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    for is_announced in [false, true] {
        if is_announced {
            until(&shards, true, || only(&shards).read(|_| ()));
        }
        assert_eq!(is_biased(&shards), is_announced);
        panics(&|| only(&shards).read(|_| panic!("a reader")));
        panics(&|| only(&shards).scan(|_| only(&shards).read(|_| panic!("a reader within"))));
        panics(&|| only(&shards).write(|_| panic!("a writer")));
        shards.assert_outside();
        thread::scope(|s| s.spawn(|| only(&shards).write(|value| *value += 1)).join().unwrap());
    }
    assert_eq!(only(&shards).read(|value| *value), 2);
}

#[test]
fn a_thread_may_wait_for_a_shard_within_a_wait() {
    let shards = one();
    for round in 1..200 {
        let inside = Barrier::new(2);
        thread::scope(|s| {
            s.spawn(|| {
                only(&shards).write(|value| {
                    inside.wait();
                    (0..round).for_each(|_| thread::yield_now());
                    *value = round;
                });
            });
            inside.wait();
            let look = poll_fn(|_| Poll::Ready(only(&shards).read(|value| *value)));
            assert_eq!(look.wait(), round);
        });
    }
}

#[test]
fn a_destructor_of_a_thread_local_may_enter() {
    struct AtTheEnd(Arc<RwShards<u32>>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            only(&self.0).read(|_| ());
            only(&self.0).write(|value| *value += 1);
        }
    }
    thread_local! {
        static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }
    let shards = Arc::new(one());
    let of_thread = shards.clone();
    let thread = thread::spawn(move || LAST.set(Some(AtTheEnd(of_thread))));
    thread.join().unwrap();
    assert_eq!(only(&shards).read(|value| *value), 1);
}

#[test]
fn assert_outside_refuses_who_is_inside() {
    let shards = one();
    let refused = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    refused(&|| only(&shards).read(|_| shards.assert_outside()));
    refused(&|| only(&shards).write(|_| shards.assert_outside()));
    let other = one();
    refused(&|| only(&shards).read(|_| only(&other).read(|_| shards.assert_outside())));
    only(&other).read(|_| shards.assert_outside());
}

#[test]
fn a_closed_shard_lets_nobody_in() {
    let shards = one();
    let shard = only(&shards);
    let set = |n: &mut u32| {
        *n = 7;
        *n
    };
    assert_eq!(shard.close(set), Some(7));
    assert!(shard.is_closed());
    assert!(shard.begin_read().is_none() && shard.begin_scan().is_none());
    assert!(shard.begin_write().is_none());
    assert_eq!(shard.close(|_| unreachable!("it is closed")), None::<()>);
    let panics = |section: &dyn Fn()| catch_unwind(AssertUnwindSafe(section)).is_err();
    assert!(panics(&|| shard.read(|_| ())) && panics(&|| shard.scan(|_| ())));
    assert!(panics(&|| shard.write(|_| ())));
    assert_eq!(rw_shards::sections_around(), 0);
    assert_eq!(shards.into_values().collect::<Vec<_>>(), [7]);
}

#[test]
fn a_section_that_has_begun_and_does_not_run_ends_when_it_is_dropped() {
    let shards = one();
    let shard = only(&shards);
    drop((shard.begin_read(), shard.begin_scan()));
    drop(shard.begin_write());
    assert_eq!(rw_shards::sections_around(), 0);
    shard.write(|n| *n += 1);
    assert_eq!(Reading::from(shard.begin_scan().unwrap()).run(|n| *n), 1);
}

#[test]
fn readers_of_counted_shards_never_announce_themselves() {
    let shards = RwShards::counted(NonZeroUsize::MIN, |_| (0, ()));
    for _ in 0..100_000 {
        only(&shards).read(|_| ());
    }
    assert!(!is_biased(&shards));
}

#[test]
fn a_section_that_panics_leaves_its_shard_open() {
    let shards = one();
    let shard = only(&shards);
    let closing = catch_unwind(AssertUnwindSafe(|| shard.close(|_| panic!("no"))));
    assert!(closing.is_err() && !shard.is_closed());
    assert_eq!(shard.read(|n| *n), 0);
}

#[test]
fn who_sleeps_before_a_shard_that_is_closed_is_woken() {
    let shards = one();
    let are_here = &Barrier::new(3);
    thread::scope(|s| {
        let sleepers = only(&shards)
            .close(|_| {
                let sleepers = [false, true].map(|writes| {
                    let shards = &shards;
                    s.spawn(move || {
                        are_here.wait();
                        match writes {
                            true => only(shards).begin_write().is_none(),
                            false => only(shards).begin_read().is_none(),
                        }
                    })
                });
                are_here.wait();
                // Long enough for most to fall asleep; the test holds, whether or not they do.
                (0..1000).for_each(|_| thread::yield_now());
                sleepers
            })
            .expect("it is open");
        assert!(sleepers.into_iter().all(|sleeper| sleeper.join().unwrap()));
    });
}

#[test]
fn shards_of_one_owner_are_the_same_for_what_stands_within_what() {
    let pair = [one(), one()];
    let [first, second] = pair.each_ref().map(|shards| only(shards).owned_by(&pair));
    assert_eq!(first.read(|_| second.read(|_| rw_shards::sections_around())), 1);
    let panics = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
    assert!(panics(&|| first.read(|_| second.write(|_| ()))));
    assert!(panics(&|| first.write(|_| second.read(|_| ()))));
    assert!(panics(&|| first.write(|_| _ = second.close(|_| ()))));
    assert!(panics(&|| first.read(|_| rw_shards::assert_outside_of(&pair))));
    rw_shards::assert_outside_of(&pair);
    // Without a common owner, the two do not count as the same shards.
    assert_eq!(only(&pair[0]).write(|_| only(&pair[1]).write(|_| rw_shards::sections_around())), 2);
    assert_eq!(rw_shards::sections_around(), 0);
}

#[test]
fn threads_that_meet_often_are_contention_once() {
    let shards = one();
    for _ in 0..63 {
        meet(&shards);
    }
    assert!(!shards.take_contention());
    meet(&shards);
    assert!(shards.take_contention());
    assert!(!shards.take_contention(), "it is counted anew");
}

/// Lets a reader find another reader in the shard.
fn meet(shards: &RwShards<u32>) {
    let read = || only(shards).scan(|_| ());
    only(shards).scan(|_| thread::scope(|s| s.spawn(read).join().unwrap()));
}

/// Reads the shards, each within the one before, and runs `f` within the last.
fn within(shards: &[RwShards<u32>], f: &dyn Fn()) {
    match shards {
        [first, rest @ ..] => only(first).read(|_| within(rest, f)),
        [] => f(),
    }
}

#[test]
fn sections_of_the_same_shards_in_a_row_are_one_level_at_the_deepest_level_too() {
    let shards: Vec<_> = (0..9).map(|_| one()).collect();
    let (ninth, deepest) = (only(&shards[8]), only(&shards[7]));
    let refuses_a_ninth = || catch_unwind(AssertUnwindSafe(|| ninth.read(|_| ()))).is_err();
    within(&shards[..8], &|| {
        assert!(refuses_a_ninth());
        for _ in 0..3 {
            deepest.read(|_| deepest.read(|_| assert!(refuses_a_ninth())));
            assert_eq!(rw_shards::sections_around(), 8);
        }
    });
    assert_eq!(rw_shards::sections_around(), 0);
    // Sections in a row at the level before take no level away either.
    within(&shards[..7], &|| {
        only(&shards[6]).read(|_| deepest.write(|_| assert!(refuses_a_ninth())));
    });
}
