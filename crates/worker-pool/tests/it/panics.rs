//! A panic ends its job and nothing else.

use std::{
    num::NonZeroUsize,
    panic::{panic_any, resume_unwind},
    sync::{Arc, Mutex},
    task::{Wake, Waker},
};

use test_kit::{CountingWaker, OnDrop, PanickingWaker, poll, poll_with, quiet_panic, ready};
use tidegate_worker_pool::{JobHandle, WorkerPool};

/// Runs `submit` on a pool, then one job more, which shows that the worker lives.
#[track_caller]
fn survives<R>(pool: &WorkerPool, submit: impl FnOnce(&WorkerPool) -> R) -> R {
    let result = submit(pool);
    let after = pool.try_submit(|| 7).unwrap();
    let mut worker = pool.worker();
    for _ in 0..2 {
        assert!(poll(&mut worker).is_pending());
    }
    assert_eq!(ready(after).unwrap(), 7);
    result
}

fn submit_panic(pool: &WorkerPool) -> JobHandle<()> {
    pool.try_submit(|| quiet_panic("quiet")).unwrap()
}

#[test]
fn panic_goes_to_the_handle() {
    let pool = WorkerPool::detached(2);
    let handle = survives(&pool, submit_panic);
    let error = ready(handle).unwrap_err();
    assert_eq!(error.to_string(), "job panicked: quiet");
    assert_eq!(error.into_panic().unwrap().downcast_ref(), Some(&"quiet"));
    assert_eq!((pool.stats().succeeded, pool.stats().panicked), (1, 1));
}

#[test]
fn only_a_panic_has_a_payload() {
    let pool = WorkerPool::detached(1);
    let handle = pool.try_submit(|| ()).unwrap();
    drop(pool.shutdown_now());
    let error = ready(handle).unwrap_err();
    assert!(error.into_panic().unwrap_err().is_cancelled());
}

#[test]
fn panic_is_reported_before_the_handle_resolves() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let pool = {
        let heard = heard.clone();
        WorkerPool::builder()
            .queue(3)
            .on_panic(move |payload| {
                heard.lock().unwrap().push(*payload.downcast_ref::<&str>().unwrap())
            })
            .detached()
    };
    struct Look(Arc<Mutex<Vec<&'static str>>>);
    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            assert_eq!(*self.0.lock().unwrap(), ["quiet"]);
        }
    }
    let mut handle = submit_panic(&pool);
    assert!(poll_with(&mut handle, &Waker::from(Arc::new(Look(heard.clone())))).is_pending());
    assert!(poll(&mut pool.worker()).is_pending());
    assert!(ready(handle).is_err());
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[test]
fn panicking_hook_is_contained() {
    let pool = WorkerPool::builder().queue(2).on_panic(|_| quiet_panic("quiet")).detached();
    let handle = survives(&pool, submit_panic);
    assert!(ready(handle).unwrap_err().is_panic());
}

#[test]
fn panicking_result_is_contained_and_reported() {
    let (reported, _) = CountingWaker::new();
    let pool = {
        let reported = reported.clone();
        WorkerPool::builder().queue(2).on_panic(move |_| reported.add()).detached()
    };
    survives(&pool, |pool| drop(pool.try_submit(|| OnDrop(|| quiet_panic("quiet"))).unwrap()));
    assert_eq!((reported.count(), pool.stats().succeeded), (1, 2));
}

#[test]
fn panicking_payload_is_contained() {
    let pool = WorkerPool::detached(2);
    // The payload's drop panics, and so does the drop of what it panics with.
    let payload = || OnDrop(|| resume_unwind(Box::new(OnDrop(|| quiet_panic("quiet")))));
    survives(&pool, |pool| {
        drop(pool.try_submit(move || -> () { resume_unwind(Box::new(payload())) }).unwrap());
    });
    assert_eq!(pool.stats().panicked, 1);
}

/// Polls a future that has to wait, with a waker that panics.
fn let_wait(future: &mut (impl Future + Unpin)) {
    assert!(poll_with(future, &PanickingWaker::in_wake()).is_pending());
}

#[test]
fn panicking_waker_is_contained() {
    let pool = WorkerPool::detached(2);
    let handle = survives(&pool, |pool| {
        let mut handle = pool.try_submit(|| 1).unwrap();
        let_wait(&mut handle);
        handle
    });
    assert_eq!(ready(handle).unwrap(), 1);
}

/// Found by the simulation: the worker that made room ended, and lost the job that it had taken.
#[test]
fn a_submitters_panicking_waker_ends_no_worker_and_loses_no_job() {
    let pool = WorkerPool::detached(1);
    let handle = pool.try_submit(|| 1).unwrap();
    let mut waits = pool.submit(|| 2);
    let_wait(&mut waits);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(handle).unwrap(), 1);
    let second = ready(waits);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(second).unwrap(), 2);
}

#[test]
fn a_submitters_panicking_waker_ends_no_worker_of_a_rendezvous() {
    let pool = WorkerPool::detached(0);
    let mut waits = pool.submit(|| 1);
    let_wait(&mut waits);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let handle = ready(waits);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(handle).unwrap(), 1);
}

#[test]
fn a_submitters_panicking_waker_loses_no_job_of_its_key() {
    let pool = WorkerPool::detached(4);
    let keyed = pool.keyed(NonZeroUsize::MIN);
    let handle = keyed.try_submit("key", || 1).unwrap();
    let mut waits = keyed.submit("key", || 2);
    let_wait(&mut waits);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(handle).unwrap(), 1);
    let second = ready(waits);
    while poll(&mut worker).is_pending() && !second.is_finished() {}
    assert_eq!(ready(second).unwrap(), 2);
}

#[test]
fn the_panicking_waker_of_a_shutdown_leaves_no_job_without_an_end() {
    let pool = WorkerPool::detached(4);
    let worker = pool.worker();
    let handle = pool.try_submit(|| 1).unwrap();
    let mut shutdown = pool.shutdown();
    let_wait(&mut shutdown);
    drop(pool);
    drop(worker);
    assert!(ready(handle).unwrap_err().is_cancelled());
    ready(shutdown);
}

#[test]
fn the_panicking_waker_of_a_worker_does_not_come_out_of_the_pools_drop() {
    let pool = WorkerPool::detached(4);
    let [mut first, mut second] = [pool.worker(), pool.worker()];
    let_wait(&mut first);
    let (woken, waker) = CountingWaker::new();
    assert!(poll_with(&mut second, &waker).is_pending());
    drop(pool);
    assert_eq!(woken.count(), 1);
    ready(first);
    ready(second);
}

/// Found by the leak checker: payloads of contained panics were forgotten, not dropped.
#[test]
fn a_contained_panic_leaks_no_payload() {
    let (dropped, _) = CountingWaker::new();
    let payload = {
        let dropped = dropped.clone();
        move || {
            let dropped = dropped.clone();
            OnDrop(move || dropped.add())
        }
    };
    let pool =
        WorkerPool::builder().on_panic(move |_| resume_unwind(Box::new(payload()))).detached();
    survives(&pool, |pool| drop(submit_panic(pool)));
    assert_eq!(dropped.count(), 1);
}

#[test]
fn job_that_panics_when_dropped_unrun_keeps_the_others_cancelled() {
    let pool = WorkerPool::detached(2);
    let captured = OnDrop(|| quiet_panic("quiet"));
    let handles =
        [pool.try_submit(move || drop(captured)).unwrap(), pool.try_submit(|| ()).unwrap()];
    drop(pool);
    assert!(handles.into_iter().all(|handle| ready(handle).unwrap_err().is_cancelled()));
}

#[test]
fn text_payloads_give_the_message() {
    let pool = WorkerPool::detached(3);
    let handles = [
        pool.try_submit(|| panic!("no. {}", 1)).unwrap(),
        pool.try_submit(|| -> () { panic_any(1) }).unwrap(),
    ];
    let mut worker = pool.worker();
    for _ in 0..2 {
        assert!(poll(&mut worker).is_pending());
    }
    let messages = handles.map(|handle| ready(handle).unwrap_err().to_string());
    assert_eq!(messages, ["job panicked: no. 1", "job panicked: (no message)"]);
}
