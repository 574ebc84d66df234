//! Laws of jobs with keys.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use test_kit::{CountingWaker, OnDrop, poll, poll_with, quiet_panic, ready};
use tidegate_worker_pool::{JobGroup, KeyedPool, TrySubmitError, Wait, Worker, WorkerPool};

fn per_key(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

/// The numbers of the jobs that ran, in order.
type Log = Arc<Mutex<Vec<u32>>>;

fn note(log: &Log, number: u32) -> impl FnOnce() + Send + 'static {
    let log = log.clone();
    move || log.lock().unwrap().push(number)
}

/// Runs one job on a worker.
fn step(worker: &mut Worker) {
    assert!(poll(worker).is_pending());
}

#[test]
fn one_key_never_runs_twice_at_once_and_keeps_its_order() {
    const KEYS: usize = 3;
    let pool = WorkerPool::builder().threads(4).queue(8).build().unwrap();
    let keyed = pool.keyed(per_key(4));
    let inside: Arc<[AtomicBool; KEYS]> = Arc::default();
    let next: Arc<[AtomicUsize; KEYS]> = Arc::default();
    let jobs = (0..600).map(|n| {
        let (key, position) = (n % KEYS, n / KEYS);
        let (inside, next) = (inside.clone(), next.clone());
        let job = move || {
            assert!(!inside[key].swap(true, Ordering::SeqCst));
            assert_eq!(next[key].fetch_add(1, Ordering::SeqCst), position);
            inside[key].store(false, Ordering::SeqCst);
        };
        keyed.submit(key, job).wait()
    });
    let jobs: JobGroup<_> = jobs.collect();
    jobs.join().wait().into_iter().for_each(|result| result.unwrap());
    pool.shutdown().wait();
    let stats = pool.stats();
    assert_eq!((stats.submitted, stats.succeeded, keyed.len()), (600, 600, 0));
}

#[test]
fn a_worker_whose_key_runs_goes_on_with_other_keys() {
    let pool = WorkerPool::builder().threads(2).build().unwrap();
    let keyed = pool.keyed(per_key(4));
    let (go, wait) = mpsc::channel::<()>();
    let (begun, begin) = mpsc::channel();
    let first = move || {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    };
    let log = Log::default();
    let slow = keyed.submit("a", first).wait();
    begin.recv().unwrap();
    let behind = keyed.submit("a", note(&log, 1)).wait();
    keyed.submit("b", note(&log, 2)).wait().wait().unwrap();
    assert!(!behind.is_finished());
    go.send(()).unwrap();
    slow.wait().unwrap();
    behind.wait().unwrap();
    assert_eq!(*log.lock().unwrap(), [2, 1]);
}

#[test]
fn submitters_of_a_full_key_wait_and_others_do_not() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(per_key(1));
    let (woken, waker) = CountingWaker::new();
    let log = Log::default();
    let _first = keyed.try_submit('a', note(&log, 1)).unwrap();
    let mut second = keyed.submit('a', note(&log, 2));
    assert!(poll_with(&mut second, &waker).is_pending());
    assert!(keyed.try_submit('a', || ()).unwrap_err().is_full());
    let _other = keyed.try_submit('b', note(&log, 3)).unwrap();
    assert_eq!((keyed.len(), woken.count()), (2, 0));
    let mut worker = pool.worker();
    step(&mut worker);
    assert_eq!(woken.count(), 1);
    let _second = ready(second);
    step(&mut worker);
    step(&mut worker);
    assert_eq!(*log.lock().unwrap(), [1, 3, 2]);
    assert!(keyed.is_empty());
}

#[test]
fn submitters_wait_for_room_in_the_pool_too() {
    let pool = WorkerPool::detached(1);
    let keyed = pool.keyed(per_key(1));
    let _first = keyed.try_submit('a', || ()).unwrap();
    let refused = keyed.try_submit('b', || 7).unwrap_err();
    assert!(refused.is_full() && refused.into_inner()() == 7);
    let (woken, waker) = CountingWaker::new();
    let mut other = keyed.submit('b', || 7);
    assert!(poll_with(&mut other, &waker).is_pending());
    let mut worker = pool.worker();
    step(&mut worker);
    assert_eq!(woken.count(), 1);
    let other = ready(other);
    step(&mut worker);
    assert_eq!(ready(other).unwrap(), 7);
}

#[test]
fn a_dropped_submit_leaves_no_trace() {
    let pool = WorkerPool::detached(1);
    let keyed = pool.keyed(per_key(1));
    let (dropped, _) = CountingWaker::new();
    let guard = {
        let dropped = dropped.clone();
        OnDrop(move || dropped.add())
    };
    let first = keyed.try_submit('a', || ()).unwrap();
    let mut second = keyed.submit('a', move || drop(guard));
    assert!(poll(&mut second).is_pending());
    drop(second);
    assert_eq!(dropped.count(), 1);
    let mut worker = pool.worker();
    step(&mut worker);
    ready(first).unwrap();
    assert_eq!((keyed.len(), pool.stats().submitted), (0, 1));
}

#[test]
fn cancelled_and_panicking_jobs_let_the_next_of_their_key_run() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(per_key(8));
    let panics = keyed.try_submit(1, || quiet_panic("quiet")).unwrap();
    let cancelled = keyed.try_submit(1, || unreachable!()).unwrap();
    let fine = keyed.try_submit(1, || 7).unwrap();
    assert!(cancelled.cancel());
    pool.close();
    pool.worker().wait();
    assert!(ready::<tidegate_worker_pool::JobHandle<()>>(panics).unwrap_err().is_panic());
    assert_eq!(ready(fine).unwrap(), 7);
    let stats = pool.stats();
    assert_eq!((stats.succeeded, stats.panicked, stats.cancelled), (1, 1, 1));
    assert!(keyed.is_empty());
}

#[test]
fn what_a_shutdown_left_is_run_in_order_or_cancelled() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(per_key(8));
    let log = Log::default();
    let handles: Vec<_> = (0..3).map(|n| keyed.try_submit('a', note(&log, n)).unwrap()).collect();
    let mut left = pool.shutdown_now().into_iter();
    left.next().unwrap().run();
    drop(left);
    let ends: Vec<_> = handles.into_iter().map(|handle| ready(handle).is_ok()).collect();
    assert_eq!(ends, [true, false, false]);
    assert!(keyed.is_empty());
}

#[test]
fn a_closed_pool_hands_the_job_back_and_ends_every_wait() {
    let pool = WorkerPool::detached(8);
    let keyed: KeyedPool<u32> = pool.keyed(per_key(1));
    let first = keyed.try_submit(1, || ()).unwrap();
    let mut waits = keyed.submit(1, || ());
    assert!(poll(&mut waits).is_pending());
    pool.close();
    let refused = keyed.try_submit(2, || 7).unwrap_err();
    assert!(matches!(refused, TrySubmitError::Closed(_)));
    assert_eq!(refused.into_inner()(), 7);
    drop(pool.shutdown_now());
    assert!(ready(first).unwrap_err().is_cancelled());
    assert!(ready(ready(waits)).unwrap_err().is_closed());
}

/// Returns how often `n` submitters of one key, whose queue has room for one job, are woken until
/// the jobs of all are accepted.
fn wakes_of(n: usize) -> usize {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(per_key(1));
    let _first = keyed.try_submit('a', || ()).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut waiting: Vec<_> = (0..n).map(|_| Box::pin(keyed.submit('a', || ()))).collect();
    let mut worker = pool.worker();
    assert!(waiting.iter_mut().all(|submit| poll_with(submit, &waker).is_pending()));
    while !waiting.is_empty() {
        step(&mut worker);
        waiting.retain_mut(|submit| poll_with(submit, &waker).is_pending());
    }
    woken.count()
}

#[test]
fn a_freed_slot_of_a_key_wakes_one_submitter() {
    assert_eq!((wakes_of(10), wakes_of(160)), (10, 160));
}

/// Runs a job of key 'a' on a thread until the returned sender is dropped.
fn occupy(keyed: &KeyedPool<char>, pool: &WorkerPool) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (go, wait) = mpsc::channel();
    let (begun, begin) = mpsc::channel();
    let job = move || {
        begun.send(()).unwrap();
        let _: Result<(), _> = wait.recv();
    };
    drop(keyed.try_submit('a', job).unwrap());
    let worker = pool.worker();
    let thread = std::thread::spawn(move || worker.wait());
    begin.recv().unwrap();
    (go, thread)
}

#[test]
fn room_in_the_pool_that_a_keyed_submitter_cannot_use_wakes_the_next() {
    let pool = WorkerPool::detached(1);
    let keyed = pool.keyed(per_key(1));
    let (go, thread) = occupy(&keyed, &pool);
    let _other = pool.try_submit(|| ()).unwrap();
    let [(of_plain, waker), (of_key, waker_of_key)] = [(); 2].map(|()| CountingWaker::new());
    let (mut plain, mut with_key) = (pool.submit(|| ()), keyed.submit('a', || ()));
    assert!(poll_with(&mut plain, &waker).is_pending());
    assert!(poll_with(&mut with_key, &waker_of_key).is_pending());
    let mut worker = pool.worker();
    step(&mut worker);
    assert_eq!((of_plain.count(), of_key.count()), (1, 0));
    // A newcomer takes the room, and fills the key's queue. Its turn leaves the pool's queue, and
    // the job stays, as another job of the key runs.
    let _full = keyed.try_submit('a', || ()).unwrap();
    assert!(poll_with(&mut plain, &waker).is_pending());
    step(&mut worker);
    assert_eq!((of_plain.count(), of_key.count()), (1, 1));
    assert!(poll_with(&mut with_key, &waker_of_key).is_pending());
    assert_eq!((of_plain.count(), of_key.count()), (2, 1));
    let _plain = ready(plain);
    drop(go);
    pool.close();
    thread.join().unwrap();
}

#[test]
fn a_submitter_that_waits_for_its_key_wakes_none_that_waits_for_the_pool() {
    let pool = WorkerPool::detached(1);
    let keyed = pool.keyed(per_key(1));
    let _full = keyed.try_submit('a', || ()).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut plain = pool.submit(|| ());
    assert!(poll_with(&mut plain, &waker).is_pending());
    assert!(poll(&mut keyed.submit('a', || ())).is_pending());
    assert_eq!(woken.count(), 0);
}

#[test]
fn a_submitter_that_comes_from_its_key_to_the_full_pool_wakes_none_there() {
    let pool = WorkerPool::detached(2);
    let keyed = pool.keyed(per_key(1));
    let _first = keyed.try_submit('a', || ()).unwrap();
    let mut waits = keyed.submit('a', || ());
    assert!(poll(&mut waits).is_pending());
    let mut worker = pool.worker();
    step(&mut worker);
    let _filling = [0, 1].map(|_| pool.try_submit(|| ()).unwrap());
    let (woken, waker) = CountingWaker::new();
    let mut plain = pool.submit(|| ());
    assert!(poll_with(&mut plain, &waker).is_pending());
    assert!(poll(&mut waits).is_pending());
    assert_eq!(woken.count(), 0);
}

#[test]
fn submitters_that_meet_at_a_new_key_share_its_queue() {
    let pool = WorkerPool::detached(1 << 16);
    let keyed = pool.keyed(per_key(1));
    let barrier = Barrier::new(2);
    let submit = || {
        let accepted = (0..2000).map(|key| {
            barrier.wait();
            keyed.try_submit(key, || ()).is_ok()
        });
        accepted.collect::<Vec<_>>()
    };
    let accepted = thread::scope(|scope| {
        let other = scope.spawn(submit);
        submit().into_iter().zip(other.join().unwrap()).map(|(a, b)| a != b).collect::<Vec<_>>()
    });
    assert!(accepted.into_iter().all(|one| one), "of each key one job waits");
}

#[test]
fn a_close_wakes_a_submitter_once_whatever_it_waits_for() {
    for (capacity, key) in [(1, 'b'), (2, 'a')] {
        let pool = WorkerPool::detached(capacity);
        let keyed = pool.keyed(per_key(1));
        let _full = keyed.try_submit('a', || ()).unwrap();
        let (woken, waker) = CountingWaker::new();
        let mut waits = keyed.submit(key, || ());
        assert!(poll_with(&mut waits, &waker).is_pending());
        pool.close();
        assert_eq!(woken.count(), 1);
        assert!(ready(ready(waits)).unwrap_err().is_closed());
    }
}

#[test]
fn a_submitter_that_gives_up_at_the_full_pool_passes_the_keys_slot_on() {
    let pool = WorkerPool::detached(2);
    let keyed = pool.keyed(per_key(1));
    let _first = keyed.try_submit('a', || ()).unwrap();
    let (counters, wakers): (Vec<_>, Vec<_>) = (0..2).map(|_| CountingWaker::new()).unzip();
    let mut waiting = [0, 1].map(|_| Box::pin(keyed.submit('a', || ())));
    for (submit, waker) in waiting.iter_mut().zip(&wakers) {
        assert!(poll_with(submit, waker).is_pending());
    }
    let mut worker = pool.worker();
    step(&mut worker);
    let _filling = [0, 1].map(|_| pool.try_submit(|| ()).unwrap());
    let [mut notified, mut next] = waiting;
    assert!(poll_with(&mut notified, &wakers[0]).is_pending());
    assert_eq!((counters[0].count(), counters[1].count()), (1, 0));
    drop(notified);
    assert_eq!(counters[1].count(), 1);
    assert!(poll_with(&mut next, &wakers[1]).is_pending());
    step(&mut worker);
    assert_eq!(counters[1].count(), 2);
    let _next = ready(next);
}

#[test]
fn what_a_worker_that_left_owes_is_cancelled_by_a_shutdown() {
    let pool = WorkerPool::detached(4);
    let keyed = pool.keyed(per_key(4));
    let mut other = pool.worker();
    // The other worker leaves the jobs of its turns to the worker that runs the key.
    let first = keyed.try_submit('a', move || (0..2).for_each(|_| step(&mut other))).unwrap();
    let owed = [1, 2].map(|n| keyed.try_submit('a', move || n).unwrap());
    let mut worker = pool.worker();
    step(&mut worker);
    ready(first).unwrap();
    drop(worker);
    assert_eq!(keyed.len(), 1);
    drop(pool.shutdown_now());
    assert!(owed.into_iter().all(|job| ready(job).unwrap_err().is_cancelled()));
    assert_eq!((keyed.len(), pool.stats().cancelled), (0, 2));
}

#[test]
fn two_that_submit_to_a_new_key_at_once_find_one_queue() {
    let barrier = Barrier::new(2);
    let pool = WorkerPool::detached(2000);
    let keyed = pool.keyed(per_key(2));
    let submit = || {
        for key in 0..1000 {
            barrier.wait();
            drop(keyed.try_submit(key, || ()).unwrap());
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(submit);
        submit();
    });
    assert_eq!(keyed.len(), 1000);
}
