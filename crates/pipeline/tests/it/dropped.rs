//! Laws of runs that are dropped before their end: each value in them is dropped on its own.

use std::{
    future::{Future, pending, poll_fn, ready},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use test_kit::{Bomb, quiet_panic};
use tidegate_pipeline::{ManualClock, OnError, Pipeline, Wait, policy, stage::Branch};
use tidegate_worker_pool::WorkerPool;

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Polls a run once, and drops it; returns how many bombs were dropped.
fn dropped<F: Future + Unpin>(run: impl FnOnce(Arc<AtomicUsize>) -> F) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let mut run = run(count.clone());
    assert!(Pin::new(&mut run).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(count.load(Ordering::SeqCst), 0);
    _ = catch_unwind(AssertUnwindSafe(|| drop(run)));
    count.load(Ordering::SeqCst)
}

#[test]
fn futures_of_a_run_that_panic_when_they_are_dropped_are_dropped_each() {
    let futures = |count: Arc<AtomicUsize>| {
        let hold = move |_: usize| {
            let bomb = Bomb(0, count.clone());
            async move {
                pending::<()>().await;
                drop(bomb);
            }
        };
        Pipeline::from_iter(0..9).map_async("hold", FOUR, hold).run()
    };
    assert_eq!(dropped(futures), 4);
}

#[test]
fn items_of_a_run_that_panic_when_they_are_dropped_are_dropped_each() {
    let items = |count: Arc<AtomicUsize>| {
        let make = move |n: usize| {
            let count = count.clone();
            async move {
                if n == 0 {
                    pending::<()>().await;
                }
                Bomb(0, count)
            }
        };
        // Results are emitted in order, so three wait for the first.
        Pipeline::from_iter(0..4).map_async("make", FOUR, make).for_each(drop)
    };
    assert_eq!(dropped(items), 3);
}

/// A stream of so many bombs, after which it is pending for ever.
struct Bombs(usize, Arc<AtomicUsize>);

impl Stream for Bombs {
    type Item = Bomb;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Bomb>> {
        if self.0 == 0 {
            return Poll::Pending;
        }
        self.0 -= 1;
        Poll::Ready(Some(Bomb(0, self.1.clone())))
    }
}

#[test]
fn a_batch_that_gathers_drops_each_of_its_items() {
    let batch = |count| {
        let clock = ManualClock::new();
        let flow = Pipeline::from_stream(Bombs(3, count)).timer(clock);
        flow.batch("rows", FOUR, Duration::from_secs(1)).run()
    };
    assert_eq!(dropped(batch), 3);
}

#[test]
fn what_was_collected_is_dropped_each() {
    assert_eq!(dropped(|count| Pipeline::from_stream(Bombs(3, count)).collect()), 3);
}

#[test]
fn items_that_wait_for_their_key_are_dropped_each() {
    let keyed = |count| {
        let hold = |bomb: Bomb| async move {
            pending::<()>().await;
            bomb
        };
        Pipeline::from_stream(Bombs(4, count)).map_keyed("hold", FOUR, |_| 1, hold).run()
    };
    assert_eq!(dropped(keyed), 4);
}

#[test]
fn keys_whose_every_drop_panics_are_dropped_each_and_keep_no_item_from_its_turn() {
    let keys = Arc::new(AtomicUsize::new(0));
    let hold = |item: u32| async move {
        pending::<()>().await;
        item
    };
    let of = keys.clone();
    let run =
        Pipeline::from_iter([1, 2, 3]).map_keyed("hold", FOUR, move |k| Bomb(*k, of.clone()), hold);
    let mut run = run.run();
    assert!(Pin::new(&mut run).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    _ = catch_unwind(AssertUnwindSafe(|| drop(run)));
    // The stage keeps each key twice.
    assert_eq!(keys.load(Ordering::SeqCst), 6);
    let of = keys.clone();
    let flow = Pipeline::from_iter([1, 1, 2, 2, 2]);
    let flow = flow.map_keyed("key", FOUR, move |k| Bomb(*k, of.clone()), ready);
    let summary = flow.on_error(OnError::Skip).run().wait().unwrap();
    assert_eq!((summary.read, summary.leftover()), (5, 0));
}

#[test]
fn items_before_both_branches_of_a_split_are_dropped_each() {
    // Neither branch takes an item: its stage is full.
    let split = |count: Arc<AtomicUsize>| {
        let mut n = 0;
        let hold = |bomb: Bomb| async move {
            pending::<()>().await;
            bomb
        };
        let branch = move |branch: Pipeline<'static, Branch<Bomb>>| {
            branch.map_async("hold", NonZeroUsize::MIN, hold).window(NonZeroUsize::MIN)
        };
        let flow = Pipeline::from_stream(Bombs(8, count)).split(
            "alternate",
            move |_| {
                n += 1;
                n % 2 == 0
            },
            branch,
            branch,
        );
        flow.run()
    };
    // One in each branch, and one before the first branch that has no room.
    assert_eq!(dropped(split), 3);
}

#[test]
fn an_item_in_a_branch_that_panics_when_it_is_dropped_reaches_no_owner_of_the_run() {
    let count = Arc::new(AtomicUsize::new(0));
    let of = count.clone();
    // The first item hangs, and the second, which is the bomb, waits behind it.
    let items = (0..2).map(move |n| (n == 1).then(|| Bomb(0, of.clone())));
    let hold = |_| pending::<()>();
    let branch = |branch: Pipeline<'static, Branch<Option<Bomb>>>| {
        branch.map_async("hold", NonZeroUsize::MIN, hold).window(NonZeroUsize::MIN)
    };
    let other = |branch: Pipeline<'static, Branch<Option<Bomb>>>| branch.map("none", drop);
    let mut run = Pipeline::from_iter(items).split("first", |_| true, branch, other).run();
    assert!(Pin::new(&mut run).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(run);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn chunks_that_wait_for_a_worker_are_dropped_each() {
    // A pool without workers.
    let pool = WorkerPool::detached(8);
    let waiting = |count| {
        Pipeline::from_stream(Bombs(8, count)).map_on(&pool, "pass", FOUR, |item| item).run()
    };
    assert_eq!(dropped(waiting), 8);
}

#[test]
fn results_of_a_chunk_that_are_not_taken_are_dropped_each() {
    let [made, gone] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    let make = {
        let (made, gone) = (made.clone(), gone.clone());
        move |_: u32| {
            made.fetch_add(1, Ordering::SeqCst);
            Bomb(0, gone.clone())
        }
    };
    let mut stream = Pipeline::from_iter(0..9000).map_on(&pool, "make", FOUR, make).into_stream();
    // Chunks grow, so that the stream is dropped in the middle of one.
    for _ in 0..500 {
        let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).wait();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(next))).is_err());
    }
    _ = catch_unwind(AssertUnwindSafe(|| drop(stream)));
    pool.shutdown().wait();
    assert_eq!(gone.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
}

#[test]
fn a_state_that_panics_when_it_is_dropped_by_a_panic_of_its_work_aborts_nothing() {
    let gone = Arc::new(AtomicUsize::new(0));
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    let state = gone.clone();
    let work = |_: &mut Bomb, n: u32| {
        if n % 2 == 0 {
            quiet_panic("quiet");
        }
        n
    };
    let flow = Pipeline::from_iter(0..40).map_init(
        &pool,
        "work",
        FOUR,
        move || Bomb(0, state.clone()),
        work,
    );
    let summary = flow.on_error(OnError::Skip).run().wait().unwrap();
    assert_eq!((summary.succeeded, summary.skipped), (20, 20));
    assert!(gone.load(Ordering::SeqCst) >= 20);
}

#[test]
fn an_item_that_panics_when_it_is_dropped_by_the_panic_of_an_inspector_aborts_nothing() {
    let gone = Arc::new(AtomicUsize::new(0));
    let bombs = |n| {
        let gone = gone.clone();
        Pipeline::from_iter((0..n).map(move |_| Bomb(0, gone.clone())))
    };
    let ends = [
        bombs(3).filter("look", |_| quiet_panic("quiet")).on_error(OnError::Skip).run().wait(),
        bombs(3).inspect("look", |_| quiet_panic("quiet")).on_error(OnError::Skip).run().wait(),
        bombs(3)
            .map_if("look", |_| quiet_panic("quiet"), |bomb| bomb)
            .on_error(OnError::Skip)
            .run()
            .wait(),
        bombs(3)
            .split("look", |_| quiet_panic("quiet"), |a| a, |b| b)
            .on_error(OnError::Skip)
            .run()
            .wait(),
        bombs(3)
            .map_keyed("look", FOUR, |_| -> u32 { quiet_panic("quiet") }, ready)
            .on_error(OnError::Skip)
            .run()
            .wait(),
    ];
    for summary in ends.map(Result::unwrap) {
        assert_eq!((summary.read, summary.skipped), (3, 3));
    }
    assert_eq!(gone.load(Ordering::SeqCst), 15);
}

/// A future that ends at its second poll, and panics when it is dropped.
struct Fragile<T>(Option<T>, bool, #[allow(dead_code, reason = "it is there to be dropped")] Bomb);

impl<T: Unpin> Future for Fragile<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Ready(self.0.take().unwrap());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn futures_that_panic_when_they_are_dropped_take_no_result_along() {
    let gone = Arc::new(AtomicUsize::new(0));
    let fragile = |n: u32| Fragile(Some(n), false, Bomb(0, gone.clone()));
    let hour = Duration::from_secs(3600);
    let flow =
        || Pipeline::from_iter(0..3).timer(ManualClock::new()).map_async("work", FOUR, fragile);
    let retried = policy(|_, _| Some(Duration::ZERO));
    assert_eq!(flow().collect().wait().unwrap(), [0, 1, 2]);
    assert_eq!(flow().timeout(hour).collect().wait().unwrap(), [0, 1, 2]);
    assert_eq!(flow().retry(retried).collect().wait().unwrap(), [0, 1, 2]);
    assert_eq!(flow().hedge(Duration::ZERO).collect().wait().unwrap(), [0, 1, 2]);
    // Three of each run, and in the last run, which makes second attempts, six.
    assert_eq!(gone.load(Ordering::SeqCst), 15);
}

#[test]
fn attempts_of_a_run_that_panic_when_they_are_dropped_are_dropped_each() {
    let attempts = |count: Arc<AtomicUsize>| {
        let hold = move |_: u32| {
            let bomb = Bomb(0, count.clone());
            async move {
                pending::<()>().await;
                drop(bomb);
            }
        };
        Pipeline::from_iter(0..2)
            .timer(ManualClock::new())
            .map_async("hold", FOUR, hold)
            .hedge(Duration::ZERO)
            .run()
    };
    // Two attempts on each item.
    assert_eq!(dropped(attempts), 4);
}
