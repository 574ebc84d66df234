//! Models of the pipeline: everything that reaches a flow from other threads.
//!
//! A flow is polled by one thread at a time. Other threads wake its futures, feed its source,
//! cancel its token, and read its monitor.

use std::{
    future::poll_fn,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use loom_tests::{CallingWaker, CountingWaker, model, poll, poll_quietly, thread};
use tidegate_core::{
    Event, Queue,
    lock::Lock,
    primitive::atomic::{AtomicU8, Ordering},
};
use tidegate_pipeline::{AfterStop, CancelToken, OnError, Pipeline, Stage, Threads, Wait};
use tidegate_worker_pool::WorkerPool;

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Work on two items, 0 and 1, which other threads end.
#[derive(Default)]
struct Desk {
    items: [Item; 2],
}

#[derive(Default)]
struct Item {
    end: AtomicU8,
    changed: Event,
}

const DONE: u8 = 1;
const FAILED: u8 = 2;

impl Desk {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn end(&self, item: usize, end: u8) {
        let Item { end: place, changed } = &self.items[item];
        place.store(end, Ordering::Release);
        changed.notify_all();
    }

    async fn work(self: Arc<Self>, item: usize) -> Result<usize, &'static str> {
        let Item { end, changed } = &self.items[item];
        let end = changed
            .wait_until(|| match end.load(Ordering::Acquire) {
                0 => None,
                end => Some(end),
            })
            .await;
        if end == DONE { Ok(item) } else { Err("failed") }
    }
}

/// Ends an item on a thread of its own.
fn spawn_end(desk: &Arc<Desk>, item: usize, end: u8) -> thread::JoinHandle<()> {
    let desk = desk.clone();
    thread::spawn(move || desk.end(item, end))
}

#[test]
fn a_future_woken_by_another_thread_is_polled() {
    model(|| {
        let desk = Desk::new();
        let ender = spawn_end(&desk, 0, DONE);
        let flow =
            Pipeline::from_iter([0]).try_map_async("work", TWO, |item| desk.clone().work(item));
        assert_eq!(flow.run().wait().unwrap().succeeded, 1);
        ender.join().unwrap();
    });
}

#[test]
fn two_futures_woken_by_two_threads_are_both_polled() {
    model(|| {
        let desk = Desk::new();
        let enders = [0, 1].map(|item| spawn_end(&desk, item, DONE));
        let flow = Pipeline::from_iter([0, 1])
            .try_map_async("work", TWO, |item| desk.clone().work(item))
            .unordered();
        assert_eq!(flow.run().wait().unwrap().succeeded, 2);
        enders.into_iter().for_each(|ender| ender.join().unwrap());
    });
}

#[test]
fn what_was_done_before_a_wake_is_seen_by_the_poll() {
    model(|| {
        // This future leaves the synchronization to its waker, which the contract of wakers allows.
        let flag = Arc::new(AtomicU8::new(0));
        let kept = Arc::new(Lock::new(None));
        let work = |()| {
            let (flag, kept) = (flag.clone(), kept.clone());
            poll_fn(move |cx| {
                if flag.load(Ordering::Relaxed) == 1 {
                    return Poll::Ready(Ok::<_, &str>(()));
                }
                kept.with(|kept| *kept = Some(cx.waker().clone()));
                Poll::Pending
            })
        };
        let mut run = Pipeline::from_iter([()]).try_map_async("work", TWO, work).run();
        assert!(poll_quietly(&mut run).is_pending());
        let waker = kept.with(|kept| kept.clone().unwrap());
        let waking = {
            let flag = flag.clone();
            thread::spawn(move || {
                flag.store(1, Ordering::Relaxed);
                waker.wake();
            })
        };
        assert_eq!(run.wait().unwrap().succeeded, 1);
        waking.join().unwrap();
    });
}

#[test]
fn the_last_item_is_not_lost_at_the_end_of_input() {
    model(|| {
        let queue = Arc::new(Queue::unbounded());
        let feeder = {
            let queue = queue.clone();
            thread::spawn(move || {
                queue.try_push(7).unwrap();
                queue.close();
            })
        };
        let flow = Pipeline::from_queue(&*queue)
            .try_map_async("pass", TWO, |item| async move { Ok::<_, &str>(item) });
        assert_eq!(flow.collect().wait().unwrap(), [7]);
        feeder.join().unwrap();
    });
}

#[test]
fn a_cancel_brings_a_parked_item_to_the_end() {
    model(|| {
        let (desk, token) = (Desk::new(), CancelToken::new());
        // Item 1 is finished, and waits behind item 0.
        desk.end(1, DONE);
        let other = {
            let (desk, token) = (desk.clone(), token.clone());
            thread::spawn(move || {
                token.cancel();
                desk.end(0, DONE);
            })
        };
        let flow = Pipeline::from_iter([0, 1])
            .stop_on(&token)
            .try_map_async("work", TWO, |item| desk.clone().work(item));
        let monitor = flow.monitor();
        let run = flow.run().wait();
        let summary = monitor.stats().summary;
        assert_eq!(summary.succeeded, summary.read);
        // The input's end races the cancel: an early cancel ends the run before all is read.
        assert!(run.is_err() || summary.read == 2);
        other.join().unwrap();
    });
}

#[test]
fn a_cancel_abandons_a_parked_item_and_counts_it() {
    model(|| {
        let (desk, token) = (Desk::new(), CancelToken::new());
        desk.end(1, DONE);
        let canceller = {
            let token = token.clone();
            thread::spawn(move || token.cancel())
        };
        // Item 0 never ends.
        let flow = Pipeline::from_iter([0, 1])
            .stop_on(&token)
            .after_stop(AfterStop::Abandon)
            .try_map_async("work", TWO, |item| desk.clone().work(item));
        let stopped = flow.run().wait().unwrap_err();
        assert!(stopped.is_cancelled());
        let summary = stopped.summary();
        assert_eq!((summary.succeeded, summary.leftover()), (0, summary.read));
        canceller.join().unwrap();
    });
}

#[test]
fn an_error_at_the_head_lets_the_parked_item_through() {
    model(|| {
        let desk = Desk::new();
        let enders = [(0, FAILED), (1, DONE)].map(|(item, end)| spawn_end(&desk, item, end));
        let mut out = Vec::new();
        let run = Pipeline::from_iter([0, 1])
            .try_map_async("work", TWO, |item| desk.clone().work(item))
            .for_each(|item| out.push(item));
        let stopped = run.wait().unwrap_err();
        assert_eq!(stopped.error().unwrap().index(), 0);
        // If item 0 fails at once, nothing more is read.
        let summary = stopped.summary();
        assert_eq!((summary.failed, summary.succeeded), (1, summary.read - 1));
        assert_eq!(out, vec![1; usize::from(summary.read == 2)]);
        enders.into_iter().for_each(|ender| ender.join().unwrap());
    });
}

#[test]
fn an_error_while_the_source_waits_ends_the_run() {
    model(|| {
        let (desk, queue) = (Desk::new(), Arc::new(Queue::unbounded()));
        queue.try_push(0).unwrap();
        let ender = spawn_end(&desk, 0, FAILED);
        // The queue stays open: only the error can end this.
        let flow = Pipeline::from_queue(&*queue)
            .try_map_async("work", TWO, |item| desk.clone().work(item));
        assert_eq!(flow.run().wait().unwrap_err().summary().failed, 1);
        ender.join().unwrap();
    });
}

#[test]
fn the_last_registered_waker_is_the_one_woken() {
    model(|| {
        let desk = Desk::new();
        let mut run = Pipeline::from_iter([0])
            .try_map_async("work", TWO, |item| desk.clone().work(item))
            .run();
        let [(_, old_waker), (new, new_waker)] = [CountingWaker::new(), CountingWaker::new()];
        assert!(poll(&mut run, &old_waker).is_pending());
        let ender = spawn_end(&desk, 0, DONE);
        let ready = poll(&mut run, &new_waker).is_ready();
        ender.join().unwrap();
        assert!(ready || new.count() == 1, "neither ready nor woken");
        assert!(ready || poll_quietly(&mut run).is_ready());
    });
}

#[test]
fn no_lock_is_held_in_wake() {
    model(|| {
        let desk = Desk::new();
        let flow = Pipeline::from_iter([0, 1])
            .try_map_async("work", TWO, |item| desk.clone().work(item))
            .on_error(OnError::Skip);
        let monitor = flow.monitor();
        let mut run = flow.run();
        // The waker reads the monitor, and ends another item, which wakes the flow from within a
        // wake.
        let re_enter = {
            let (desk, monitor) = (desk.clone(), monitor.clone());
            CallingWaker::new(move || {
                let _ = monitor.stats().summary;
                desk.end(1, FAILED);
            })
        };
        assert!(poll(&mut run, &re_enter).is_pending());
        let end = spawn_end(&desk, 0, DONE);
        let _ = monitor.stats().summary;
        end.join().unwrap();
        assert!(poll_quietly(&mut run).is_ready());
        assert_eq!((monitor.stats().summary.succeeded, monitor.stats().summary.skipped), (1, 1));
    });
}

#[test]
fn a_monitor_shows_sums_of_one_instant() {
    model(|| {
        let desk = Desk::new();
        let flow = Pipeline::from_iter([0, 1])
            .try_map_async("work", TWO, |item| desk.clone().work(item))
            .unordered();
        let monitor = flow.monitor();
        let watcher = {
            let (desk, monitor) = (desk.clone(), monitor.clone());
            thread::spawn(move || {
                desk.end(0, DONE);
                let summary = monitor.stats().summary;
                assert!(summary.succeeded <= summary.read);
                desk.end(1, DONE);
            })
        };
        assert_eq!(flow.run().wait().unwrap().succeeded, 2);
        watcher.join().unwrap();
        assert_eq!(monitor.stats().summary.leftover(), 0);
    });
}

/// A flow, and the pool whose worker has a thread of its own.
fn on_a_pool<R>(
    items: usize,
    drive: impl FnOnce(Pipeline<'static, Box<dyn Stage<Item = usize> + Send>>, &WorkerPool) -> R,
) -> R {
    let pool = WorkerPool::detached(2);
    let worker = {
        let worker = pool.worker();
        thread::spawn(|| worker.wait())
    };
    let flow =
        Pipeline::from_iter(0..items).map_on(&pool, "work", NonZeroUsize::MIN, |item| item).boxed();
    let driven = drive(flow, &pool);
    pool.close();
    worker.join().unwrap();
    driven
}

#[test]
fn a_chunk_that_is_done_wakes_the_flow_and_the_next_finds_a_worker() {
    model(|| {
        let collected = on_a_pool(2, |flow, _| flow.collect().wait());
        assert_eq!(collected.unwrap(), [0, 1]);
    });
}

#[test]
fn a_flow_that_is_dropped_against_the_worker_of_its_chunk() {
    model(|| {
        on_a_pool(1, |flow, _| {
            let mut run = flow.run();
            let _ = poll_quietly(&mut run);
        });
    });
}

#[test]
fn a_pool_that_closes_under_a_flow_fails_its_items_or_works_on_them() {
    model(|| {
        let stopped = on_a_pool(1, |flow, pool| {
            let closer = {
                let pool = pool.clone();
                thread::spawn(move || pool.close())
            };
            let ended = flow.run().wait();
            closer.join().unwrap();
            ended
        });
        match stopped {
            Ok(summary) => assert_eq!(summary.succeeded, 1),
            Err(stopped) => assert_eq!(stopped.summary().failed, 1),
        }
    });
}

/// Runs a flow on two threads, as `run_on_threads` does.
macro_rules! on_two_threads {
    ($flow:expr) => {{
        let shared = Arc::new($flow.run().into_shared_run().ok().unwrap());
        shared.expect_one();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || shared.work(&|| ()))
        };
        shared.work(&|| ());
        other.join().unwrap();
        Arc::into_inner(shared).unwrap().into_output()
    }};
}

#[test]
fn two_threads_drive_a_flow_by_turns() {
    model(|| {
        let flow = Pipeline::from_iter(0..1).map_on(Threads, "pass", TWO, |item| item);
        assert_eq!(on_two_threads!(flow).unwrap().succeeded, 1);
    });
}

/// The first item ends only after the last. The last is read only when the second has been
/// collected, which the thread that is free must do.
#[test]
fn a_thread_in_a_long_item_keeps_no_other_from_the_flow() {
    model(|| {
        let desk = Desk::new();
        let work = {
            let desk = desk.clone();
            move |item| {
                match item {
                    0 => drop(desk.clone().work(0).wait()),
                    1 => {}
                    _ => desk.end(0, DONE),
                }
                item
            }
        };
        let flow =
            Pipeline::from_iter(0..3).map_on(Threads, "work", TWO, work).unordered().window(TWO);
        assert_eq!(on_two_threads!(flow).unwrap().succeeded, 3);
    });
}

/// Has one item when its flag is set, and leaves the synchronization to its waker.
struct Flagged {
    flag: Arc<AtomicU8>,
    kept: Arc<Lock<Option<Waker>>>,
    has_given: bool,
    was_polled: bool,
}

impl Stream for Flagged {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        if self.has_given {
            return Poll::Ready(None);
        }
        if !std::mem::replace(&mut self.was_polled, true) {
            self.kept.with(|kept| *kept = Some(cx.waker().clone()));
            if self.flag.load(Ordering::Relaxed) == 0 {
                return Poll::Pending;
            }
        }
        assert_eq!(self.flag.load(Ordering::Relaxed), 1, "polled again, and not for the flag");
        self.has_given = true;
        Poll::Ready(Some(()))
    }
}

#[test]
fn what_was_done_before_a_wake_is_seen_by_the_thread_that_drives() {
    model(|| {
        let (flag, kept) = (Arc::new(AtomicU8::new(0)), Arc::new(Lock::new(None)));
        let source =
            Flagged { flag: flag.clone(), kept: kept.clone(), has_given: false, was_polled: false };
        let flow = Pipeline::from_stream(source).map_on(Threads, "pass", TWO, |item| item);
        let shared = flow.run().into_shared_run().ok().unwrap();
        let waking = thread::spawn(move || {
            flag.store(1, Ordering::Relaxed);
            if let Some(waker) = kept.with(Option::take) {
                waker.wake();
            }
        });
        shared.work(&|| ());
        // Joined first, so that the shared run is the last owner of the waker's state.
        waking.join().unwrap();
        assert_eq!(shared.into_output().unwrap().succeeded, 1);
    });
}
