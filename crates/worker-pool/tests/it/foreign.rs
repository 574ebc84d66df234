//! Foreign code that panics wherever the pool runs some: the workers live, and no handle hangs.

use std::{
    cmp::Ordering,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use test_kit::{Bomb, CountingWaker, OnDrop, poll, poll_with, quiet_panic, ready};
use tidegate_core::{Clock, Timestamp};
use tidegate_worker_pool::{Wait, Worker, WorkerPool};

fn step(worker: &mut Worker) {
    assert!(poll(worker).is_pending());
}

/// A value that panics when it is dropped.
fn bomb() -> OnDrop<impl FnMut()> {
    OnDrop(|| quiet_panic("quiet"))
}

#[test]
fn jobs_that_are_cancelled_together_may_all_panic_when_they_are_dropped() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(NonZeroUsize::new(4).unwrap());
    let mut handles = Vec::new();
    for _ in 0..2 {
        let [plain, tracked, with_key, in_future] = [(); 4].map(|()| bomb());
        pool.execute(move || drop(plain)).wait().unwrap();
        handles.push(pool.try_submit(move || drop(tracked)).unwrap());
        handles.push(keyed.try_submit('a', move || drop(with_key)).unwrap());
        handles.push(pool.submit_future(async move { drop(in_future) }).wait());
    }
    drop(pool.shutdown_now());
    assert!(handles.into_iter().all(|handle| ready(handle).unwrap_err().is_cancelled()));
    assert!(keyed.is_empty());
    assert_eq!(pool.stats().cancelled, 8);
}

/// A clock that panics at the readings of these numbers.
struct BadClock(Arc<AtomicUsize>, [usize; 2]);

impl Clock for BadClock {
    fn now(&self) -> Timestamp {
        if self.1.contains(&self.0.fetch_add(1, SeqCst)) {
            quiet_panic("quiet");
        }
        Timestamp::from_nanos(1)
    }
}

#[test]
fn a_clock_that_panics_loses_no_job_wherever_it_does() {
    for readings in (0..8).flat_map(|first| [[first, first], [first, first + 1]]) {
        let clock = BadClock(Arc::default(), readings);
        let pool = WorkerPool::builder().queue(4).clock(clock).detached();
        let handles = [1, 2].map(|n| pool.submit(move || n).wait());
        pool.close();
        pool.worker().run();
        assert_eq!(handles.map(|handle| ready(handle).unwrap()), [1, 2], "panics at {readings:?}");
        assert_eq!(pool.stats().succeeded, 2);
    }
}

/// A key of whose comparisons the next few panic.
struct Key(u32, Arc<AtomicUsize>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
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
        if self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            quiet_panic("quiet");
        }
        self.0.cmp(&other.0)
    }
}

#[test]
fn a_key_that_panics_when_it_is_compared_keeps_its_queue_and_the_worker() {
    for panics in [1, 2] {
        let fuse = Arc::new(AtomicUsize::new(0));
        let key = |n| Key(n, fuse.clone());
        let pool = WorkerPool::detached(8);
        let keyed = pool.keyed(NonZeroUsize::new(4).unwrap());
        let jobs = [1, 2, 1].map(|n| keyed.try_submit(key(n), move || n).unwrap());
        fuse.store(panics, SeqCst);
        let mut worker = pool.worker();
        (0..4).for_each(|_| step(&mut worker));
        assert_eq!(jobs.map(|job| ready(job).unwrap()), [1, 2, 1]);
        fuse.store(0, SeqCst);
        let again = [1, 2].map(|n| keyed.try_submit(key(n), move || n).unwrap());
        (0..4).for_each(|_| step(&mut worker));
        assert_eq!((again.map(|job| ready(job).unwrap()), keyed.len()), ([1, 2], 0));
        // A panic of a submitter's own comparison reaches the submitter, and leaves the queues
        // unchanged.
        fuse.store(panics, SeqCst);
        let _two =
            [3, 4].map(|n| catch_unwind(AssertUnwindSafe(|| keyed.try_submit(key(n), move || n))));
        fuse.store(0, SeqCst);
        assert!(keyed.try_submit(key(5), || 5).is_ok());
    }
}

#[test]
fn a_key_that_panics_when_it_is_dropped_keeps_the_worker() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(NonZeroUsize::MIN);
    let jobs = [1, 2].map(|n| keyed.try_submit(Bomb(n, Arc::default()), move || n).unwrap());
    let mut worker = pool.worker();
    (0..3).for_each(|_| step(&mut worker));
    assert_eq!((jobs.map(|job| ready(job).unwrap()), keyed.len()), ([1, 2], 0));
}

#[test]
fn a_future_that_panics_when_it_is_dropped_keeps_its_worker() {
    let pool = WorkerPool::detached(4);
    let jobs = [1, 2].map(|n| {
        let bomb = bomb();
        pool.submit_future(async move {
            let _kept = bomb;
            std::future::pending::<()>().await;
            n
        })
        .wait()
    });
    let mut worker = pool.worker();
    step(&mut worker);
    jobs.iter().for_each(|job| _ = job.cancel());
    (0..4).for_each(|_| step(&mut worker));
    assert!(jobs.into_iter().all(|job| ready(job).unwrap_err().is_cancelled()));
    let seven = pool.try_submit(|| 7).unwrap();
    (0..2).for_each(|_| step(&mut worker));
    assert_eq!(ready(seven).unwrap(), 7);
}

#[test]
fn a_job_that_waits_for_its_key_runs_in_a_turn_of_its_own_and_respects_a_pause() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(NonZeroUsize::new(8).unwrap());
    let count = Arc::new(CountingWaker::default());
    let mut inner = pool.worker();
    // Meanwhile another worker leaves its turns to the one that runs the key.
    let mut other = pool.worker();
    let first = move || (0..3).for_each(|_| step(&mut other));
    let rest = [(); 3].map(|()| count.clone());
    let _first = keyed.try_submit('a', first).unwrap();
    let _rest = rest.map(|count| keyed.try_submit('a', move || count.add()).unwrap());
    step(&mut inner);
    assert_eq!(count.count(), 0);
    step(&mut inner);
    assert_eq!(count.count(), 1);
    let pause = pool.pause();
    step(&mut inner);
    step(&mut inner);
    assert_eq!(count.count(), 1, "a paused pool begins no job");
    // A worker that leaves returns the rest to the next.
    drop(inner);
    drop(pause);
    let mut next = pool.worker();
    (0..3).for_each(|_| step(&mut next));
    assert_eq!((count.count(), keyed.len()), (3, 0));
}

#[test]
fn a_submit_to_a_full_key_of_a_pool_that_closes_ends() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(NonZeroUsize::MIN);
    let _first = keyed.try_submit('a', || ()).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut waits = keyed.submit('a', || ());
    assert!(poll_with(&mut waits, &waker).is_pending());
    pool.close();
    assert_eq!(woken.count(), 1);
    assert!(keyed.try_submit('a', || ()).unwrap_err().is_closed());
    assert!(ready(ready(waits)).unwrap_err().is_closed());
    assert!(ready(keyed.submit('a', || ()).wait()).unwrap_err().is_closed());
}
