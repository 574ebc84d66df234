//! The promises of single flight, one by one. `flight_threads.rs` has those about threads.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    cell::Cell,
    future::{self, Future, poll_fn},
    hash::BuildHasherDefault,
    panic::{self, AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tidegate_concurrent_map::ConcurrentMap;
use tidegate_core::{ManualClock, Timer, Wait};

use test_kit::Task;

use crate::hashers::Constant;

type Map = ConcurrentMap<u32, u32>;

/// A computation that is pending until its result is set.
#[derive(Default)]
struct Answer {
    result: Cell<Option<Result<u32, &'static str>>>,
    polls: Cell<usize>,
}

impl Answer {
    fn with(result: Result<u32, &'static str>) -> Self {
        Self { result: Cell::new(Some(result)), polls: Cell::new(0) }
    }

    fn future(&self) -> impl Future<Output = Result<u32, &'static str>> {
        poll_fn(|_| {
            self.polls.set(self.polls.get() + 1);
            self.result.take().map_or(Poll::Pending, Poll::Ready)
        })
    }
}

fn never() -> future::Pending<Result<u32, &'static str>> {
    future::pending()
}

#[test]
fn a_key_that_is_there_costs_no_computation() {
    let (map, answer) = (Map::from([(1, 10)]), Answer::with(Ok(11)));
    let mut task = Task::new(map.get_or_try_insert_async(1, answer.future()));
    assert_eq!(task.poll(), Poll::Ready(Ok(10)));
    assert_eq!(answer.polls.get(), 0);
}

#[test]
fn one_computes_and_all_get_the_value() {
    let (map, first, second) = (Map::new(), Answer::default(), Answer::with(Ok(11)));
    let mut leader = Task::waiting(map.get_or_try_insert_async(1, first.future()));
    let mut waiters = [(); 3].map(|()| {
        let waiter = map.get_or_try_insert_async(1, second.future());
        Task::waiting(waiter)
    });
    first.result.set(Some(Ok(10)));
    assert_eq!(leader.poll(), Poll::Ready(Ok(10)));
    for waiter in &mut waiters {
        assert_eq!((waiter.woken(), waiter.poll()), (1, Poll::Ready(Ok(10))));
    }
    assert_eq!((second.polls.get(), map.get(&1)), (0, Some(10)));
}

#[test]
fn keys_do_not_wait_for_one_another() {
    let map = Map::new();
    let _leader = Task::waiting(map.get_or_try_insert_async(1, never()));
    let answer = Answer::with(Ok(20));
    assert_eq!(
        Task::new(map.get_or_try_insert_async(2, answer.future())).poll(),
        Poll::Ready(Ok(20))
    );
}

#[test]
fn an_error_is_shared_by_all_who_waited_for_that_attempt() {
    let (map, clock, computed) = (Map::new(), ManualClock::new(), Cell::new(0));
    let call = |n| {
        map.get_or_try_insert_async(1, {
            let (clock, computed) = (&clock, &computed);
            async move {
                computed.set(computed.get() + 1);
                clock.sleep(Duration::from_secs(30)).await;
                Err::<u32, _>(n)
            }
        })
    };
    let mut leader = Task::waiting(call(0));
    let mut waiters = [1, 2, 3, 4, 5].map(|n| Task::waiting(call(n)));
    clock.advance(Duration::from_secs(30));
    assert_eq!(leader.poll(), Poll::Ready(Err(0)));
    // A caller that comes now computes again.
    let mut late = Task::waiting(call(6));
    for waiter in &mut waiters {
        assert_eq!((waiter.woken(), waiter.poll()), (1, Poll::Ready(Err(0))));
    }
    assert_eq!(computed.get(), 2);
    clock.advance(Duration::from_secs(30));
    assert_eq!(late.poll(), Poll::Ready(Err(6)));
}

#[test]
fn an_error_is_shared_with_no_other_key_and_no_other_type() {
    let map = ConcurrentMap::<u32, u32, BuildHasherDefault<Constant>>::default();
    let (first, own) = (Answer::default(), Answer::with(Ok(20)));
    let mut leader = Task::waiting(map.get_or_try_insert_async(1, first.future()));
    let mut other_key = Task::waiting(map.get_or_try_insert_async(2, own.future()));
    let other_type = map.get_or_try_insert_async(1, async { Err::<u32, u8>(7) });
    let mut other_type = Task::waiting(other_type);
    let mut same = Task::waiting(map.get_or_try_insert_async(1, never()));
    first.result.set(Some(Err("no")));
    assert_eq!(leader.poll(), Poll::Ready(Err("no")));
    assert_eq!(other_key.poll(), Poll::Ready(Ok(20)));
    assert_eq!(other_type.poll(), Poll::Ready(Err(7)));
    assert_eq!(same.poll(), Poll::Ready(Err("no")));
    assert_eq!(own.polls.get(), 1);
}

#[test]
fn an_error_whose_clone_panics_goes_to_its_caller_as_a_panic_and_wakes_the_next() {
    struct Precious;
    impl Clone for Precious {
        fn clone(&self) -> Self {
            panic::resume_unwind(Box::new("quiet"))
        }
    }
    let (map, ends) = (Map::new(), Cell::new(false));
    let fails = poll_fn(|_| match ends.get() {
        true => Poll::Ready(Err::<u32, _>(Precious)),
        false => Poll::Pending,
    });
    let mut leader = Task::waiting(map.get_or_try_insert_async(1, fails));
    let next = map.get_or_try_insert_async(1, async { Ok::<_, Precious>(10) });
    let mut next = Task::waiting(next);
    ends.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| leader.poll().is_ready())).is_err());
    assert!(matches!((next.woken(), next.poll()), (1, Poll::Ready(Ok(10)))));
    // No caller waits, so none needs a clone.
    let mut alone = Task::new(map.get_or_try_insert_async(2, async { Err::<u32, _>(Precious) }));
    assert!(matches!(alone.poll(), Poll::Ready(Err(Precious))));
}

#[test]
fn a_waiter_that_was_told_of_an_error_and_is_dropped_leaves_no_trace() {
    let (map, first) = (Map::new(), Answer::default());
    let mut leader = Task::waiting(map.get_or_try_insert_async(1, first.future()));
    let gone = Task::waiting(map.get_or_try_insert_async(1, never()));
    let mut last = Task::waiting(map.get_or_try_insert_async(1, never()));
    first.result.set(Some(Err("no")));
    assert_eq!(leader.poll(), Poll::Ready(Err("no")));
    drop(gone);
    // A value that was inserted meanwhile comes before the error.
    map.insert(1, 9);
    assert_eq!((last.woken(), last.poll()), (1, Poll::Ready(Ok(9))));
}

#[test]
fn an_error_is_not_kept() {
    let map = Map::new();
    let get = |result| Task::new(map.get_or_try_insert_async(1, future::ready(result))).poll();
    assert_eq!(get(Err("no")), Poll::Ready(Err("no")));
    assert_eq!(get(Ok(10)), Poll::Ready(Ok(10)));
}

#[test]
fn who_is_dropped_before_its_first_poll_leads_nobody() {
    let map = Map::new();
    let unpolled = map.get_or_try_insert_async(1, never());
    let mut other = Task::new(map.get_or_try_insert_async(1, async { Ok::<_, &str>(10) }));
    assert_eq!(other.poll(), Poll::Ready(Ok(10)));
    drop(unpolled);
    assert_eq!(map.get(&1), Some(10));
}

#[test]
fn a_leader_dropped_while_it_computes_hands_over_to_one() {
    let map = Map::new();
    let leader = Task::waiting(map.get_or_try_insert_async(1, never()));
    let mut next = Task::waiting(map.get_or_try_insert_async(1, async { Ok::<_, &str>(10) }));
    let mut last = Task::waiting(map.get_or_try_insert_async(1, never()));
    drop(leader);
    assert_eq!((next.woken(), last.woken()), (1, 0));
    assert_eq!(next.poll(), Poll::Ready(Ok(10)));
    assert_eq!((last.woken(), last.poll()), (1, Poll::Ready(Ok(10))));
}

#[test]
fn the_old_computation_is_gone_before_the_next_is_woken() {
    /// Counts the wake-ups for which the computation was gone.
    struct Looks {
        computation: Weak<()>,
        gone: AtomicUsize,
    }
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let is_gone = self.computation.strong_count() == 0;
            self.gone.fetch_add(is_gone.into(), Ordering::SeqCst);
        }
    }
    for fails in [false, true] {
        let (map, ends) = (Map::new(), &Cell::new(false));
        let computation = Arc::new(());
        let looks = Arc::new(Looks {
            computation: Arc::downgrade(&computation),
            gone: AtomicUsize::new(0),
        });
        let mut leader = Task::waiting(map.get_or_try_insert_async(
            1,
            poll_fn(move |_| {
                let _captured = &computation;
                if ends.get() { Poll::Ready(Err("no")) } else { Poll::Pending }
            }),
        ));
        let waker = Waker::from(looks.clone());
        let mut next = Box::pin(map.get_or_try_insert_async(1, never()));
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        ends.set(true);
        if fails {
            assert_eq!(leader.poll(), Poll::Ready(Err("no")));
        } else {
            drop(leader);
        }
        assert_eq!(looks.gone.load(Ordering::SeqCst), 1, "fails: {fails}");
    }
}

#[test]
fn a_leader_that_panics_hands_over() {
    let map = Map::new();
    let panics = Cell::new(false);
    let mut leader = Task::waiting(map.get_or_try_insert_async(
        1,
        poll_fn(|_| {
            if panics.get() {
                panic::resume_unwind(Box::new(()))
            } else {
                Poll::<Result<u32, ()>>::Pending
            }
        }),
    ));
    let mut next = Task::waiting(map.get_or_try_insert_async(1, async { Ok::<_, ()>(10) }));
    panics.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| leader.poll())).is_err());
    // The leader, whose future has panicked, is not dropped yet.
    assert_eq!((next.woken(), next.poll()), (1, Poll::Ready(Ok(10))));
}

#[test]
fn a_waiter_that_was_woken_and_is_dropped_passes_it_on() {
    let map = Map::new();
    let leader = Task::waiting(map.get_or_try_insert_async(1, never()));
    let woken = Task::waiting(map.get_or_try_insert_async(1, never()));
    let mut last = Task::waiting(map.get_or_try_insert_async(1, async { Ok::<_, &str>(10) }));
    drop(leader);
    assert_eq!((woken.woken(), last.woken()), (1, 0));
    drop(woken);
    assert_eq!((last.woken(), last.poll()), (1, Poll::Ready(Ok(10))));
}

#[test]
fn a_waiter_that_is_dropped_in_line_leaves_no_trace() {
    let map = Map::new();
    let leader = Task::waiting(map.get_or_try_insert_async(1, never()));
    let gone = Task::waiting(map.get_or_try_insert_async(1, never()));
    let last = Task::waiting(map.get_or_try_insert_async(1, never()));
    drop(gone);
    assert_eq!(last.woken(), 0);
    drop(leader);
    assert_eq!(last.woken(), 1);
}

#[test]
fn a_value_that_somebody_else_inserts_meanwhile_stays_and_is_what_all_get() {
    let (map, answer) = (Map::new(), Answer::default());
    let mut leader = Task::waiting(map.get_or_try_insert_async(1, answer.future()));
    let mut waiter = Task::waiting(map.get_or_try_insert_async(1, never()));
    let mut polled = Task::waiting(map.get_or_try_insert_async(1, never()));
    map.insert(1, 99);
    assert_eq!(polled.poll(), Poll::Ready(Ok(99)), "every poll looks");
    answer.result.set(Some(Ok(10)));
    assert_eq!(leader.poll(), Poll::Ready(Ok(99)));
    assert_eq!((waiter.woken(), waiter.poll()), (1, Poll::Ready(Ok(99))));
    assert_eq!(map.get(&1), Some(99));
}

#[test]
fn one_who_is_handed_the_lead_beside_a_value_wakes_the_others() {
    let map = Map::new();
    let leader = Task::waiting(map.get_or_try_insert_async(1, never()));
    let mut waiters = [(); 3].map(|()| Task::waiting(map.get_or_try_insert_async(1, never())));
    map.insert(1, 99);
    drop(leader);
    assert_eq!(waiters.each_ref().map(Task::woken), [1, 0, 0]);
    assert_eq!(waiters[0].poll(), Poll::Ready(Ok(99)));
    assert_eq!(waiters.each_ref().map(Task::woken), [1, 1, 1]);
    for waiter in &mut waiters[1..] {
        assert_eq!((waiter.woken(), waiter.poll()), (1, Poll::Ready(Ok(99))));
    }
}

#[test]
fn a_value_removed_before_a_waiter_has_looked_is_computed_again_once() {
    let (map, first) = (Map::new(), Answer::default());
    let mut leader = Task::waiting(map.get_or_try_insert_async(1, first.future()));
    let second = Answer::default();
    let mut waiters =
        [(); 2].map(|()| Task::waiting(map.get_or_try_insert_async(1, second.future())));
    first.result.set(Some(Ok(10)));
    assert_eq!(leader.poll(), Poll::Ready(Ok(10)));
    assert_eq!(map.remove(&1), Some(10));
    assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
    assert_eq!(second.polls.get(), 1, "one of them leads");
    second.result.set(Some(Ok(20)));
    assert_eq!(waiters.each_mut().map(Task::poll), [Poll::Ready(Ok(20)); 2]);
}

#[test]
fn a_flight_does_not_hide_later_changes_of_its_key() {
    let map = Map::new();
    let get =
        |value| Task::new(map.get_or_try_insert_async(1, async move { Ok::<_, ()>(value) })).poll();
    assert_eq!(get(1), Poll::Ready(Ok(1)));
    map.remove(&1);
    assert_eq!(get(2), Poll::Ready(Ok(2)));
    map.insert(1, 3);
    assert_eq!(get(4), Poll::Ready(Ok(3)));
}

#[test]
fn keys_of_one_hash_wait_for_one_another_and_get_their_own_values() {
    let map = ConcurrentMap::<u32, u32, BuildHasherDefault<Constant>>::default();
    let answers = [(); 3].map(|()| Answer::default());
    let mut one = Task::waiting(map.get_or_try_insert_async(1, answers[0].future()));
    let mut two = Task::waiting(map.get_or_try_insert_async(2, answers[1].future()));
    let mut also_one = Task::waiting(map.get_or_try_insert_async(1, answers[2].future()));
    answers[0].result.set(Some(Ok(10)));
    assert_eq!(one.poll(), Poll::Ready(Ok(10)));
    assert_eq!((two.woken(), also_one.woken()), (1, 1));
    assert!(two.poll().is_pending());
    assert_eq!(also_one.poll(), Poll::Ready(Ok(10)));
    answers[1].result.set(Some(Ok(20)));
    assert_eq!(two.poll(), Poll::Ready(Ok(20)));
    assert_eq!(answers.each_ref().map(|answer| answer.polls.get()), [2, 2, 0]);
}

#[test]
fn a_computation_may_use_its_map_and_compute_another_key() {
    let map = Map::new();
    let fib = map.get_or_try_insert_async(2, async {
        map.insert(0, 1);
        let one = map.get_or_try_insert_async(1, async { Ok::<_, &str>(1) }).await?;
        Ok::<_, &str>(one + map.get(&0).ok_or("it was inserted")?)
    });
    assert_eq!(fib.wait(), Ok(2));
    assert_eq!(map.len(), 3);
}

#[test]
fn a_computation_that_waits_for_itself_ends_with_its_time_limit() {
    let (map, clock) = (Map::new(), ManualClock::new());
    let mut task = Task::waiting(map.get_or_try_insert_async(1, async {
        map.get_or_try_insert_async(1, async { Ok(1) })
            .or_timeout(&clock, Duration::from_secs(1))
            .await
            .unwrap_or(Err("asked for itself"))
    }));
    clock.advance(Duration::from_secs(1));
    assert_eq!((task.woken(), task.poll()), (1, Poll::Ready(Err("asked for itself"))));
}

#[test]
fn a_waiter_may_give_up_by_time_and_the_leader_goes_on() {
    let (map, clock, answer) = (Map::new(), ManualClock::new(), Answer::default());
    let mut leader = Task::waiting(map.get_or_try_insert_async(1, answer.future()));
    let waiter = map.get_or_try_insert_async(1, never());
    let mut waiter = Task::waiting(waiter.or_timeout(&clock, Duration::from_secs(1)));
    clock.advance(Duration::from_secs(1));
    assert!(matches!(waiter.poll(), Poll::Ready(Err(_))));
    answer.result.set(Some(Ok(10)));
    assert_eq!(leader.poll(), Poll::Ready(Ok(10)));
}

/// When it is woken, or dropped in an `OnDrop`, it calls the map in ways that need every lock.
#[derive(Clone)]
struct Meddler {
    map: Arc<OnceLock<ConcurrentMap<u32, Meddler>>>,
    calls: Arc<AtomicUsize>,
}

impl Meddler {
    fn new() -> Self {
        let meddler = Self { map: Arc::default(), calls: Arc::default() };
        assert!(meddler.map.set(ConcurrentMap::with_shards(1)).is_ok());
        meddler
    }

    fn map(&self) -> &ConcurrentMap<u32, Self> {
        self.map.get().unwrap()
    }

    fn meddle(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let map = self.map();
        map.remove(&7);
        for key in [1, 8] {
            let asked = pin!(map.get_or_try_insert_async(key, future::pending::<Result<_, ()>>()));
            drop(asked.poll(&mut Context::from_waker(Waker::noop())));
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.meddle();
    }
}

/// Meddles when it is dropped.
struct OnDrop(Meddler);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.meddle();
    }
}

#[test]
fn wakers_are_called_with_no_lock_held() {
    let meddler = Meddler::new();
    let map = meddler.map();
    let waker = Waker::from(Arc::new(meddler.clone()));
    let never = future::pending::<Result<_, ()>>;
    let leader = Task::waiting(map.get_or_try_insert_async(1, never()));
    let mut waiters = [(); 2].map(|()| Box::pin(map.get_or_try_insert_async(1, never())));
    let mut poll_both = || {
        for waiter in &mut waiters {
            assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
    };
    poll_both();
    drop(leader);
    assert_eq!(meddler.calls(), 1, "a failure wakes one");
    poll_both();
    let [leader, _next] = waiters;
    drop(leader);
    assert_eq!(meddler.calls(), 2);
    // A success wakes with no lock held, too.
    let (value, ends) = (meddler.clone(), Cell::new(false));
    let mut leader =
        Task::waiting(map.get_or_try_insert_async(
            2,
            poll_fn(|_| {
                if ends.get() { Poll::Ready(Ok::<_, ()>(value.clone())) } else { Poll::Pending }
            }),
        ));
    let mut waiter = Box::pin(map.get_or_try_insert_async(2, never()));
    assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    ends.set(true);
    assert!(leader.poll().is_ready());
    assert_eq!(meddler.calls(), 3);
    // The map holds the value, which holds the map: without this, both leak.
    map.clear();
}

#[test]
fn destructors_run_with_no_lock_held() {
    #[derive(Clone)]
    struct Error(#[allow(dead_code, reason = "it is there to be dropped")] Arc<OnDrop>);
    let meddler = Meddler::new();
    let map = meddler.map();
    let bait = || OnDrop(meddler.clone());
    // A computation that is dropped while it leads, with a waiter behind it.
    let captured = bait();
    let leader = Task::waiting(map.get_or_try_insert_async(1, async move {
        let _captured = captured;
        future::pending::<Result<Meddler, Error>>().await
    }));
    let captured = bait();
    let mut next = Task::waiting(map.get_or_try_insert_async(1, async move {
        let _captured = captured;
        Err(Error(Arc::new(bait())))
    }));
    drop(leader);
    assert_eq!((meddler.calls(), next.woken()), (1, 1));
    // A computation that fails: what it has captured is dropped, and later its error.
    let failed = next.poll();
    assert_eq!(meddler.calls(), 2);
    assert!(matches!(failed, Poll::Ready(Err(Error(_)))));
    drop(failed);
    assert_eq!(meddler.calls(), 3);
    // A computation that is not needed.
    map.insert(5, meddler.clone());
    let captured = bait();
    let unneeded = map.get_or_try_insert_async(5, async move {
        let _captured = captured;
        future::pending::<Result<Meddler, ()>>().await
    });
    assert!(unneeded.wait().is_ok());
    assert_eq!(meddler.calls(), 4);
    map.clear();
}

#[test]
fn a_value_that_comes_second_is_dropped_with_no_lock_held() {
    #[derive(Clone)]
    struct Value {
        _bait: Arc<OnDrop>,
    }
    let (meddler, map) = (Meddler::new(), ConcurrentMap::<u32, Value>::with_shards(1));
    let value = || Value { _bait: Arc::new(OnDrop(meddler.clone())) };
    let late = map.get_or_try_insert_async(1, async {
        map.insert(1, value());
        Ok::<_, ()>(value())
    });
    assert!(late.wait().is_ok());
    assert_eq!((meddler.calls(), map.len()), (1, 1));
}
