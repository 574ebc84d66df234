//! Keys whose code calls the batcher, or panics, wherever it runs: no lock is held there, and
//! nothing accepted is lost.

use std::{
    cell::{Cell, RefCell},
    cmp::Ordering,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use crate::echo::{echo, entries};
use test_kit::Task;
use tidegate_batch_processor::{Batcher, KeyedBatcher, ManualClock, OnFull, Wait};

type Hook = Rc<dyn Fn(Place)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Which method of a key runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Cmp,
    Clone,
    Drop,
}

const PLACES: [Place; 3] = [Place::Cmp, Place::Clone, Place::Drop];

/// Runs the hook, unless the hook itself has called this.
fn foreign(place: Place) {
    if let Some(hook) = HOOK.take() {
        let again = hook.clone();
        let unwound = catch_unwind(AssertUnwindSafe(|| hook(place)));
        HOOK.set(Some(again));
        if let Err(panic) = unwound {
            resume_unwind(panic);
        }
    }
}

#[derive(Debug)]
struct Key(u32);

impl Clone for Key {
    fn clone(&self) -> Self {
        foreign(Place::Clone);
        Self(self.0)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            foreign(Place::Drop);
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        foreign(Place::Cmp);
        self.0.cmp(&other.0)
    }
}

type Keyed = KeyedBatcher<Key, u32, u32, (), ManualClock>;

/// A keyed batcher with batches of at most two items, whose handler returns their numbers.
fn keyed(on_full: OnFull) -> (Rc<Keyed>, Task<impl Future<Output = ()>>) {
    let handler = |items: Vec<(Key, u32)>| {
        assert!(items.iter().all(|(key, _)| key.0 == items[0].0.0), "of one key");
        let numbers = items.iter().map(|(_, n)| *n).collect();
        // Keys are not dropped here: a panic of their drop would be the handler's.
        items.into_iter().for_each(|(key, _)| std::mem::forget(key));
        Ok::<_, ()>(numbers)
    };
    let builder = Batcher::builder().max_items(2).capacity(6).on_full(on_full);
    let (batcher, driver) = builder.clock(ManualClock::new()).keyed().build(handler).unwrap();
    (Rc::new(batcher), Task::new(driver))
}

#[test]
fn a_key_that_calls_its_batcher_back_deadlocks_nobody() {
    for place in PLACES {
        for on_full in [OnFull::Reject, OnFull::DropOldest] {
            let (batcher, mut driver) = keyed(on_full);
            let calls = Rc::new(Cell::new(0));
            let (back, counted) = (batcher.clone(), calls.clone());
            HOOK.set(Some(Rc::new(move |at| {
                // The limit is there because a hook that pushes an item whenever a key is dropped
                // would never end.
                if at == place && counted.get() < 60 {
                    counted.set(counted.get() + 1);
                    let n = 100 + counted.get() % 7;
                    drop(back.try_submit((Key(n), n)));
                    assert!(!back.is_closed());
                }
            })));
            for round in 0..20 {
                for key in [3, 1, 2, 3] {
                    drop(batcher.try_submit((Key(key), round)));
                }
                assert!(driver.run().is_pending());
            }
            _ = batcher.flush().wait_timeout(Duration::ZERO);
            assert!(driver.run().is_pending());
            HOOK.set(None);
            assert!(calls.get() > 10, "{place:?}");
            batcher.close();
            assert!(driver.run().is_ready());
            let stats = batcher.stats();
            assert_eq!((stats.done + stats.dropped, stats.waiting), (stats.pushed, 0));
        }
    }
}

#[test]
fn a_key_that_panics_once_or_twice_loses_no_accepted_item() {
    for place in PLACES {
        for panics in [1, 2] {
            for skip in 0..12 {
                let (batcher, mut driver) = keyed(OnFull::Reject);
                let fuse = Rc::new(Cell::new((skip, panics)));
                let lit = fuse.clone();
                HOOK.set(Some(Rc::new(move |at| {
                    let (skip, panics) = lit.get();
                    match (at == place, skip, panics) {
                        (false, ..) | (.., 0) => {}
                        (_, 0, left) => {
                            lit.set((0, left - 1));
                            resume_unwind(Box::new("quiet"));
                        }
                        (_, left, panics) => lit.set((left - 1, panics)),
                    }
                })));
                let mut accepted = Vec::new();
                for n in 0..12 {
                    let push = || batcher.try_submit((Key(n % 3), n)).ok();
                    if let Ok(Some(reply)) = catch_unwind(AssertUnwindSafe(push)) {
                        accepted.push((n, reply));
                    }
                    if n % 4 == 3 {
                        assert!(driver.run().is_pending());
                    }
                }
                fuse.set((0, 0));
                // The batcher still works for each key.
                let last = [0, 1, 2].map(|key| batcher.try_submit((Key(key), 100 + key)).unwrap());
                batcher.close();
                assert!(driver.run().is_ready());
                for (n, reply) in accepted {
                    assert_eq!(reply.wait().unwrap(), n);
                }
                assert_eq!(last.map(|reply| reply.wait().unwrap()), [100, 101, 102]);
                HOOK.set(None);
            }
        }
    }
}

/// A push that panics in a poll leaves the item in its future.
#[test]
fn an_item_whose_key_panics_in_a_poll_can_be_withdrawn() {
    let (batcher, _driver) = keyed(OnFull::Wait);
    drop(batcher.try_submit((Key(1), 1)));
    HOOK.set(Some(Rc::new(|at| {
        if at == Place::Cmp {
            resume_unwind(Box::new("quiet"));
        }
    })));
    let mut push = Box::pin(batcher.push((Key(2), 2)));
    let mut cx = Context::from_waker(Waker::noop());
    let poll = AssertUnwindSafe(|| push.as_mut().poll(&mut cx).is_ready());
    assert!(catch_unwind(poll).is_err());
    HOOK.set(None);
    assert!(push.as_mut().poll(&mut cx).is_ready());
    assert_eq!(batcher.stats().pushed, 2);
}

#[test]
fn a_key_is_cloned_once_and_found_by_as_many_comparisons_as_the_logarithm() {
    let comparisons = |keys: u32| {
        let (_log, handler) = echo();
        let builder = Batcher::builder().clock(ManualClock::new()).capacity(100_000).keyed();
        let (batcher, driver) = builder.build(handler).unwrap();
        let counts = Rc::new(Cell::new((0, 0)));
        (0..keys).for_each(|n| batcher.try_push((Key(n), n)).unwrap());
        let counted = counts.clone();
        HOOK.set(Some(Rc::new(move |at| {
            let (cmps, clones) = counted.get();
            counted
                .set((cmps + u32::from(at == Place::Cmp), clones + u32::from(at == Place::Clone)));
        })));
        (0..100).for_each(|n| batcher.try_push((Key(keys + n), n)).unwrap());
        let (cmps, clones) = counts.get();
        HOOK.set(None);
        drop(driver);
        assert_eq!(clones, 100);
        cmps / 100
    };
    let (few, many) = (comparisons(500), comparisons(8000));
    assert!(many < 3 * few, "{few} comparisons a key, and {many}");
}

/// Mixes the bits of a number as the key index does (the finalizer of MurmurHash3).
fn disordered(number: u64) -> u64 {
    let mut bits = number;
    for factor in [0xFF51_AFD7_ED55_8CCD, 0xC4CE_B9FE_1A85_EC53] {
        bits = (bits ^ (bits >> 33)).wrapping_mul(factor);
    }
    bits ^ (bits >> 33)
}

#[test]
fn keys_of_somebody_who_knows_the_code_are_found_as_quickly_as_others() {
    thread_local!(static COMPARISONS: Cell<u64> = const { Cell::new(0) });
    #[derive(Clone, PartialEq, Eq)]
    struct Chosen(u64);
    impl PartialOrd for Chosen {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Chosen {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0.cmp(&other.0)
        }
    }
    let keys = 3000;
    let builder = Batcher::builder().clock(ManualClock::new()).capacity(10_000).keyed();
    let handler = |items: Vec<(Chosen, ())>| Ok::<_, ()>(vec![(); items.len()]);
    let (batcher, _driver) = builder.build(handler).unwrap();
    (1..=keys).for_each(|n| batcher.try_push((Chosen(disordered(n)), ())).unwrap());
    let each = COMPARISONS.get() / keys;
    assert!(each < 150, "{each} comparisons for a key");
}

#[test]
fn a_key_whose_comparison_panicked_when_it_was_to_be_forgotten_is_forgotten_later() {
    let (batcher, mut driver) = keyed(OnFull::Reject);
    let living = Rc::new(Cell::new(0_i32));
    let (count, panics) = (living.clone(), Rc::new(Cell::new(false)));
    let lit = panics.clone();
    HOOK.set(Some(Rc::new(move |at| match at {
        Place::Cmp if lit.get() => resume_unwind(Box::new("quiet")),
        Place::Cmp => {}
        Place::Clone => count.set(count.get() + 1),
        Place::Drop => count.set(count.get() - 1),
    })));
    for n in 0..50 {
        // No key ever comes again. There are two, so that there is something to compare.
        for key in [2 * n, 2 * n + 1] {
            batcher.try_push((Key(key), n)).unwrap();
        }
        panics.set(true);
        _ = batcher.flush().wait_timeout(Duration::ZERO);
        assert!(driver.run().is_pending());
        panics.set(false);
    }
    batcher.try_push((Key(1000), 0)).unwrap();
    _ = batcher.flush().wait_timeout(Duration::ZERO);
    assert!(driver.run().is_pending());
    HOOK.set(None);
    // The handler forgets the items' own keys, so only the batcher's clones count.
    assert!(living.get() <= 2, "{} keys are left", living.get());
}

#[test]
fn keys_keep_their_order_while_they_come_and_go() {
    let (log, handler) = echo();
    let builder = Batcher::builder().max_items(1).clock(ManualClock::new()).keyed();
    let (batcher, driver) = builder.build(handler).unwrap();
    let mut driver = Task::new(driver);
    for n in 0..300_u32 {
        batcher.try_push((n * 7 % 11, n)).unwrap();
        if n % 5 == 4 {
            assert!(driver.run().is_pending());
        }
    }
    batcher.close();
    assert!(driver.run().is_ready());
    let done = entries(&log).concat();
    for key in 0..11 {
        let of_key = done.iter().filter(|(its, _)| *its == key).map(|(_, n)| *n);
        assert!(of_key.eq((0..300).filter(|n| n * 7 % 11 == key)));
    }
}
