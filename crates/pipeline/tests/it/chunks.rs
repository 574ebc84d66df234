//! What stages on other threads promise.

use std::{
    cell::RefCell,
    future::Future,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
};

use test_kit::{Task, quiet_panic};
use tidegate_pipeline::{
    AfterStop, CancelToken, ManualClock, OnError, Pipeline, Queue, Threads, Wait,
};
use tidegate_worker_pool::{JoinError, Worker, WorkerPool};

use crate::desk::n;

/// Polls a pool's worker, which does all there is to do.
fn work(worker: &mut Task<Worker>) {
    let _ = worker.poll();
}

/// Polls run and worker until the run is over.
fn finish<F: Future>(run: &mut Task<F>, worker: &mut Task<Worker>) -> F::Output {
    loop {
        if let Poll::Ready(output) = run.poll() {
            return output;
        }
        work(worker);
    }
}

#[test]
fn chunks_come_back_in_the_order_of_the_source() {
    let pool =
        WorkerPool::builder().threads(std::num::NonZeroUsize::new(3).unwrap()).build().unwrap();
    let flow = Pipeline::from_iter(0..10_000_u64).map_on(&pool, "square", n(3), |item| item * item);
    assert!(flow.collect().wait().unwrap().into_iter().eq((0..10_000).map(|item| item * item)));
}

/// Runs flow and worker for as long as one of them is woken.
fn run_until_asleep<F: Future>(run: &mut Task<F>, worker: &mut Task<Worker>) -> Poll<F::Output> {
    let mut woken = None;
    while woken != Some(run.woken()) {
        if let Poll::Ready(output) = run.run() {
            return Poll::Ready(output);
        }
        woken = Some(run.woken());
        let _ = worker.run();
    }
    Poll::Pending
}

#[test]
fn nothing_is_held_back_when_the_budget_of_a_poll_ends_with_the_last_item() {
    // The first poll may read 256 items, and the second one 512, as no time passes.
    for count in [255, 256, 257, 767, 768, 769] {
        let (pool, queue, out) = (WorkerPool::detached(4), Queue::unbounded(), Queue::unbounded());
        let mut worker = Task::new(pool.worker());
        (0..count).for_each(|item| queue.try_push(item).unwrap());
        let flow = Pipeline::from_queue(&queue)
            .timer(ManualClock::new())
            .filter("some", |item| item % 256 == 255)
            .map_on(&pool, "pass", n(1), |item| item);
        let mut run = Task::new(flow.for_each(|item| out.try_push(item).unwrap()));
        assert!(run_until_asleep(&mut run, &mut worker).is_pending());
        assert_eq!(out.len(), count / 256, "of {count}");
    }
}

#[test]
fn nothing_is_held_back_when_the_budget_ends_as_the_flow_becomes_full() {
    let pool = WorkerPool::detached(4);
    let mut worker = Task::new(pool.worker());
    let flow = Pipeline::from_iter(0..1000)
        .timer(ManualClock::new())
        .max_in_flight(n(1))
        .filter("two", |item| [255, 767].contains(item))
        .map_on(&pool, "pass", n(1), |item| item);
    let mut run = Task::new(flow.collect());
    match run_until_asleep(&mut run, &mut worker) {
        Poll::Ready(items) => assert_eq!(items.unwrap(), [255, 767]),
        Poll::Pending => panic!("the flow sleeps for ever"),
    }
}

#[test]
fn nothing_is_held_back_for_a_larger_chunk_while_a_worker_is_free() {
    let (pool, queue, out) = (WorkerPool::detached(4), Queue::unbounded(), Queue::unbounded());
    let mut worker = Task::new(pool.worker());
    let flow = Pipeline::from_queue(&queue).map_on(&pool, "pass", n(1), |item| item);
    let mut run = Task::new(flow.for_each(|item| out.try_push(item).unwrap()));
    // After many items, chunks are large.
    (0..1000).for_each(|item| queue.try_push(item).unwrap());
    for _ in 0..100 {
        assert!(run.is_pending());
        work(&mut worker);
    }
    assert_eq!(out.len(), 1000);
    for item in 1000..1010 {
        queue.try_push(item).unwrap();
        assert!(run.is_pending());
        work(&mut worker);
        assert!(run.is_pending());
        assert_eq!(out.len(), item + 1);
    }
}

/// futures-rs' #2387: a buffered stage stalls while its consumer is busy. Here the stage is on a
/// pool.
#[test]
fn a_stage_on_a_pool_goes_on_while_the_next_is_busy() {
    let (pool, done) = (WorkerPool::detached(4), Arc::new(AtomicUsize::new(0)));
    let mut worker = Task::new(pool.worker());
    let count = done.clone();
    let flow = Pipeline::from_iter(0..100)
        .map_on(&pool, "count", n(1), move |item| {
            count.fetch_add(1, Ordering::SeqCst);
            item
        })
        .window(n(8))
        .map_async("busy", n(1), |_| std::future::pending::<()>())
        .window(n(1));
    let mut run = Task::new(flow.run());
    for _ in 0..30 {
        assert!(run.is_pending());
        work(&mut worker);
    }
    // One item is in the busy stage. Behind it there are two chunks, of no more items than the
    // window holds.
    assert!((1 + 2..=1 + 8).contains(&done.load(Ordering::SeqCst)));
}

#[test]
fn no_more_is_read_than_the_window_holds() {
    for window in 1..20 {
        let pool = WorkerPool::detached(64);
        let flow =
            Pipeline::from_iter(0..100).map_on(&pool, "pass", n(2), |item| item).window(n(window));
        let monitor = flow.monitor();
        let mut run = Task::new(flow.run());
        assert!(run.is_pending());
        let read = monitor.stats().summary.read;
        assert!((1..=window as u64).contains(&read), "{read} of {window}");
        assert_eq!(finish(&mut run, &mut Task::new(pool.worker())).unwrap().succeeded, 100);
    }
}

#[test]
fn no_more_workers_are_requested_than_the_stage_may_have() {
    let pool = WorkerPool::detached(64);
    let flow = Pipeline::from_iter(0..1000).map_on(&pool, "pass", n(3), |item| item);
    let mut run = Task::new(flow.run());
    for _ in 0..10 {
        assert!(run.is_pending());
    }
    assert_eq!(pool.stats().waiting, 3);
}

#[test]
fn errors_and_panics_in_a_chunk_have_their_items_index() {
    let (mut failed, mut worker) = (Vec::new(), None);
    let pool = WorkerPool::detached(4);
    let flow = Pipeline::from_iter(0..1000_u64)
        .try_map_on(&pool, "odd", n(1), |item| match item % 100 {
            13 => Err("unlucky"),
            17 => quiet_panic("prime"),
            _ => Ok(item),
        })
        .on_error(OnError::divert(|error| failed.push((error.index(), error.is_panic()))));
    let monitor = flow.monitor();
    let items = finish(
        &mut Task::new(flow.collect()),
        worker.get_or_insert_with(|| Task::new(pool.worker())),
    );
    assert!(
        items.unwrap().into_iter().eq((0..1000).filter(|item| ![13, 17].contains(&(item % 100))))
    );
    let expected =
        (0..10).flat_map(|hundred| [(100 * hundred + 13, false), (100 * hundred + 17, true)]);
    assert!(failed.into_iter().eq(expected));
    let summary = monitor.stats().summary;
    assert_eq!((summary.succeeded, summary.failed, summary.leftover()), (980, 20, 0));
    let stage = monitor.stats().stages[1];
    assert_eq!((stage.received, stage.emitted, stage.failed, stage.in_flight), (1000, 980, 20, 0));
}

#[test]
fn the_first_error_in_a_chunk_stops_the_source_and_drains() {
    let flow = Pipeline::from_iter(0..).try_map_on(Threads, "limit", n(2), |item| {
        if item < 500 { Ok(item) } else { Err("too large") }
    });
    let stopped = flow.run_on_threads(n(2)).unwrap_err();
    assert!(stopped.error().is_some_and(|error| error.index() >= 500));
    let summary = stopped.summary();
    assert_eq!((summary.succeeded, summary.leftover()), (500, 0));
}

#[test]
fn what_waits_for_a_worker_is_dropped_when_abandoned() {
    let (pool, token, held) = (WorkerPool::detached(4), CancelToken::new(), Arc::new(()));
    let items = std::iter::repeat_with(|| held.clone());
    let flow = Pipeline::from_iter(items)
        .map_on(&pool, "hold", n(2), |item| item)
        .stop_on(&token)
        .after_stop(AfterStop::Abandon);
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    assert!(Arc::strong_count(&held) > 1);
    token.cancel();
    let summary = run.output().unwrap_err().summary();
    assert_eq!((summary.succeeded, summary.leftover()), (0, summary.read));
    assert_eq!(Arc::strong_count(&held), 1);
    // The workers that were requested find nothing.
    work(&mut Task::new(pool.worker()));
}

#[test]
fn a_cancelled_job_fails_its_items() {
    let pool = WorkerPool::detached(4);
    let mut errors = Vec::new();
    let flow = Pipeline::from_iter(0..3)
        .map_on(&pool, "work", n(1), |item| item)
        .on_error(OnError::divert(|error| errors.push(error)));
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    drop(pool.shutdown_now());
    // Each chunk is lost on its own, and wakes the run.
    let summary = loop {
        let woken = run.woken();
        match run.poll() {
            Poll::Ready(summary) => break summary,
            Poll::Pending => assert!(run.woken() > woken, "asleep beside its end"),
        }
    };
    assert_eq!(summary.unwrap().failed, 3);
    drop(run);
    let is = |error: &JoinError| error.is_cancelled() || error.is_closed();
    assert!(errors.iter().all(|error| error.cause().downcast_ref().is_some_and(is)));
}

#[test]
fn a_full_pool_is_waited_for() {
    let pool = WorkerPool::detached(1);
    let mut worker = Task::new(pool.worker());
    let other = pool.try_submit(|| ()).unwrap();
    let flow = Pipeline::from_iter(0..10).map_on(&pool, "work", n(2), |item| item);
    assert_eq!(finish(&mut Task::new(flow.run()), &mut worker).unwrap().succeeded, 10);
    assert!(other.is_finished());
}

#[test]
fn items_are_in_flight_until_their_chunk_is_back() {
    let (pool, queue) = (WorkerPool::detached(8), Queue::unbounded());
    let mut worker = Task::new(pool.worker());
    let flow = Pipeline::from_queue(&queue).map_on(&pool, "work", n(2), |item: u32| item);
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    let in_flight = || monitor.stats().stages[1].in_flight;
    for _ in 0..2 {
        queue.try_push(1).unwrap();
        assert!(run.is_pending());
        assert_eq!(in_flight(), 1);
        work(&mut worker);
        assert!(run.is_pending());
        assert_eq!(in_flight(), 0);
    }
}

thread_local! {
    /// What the work on an item does besides.
    static BESIDE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

#[test]
fn a_worker_that_leaves_chunks_behind_is_replaced() {
    let pool = WorkerPool::detached(8);
    let mut worker = Task::new(pool.worker());
    // The flow goes on during the work, so the worker always finds another chunk.
    let pass = |item| {
        BESIDE.with_borrow_mut(|beside| beside.as_mut().map_or((), |beside| beside()));
        item
    };
    let flow = Pipeline::from_iter(0..100).map_on(&pool, "pass", n(1), pass).window(n(2));
    let run = Rc::new(RefCell::new((Task::new(flow.run()), None)));
    let go_on = {
        let run = run.clone();
        move || {
            let (run, end) = &mut *run.borrow_mut();
            if end.is_none() {
                *end = Some(run.poll()).filter(Poll::is_ready);
            }
        }
    };
    BESIDE.set(Some(Box::new(go_on.clone())));
    for _ in 0..40 {
        if run.borrow().1.is_none() {
            go_on();
            work(&mut worker);
        }
    }
    BESIDE.set(None);
    let Some(Poll::Ready(Ok(summary))) = run.borrow().1 else { panic!("chunks wait in vain") };
    assert_eq!(summary.succeeded, 100);
}

#[test]
fn each_worker_has_a_state_and_no_more_are_made() {
    for is_chained in [false, true] {
        let made = AtomicUsize::new(0);
        let flow = Pipeline::from_iter(0..1000).map_init(
            Threads,
            "number",
            n(4),
            || (made.fetch_add(1, Ordering::SeqCst), 0),
            |(worker, seen), _item| {
                *seen += 1;
                (*worker, *seen)
            },
        );
        let seen = match is_chained {
            false => flow.collect().run_on_threads(n(2)),
            true => flow.and_map("pass", |seen| seen).collect().run_on_threads(n(2)),
        };
        let (seen, made) = (seen.unwrap(), made.into_inner());
        assert!((1..=2).contains(&made), "{made}");
        let last =
            |worker| seen.iter().filter(|(by, _)| *by == worker).map(|(_, seen)| *seen).max();
        assert_eq!((0..made).filter_map(last).sum::<i32>(), 1000);
    }
}

#[test]
fn a_state_that_cannot_be_made_fails_the_item() {
    for threads in 1..3 {
        let attempts = AtomicUsize::new(0);
        let init = || {
            if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                quiet_panic("no state");
            }
        };
        let flow = Pipeline::from_iter(0..10)
            .map_init(Threads, "work", n(1), init, |(), item| item)
            .on_error(OnError::Skip);
        let summary = flow.run_on_threads(n(threads)).unwrap();
        assert_eq!((summary.succeeded, summary.skipped), (9, 1));
    }
}

#[test]
fn stages_of_one_worker_are_accounted_for_one_by_one() {
    for on_threads in [false, true] {
        let flow = Pipeline::from_iter(0..100)
            .try_map_on(Threads, "first", n(2), |item| {
                if item % 10 == 0 { Err("first") } else { Ok(item) }
            })
            .on_error(OnError::Skip)
            .and_map("second", |item| if item % 5 == 1 { quiet_panic("second") } else { item })
            .on_error(OnError::divert(|error| {
                assert_eq!((error.stage(), error.index() % 5), ("second", 1))
            }))
            .and_map("third", |item| item);
        let monitor = flow.monitor();
        let run = flow.run();
        let summary = if on_threads { run.run_on_threads(n(2)) } else { run.wait() }.unwrap();
        assert_eq!((summary.succeeded, summary.failed, summary.skipped), (70, 20, 10));
        let [_, first, second, third] = monitor.stats().stages.try_into().unwrap();
        assert_eq!((first.received, first.emitted, first.failed), (100, 90, 10));
        assert_eq!((second.received, second.emitted, second.failed), (90, 70, 20));
        assert_eq!((third.received, third.emitted, third.failed), (70, 70, 0));
    }
}

#[test]
fn work_on_threads_may_borrow_and_is_done_here_without_them() {
    let here = thread::current().id();
    let words = ["tide".to_owned(), "gate".to_owned()];
    let flow = Pipeline::from_iter(&words)
        .map_on(Threads, "where", n(2), |word: &String| (word.len(), thread::current().id()));
    assert_eq!(flow.collect().wait().unwrap(), [(4, here); 2]);
}

#[test]
fn one_thread_is_enough_for_a_run_on_threads() {
    let flow = Pipeline::from_iter(0..1000).map_on(Threads, "pass", n(4), |item| item);
    assert_eq!(flow.run_on_threads(n(1)).unwrap().succeeded, 1000);
}

#[test]
fn threads_are_gone_when_the_run_has_ended() {
    let held = Arc::new(());
    let hold = held.clone();
    let flow = Pipeline::from_iter(0..100).map_on(Threads, "hold", n(2), move |item| {
        let _hold = &hold;
        item
    });
    flow.run_on_threads(n(3)).unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn work_on_threads_is_charged_to_its_stage() {
    let flow = Pipeline::from_iter(0..200_u64).map("cheap", |item| item + 1).map_on(
        Threads,
        "costly",
        n(2),
        |item| (0..10_000).fold(item, |sum, n| std::hint::black_box(sum ^ n)),
    );
    let monitor = flow.monitor();
    flow.run_on_threads(n(2)).unwrap();
    let costly = monitor.stats().stages.into_iter().find(|stage| stage.name == "costly").unwrap();
    assert_eq!((costly.received, costly.emitted, costly.in_flight), (200, 200, 0));
    assert!(!costly.busy.is_zero());
}

/// A worker that leaves early is replaced only if something is left to be done.
#[test]
fn no_worker_is_requested_where_nothing_waits() {
    let pool = WorkerPool::detached(64);
    let flow = Pipeline::from_iter(0..10).map_on(&pool, "pass", n(5), |item| item);
    let (mut run, mut worker) = (Task::new(flow.run()), Task::new(pool.worker()));
    assert!(run.is_pending());
    assert_eq!(pool.stats().submitted, 5);
    // The first job leaves after eight chunks, the second does the other two.
    work(&mut worker);
    work(&mut worker);
    assert_eq!(run.output().unwrap().succeeded, 10);
    assert_eq!(pool.stats().submitted, 5);
}

/// Half of a chunk is emitted, and nothing else is in the stage, which asks itself for room.
#[test]
fn a_stage_goes_on_while_the_next_has_no_room_for_the_rest_of_a_chunk() {
    for seed in 0..50 {
        let flow = Pipeline::from_iter(0..20)
            .after_stop(AfterStop::Abandon)
            .map_on(Threads, "pass", n(1), |item| item)
            .map_async("next", n(1), |item| async move { item })
            .window(n(1));
        assert!(flow.collect().run_deterministic(seed).unwrap().into_iter().eq(0..20));
    }
}
