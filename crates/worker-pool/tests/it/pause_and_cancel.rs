//! Laws of pauses, of cancelled jobs, and of the threads' settings.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use test_kit::{CountingWaker, OnDrop, poll, poll_with, quiet_panic, ready};
use tidegate_worker_pool::{OnFull, Wait, WorkerPool};

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

#[test]
fn paused_workers_begin_nothing_until_the_last_guard_is_gone() {
    let pool = WorkerPool::detached(2);
    let (woken, waker) = CountingWaker::new();
    let mut worker = pool.worker();
    let guards = [pool.pause(), pool.pause()];
    let handle = pool.try_submit(|| 7).unwrap();
    assert!(poll_with(&mut worker, &waker).is_pending());
    assert!(!handle.is_finished());
    let [first, last] = guards;
    drop(first);
    assert!(pool.is_paused() && woken.count() == 0);
    drop(last);
    assert!(!pool.is_paused() && woken.count() == 1);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(handle).unwrap(), 7);
}

#[test]
fn a_job_that_comes_in_a_pause_wakes_nobody() {
    let pool = WorkerPool::detached(2);
    let (woken, waker) = CountingWaker::new();
    let mut worker = pool.worker();
    assert!(poll_with(&mut worker, &waker).is_pending());
    let guard = pool.pause();
    let _handle = pool.try_submit(|| ()).unwrap();
    assert_eq!(woken.count(), 0);
    drop(guard);
    assert_eq!(woken.count(), 1);
}

#[test]
fn a_closed_pool_ignores_a_pause() {
    let pool = WorkerPool::builder().threads(TWO).build().unwrap();
    let _guard = pool.pause();
    let handle = pool.try_submit(|| 7).unwrap();
    pool.shutdown().wait();
    assert_eq!(handle.wait().unwrap(), 7);
}

#[test]
fn a_full_queue_makes_room_for_the_newest_in_a_pause_too() {
    let pool = WorkerPool::builder().queue(1).on_full(OnFull::DropOldest).detached();
    let _guard = pool.pause();
    let (first, second) = (ready(pool.submit(|| 1)), ready(pool.submit(|| 2)));
    assert!(ready(first).unwrap_err().is_cancelled());
    assert!(!second.is_finished());
}

#[test]
fn a_cancelled_job_drops_its_closure_at_once_and_never_runs() {
    let pool = WorkerPool::detached(2);
    let (dropped, _) = CountingWaker::new();
    let captured = {
        let dropped = dropped.clone();
        OnDrop(move || dropped.add())
    };
    let handle = pool.try_submit(move || drop(captured)).unwrap();
    let other = pool.try_submit(|| 7).unwrap();
    assert!(handle.cancel());
    assert!(!handle.cancel(), "once");
    assert_eq!(dropped.count(), 1);
    assert!(ready(handle).unwrap_err().is_cancelled());
    pool.close();
    pool.worker().wait();
    assert_eq!(ready(other).unwrap(), 7);
    let stats = pool.stats();
    assert_eq!((stats.submitted, stats.succeeded, stats.cancelled), (2, 1, 1));
    assert_eq!((stats.waiting, stats.in_flight, stats.panicked), (0, 0, 0));
}

#[test]
fn a_job_that_has_begun_cannot_be_cancelled() {
    let pool = WorkerPool::detached(1);
    let handle = pool.try_submit(|| 7).unwrap();
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    assert!(!handle.cancel());
    assert_eq!(ready(handle).unwrap(), 7);
}

#[test]
fn hooks_are_called_for_every_thread_and_their_panics_are_contained() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (started, stopped) = (heard.clone(), heard.clone());
    let pool = WorkerPool::builder()
        .threads(TWO)
        .thread_name(|number| format!("mill-{number}"))
        .stack_size(256 * 1024)
        .on_start(move |number| {
            started.lock().unwrap().push(('+', number));
            quiet_panic("quiet");
        })
        .on_stop(move |number| stopped.lock().unwrap().push(('-', number)))
        .build()
        .unwrap();
    let name = pool.submit(|| std::thread::current().name().map(String::from)).wait().wait();
    assert!(name.unwrap().unwrap().starts_with("mill-"));
    pool.shutdown().wait();
    let mut heard = heard.lock().unwrap().clone();
    heard.sort_unstable();
    assert_eq!(heard, [('+', 0), ('+', 1), ('-', 0), ('-', 1)]);
}
