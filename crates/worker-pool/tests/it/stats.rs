//! Laws of the statistics: a pool polled by hand against a sequential reference.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use proptest::prelude::*;
use test_kit::{poll, quiet_panic, ready};
use tidegate_worker_pool::{JobHandle, ManualClock, Wait, Worker, WorkerPool};

#[test]
fn times_are_measured_by_the_pools_clock() {
    let clock = ManualClock::new();
    let pool = WorkerPool::builder().clock(clock.clone()).detached();
    let hand = clock.clone();
    let _handle = pool.try_submit(move || hand.advance(Duration::from_secs(3))).unwrap();
    clock.advance(Duration::from_secs(5));
    assert!(poll(&mut pool.worker()).is_pending());
    let stats = pool.stats();
    assert_eq!((stats.waited, stats.wait_time), (1, Some(Duration::from_secs(5))));
    // The bucket of what is above 2.5 s and not above 5 s.
    assert_eq!((stats.waits.counts()[13], stats.waits.total()), (1, 1));
    assert_eq!(stats.run_time, Some(Duration::from_secs(3)));
}

#[test]
fn nothing_is_measured_without_a_clock() {
    let pool = WorkerPool::detached(1);
    let _handle = pool.try_submit(|| ()).unwrap();
    assert!(poll(&mut pool.worker()).is_pending());
    let stats = pool.stats();
    assert_eq!((stats.waited, stats.wait_time, stats.run_time), (0, None, None));
    assert_eq!(stats.waits.total(), 0);
}

#[test]
fn a_wait_is_counted_whatever_becomes_of_its_job() {
    let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
    let pool = WorkerPool::builder().clock(clock.clone()).detached();
    let endless = ready(pool.submit_future(std::future::pending::<()>()));
    let early = pool.try_submit(|| unreachable!()).unwrap();
    clock.advance(second);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let stats = pool.stats();
    assert_eq!((stats.in_flight, stats.waited, stats.wait_time), (1, 1, Some(second)));
    assert!(endless.cancel() && early.cancel());
    for _ in 0..2 {
        assert!(poll(&mut worker).is_pending());
    }
    let stats = pool.stats();
    assert_eq!((stats.in_flight, stats.cancelled), (0, 2));
    assert_eq!(stats.wait_time, Some(second * u32::try_from(stats.waited).unwrap()));
    // The bucket of what is above 0.5 s and not above 1 s.
    assert_eq!((stats.waits.counts()[11], stats.waits.total()), (stats.waited, stats.waited));
}

#[test]
fn what_jobs_have_taken_for_long_does_not_wrap_around() {
    // 64 bits of nanoseconds are 584 years.
    let (clock, long) = (ManualClock::new(), Duration::from_secs(290 * 31_556_952));
    let pool = WorkerPool::builder().clock(clock.clone()).detached();
    let ends = Arc::new(AtomicBool::new(false));
    for _ in 0..3 {
        let ends = ends.clone();
        let job = poll_fn(move |_| match ends.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        drop(ready(pool.submit_future(job)));
    }
    clock.advance(long);
    let mut workers = [pool.worker(), pool.worker(), pool.worker()];
    workers.iter_mut().for_each(|worker| assert!(poll(worker).is_pending()));
    clock.advance(long);
    ends.store(true, Ordering::Relaxed);
    workers.iter_mut().for_each(|worker| assert!(poll(worker).is_pending()));
    let stats = pool.stats();
    assert_eq!((stats.succeeded, stats.waited), (3, 3));
    assert_eq!((stats.wait_time, stats.run_time), (Some(3 * long), Some(3 * long)));
}

#[test]
fn jobs_of_every_kind_expire_when_they_waited_too_long() {
    let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
    let pool = WorkerPool::builder().max_queue_age(clock.clone(), second).detached();
    let keyed = pool.keyed(std::num::NonZeroUsize::MIN);
    let stale = [
        pool.try_submit(|| unreachable!()).unwrap(),
        pool.submit_future(async { unreachable!() }).wait(),
        keyed.try_submit('a', || unreachable!()).unwrap(),
    ];
    pool.execute(|| unreachable!()).wait().unwrap();
    clock.advance(second + Duration::from_nanos(1));
    let fresh = pool.try_submit(|| 7).unwrap();
    pool.execute(|| ()).wait().unwrap();
    clock.advance(second);
    pool.close();
    pool.worker().wait();
    assert_eq!(fresh.wait().unwrap(), 7, "as old as may be");
    for handle in stale {
        let result: Result<(), _> = handle.wait();
        assert!(result.unwrap_err().is_expired());
    }
    let stats = pool.stats();
    assert_eq!((stats.succeeded, stats.expired, stats.cancelled), (2, 4, 4));
    assert!(keyed.is_empty());
}

#[test]
fn running_job_sees_itself() {
    let pool = WorkerPool::detached(1);
    let inside = pool.clone();
    let handle = pool.try_submit(move || inside.stats()).unwrap();
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let stats = handle.wait().unwrap();
    assert_eq!((stats.waiting, stats.in_flight, stats.workers, stats.idle), (0, 1, 1, 0));
    assert_eq!((pool.stats().in_flight, pool.stats().idle), (0, 1));
}

#[derive(Debug, Clone)]
enum Step {
    Submit {
        panics: bool,
    },
    AddWorker,
    DropWorker,
    DropHandle,
    /// Every worker is polled until nothing happens any more.
    Settle,
    Close,
    ShutdownNow {
        run: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<bool>().prop_map(|panics| Step::Submit { panics }),
        3 => Just(Step::AddWorker),
        2 => Just(Step::DropWorker),
        2 => Just(Step::DropHandle),
        4 => Just(Step::Settle),
        1 => Just(Step::Close),
        1 => any::<bool>().prop_map(|run| Step::ShutdownNow { run }),
    ]
}

#[derive(Default)]
struct Reference {
    capacity: usize,
    /// The workers, oldest first: whether they wait for a job.
    workers: VecDeque<bool>,
    queue: VecDeque<(usize, bool)>,
    closed: bool,
    begun: Vec<usize>,
    submitted: u64,
    succeeded: u64,
    panicked: u64,
    cancelled: u64,
    refused: u64,
}

impl Reference {
    fn submit(&mut self, id: usize, panics: bool) -> bool {
        let waiting = self.workers.iter().filter(|waits| **waits).count();
        // A queue has room for `capacity` jobs, a rendezvous for as many as workers wait.
        let room = if self.capacity == 0 { waiting } else { self.capacity };
        let accepted = !self.closed && self.queue.len() < room;
        if accepted {
            self.submitted += 1;
            self.queue.push_back((id, panics));
        } else {
            self.refused += 1;
        }
        accepted
    }

    fn run(&mut self, (id, panics): (usize, bool)) {
        self.begun.push(id);
        *(if panics { &mut self.panicked } else { &mut self.succeeded }) += 1;
    }

    fn settle(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        while let Some(job) = self.queue.pop_front() {
            self.run(job);
        }
        self.workers.iter_mut().for_each(|waits| *waits = true);
        if self.closed {
            self.workers.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_job_is_accounted_for(
        capacity in 0..4_usize,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let pool = WorkerPool::detached(capacity);
        let mut reference = Reference { capacity, ..Reference::default() };
        let begun = Arc::new(Mutex::new(Vec::new()));
        let mut workers: VecDeque<Worker> = VecDeque::new();
        let mut handles: VecDeque<JobHandle<()>> = VecDeque::new();
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Submit { panics } => {
                    let begun = begun.clone();
                    let submitted = pool.try_submit(move || {
                        begun.lock().unwrap().push(id);
                        if panics {
                            quiet_panic("quiet");
                        }
                    });
                    prop_assert_eq!(submitted.is_ok(), reference.submit(id, panics));
                    handles.extend(submitted.ok());
                }
                Step::AddWorker => {
                    workers.push_back(pool.worker());
                    reference.workers.push_back(false);
                }
                Step::DropWorker => {
                    workers.pop_front();
                    reference.workers.pop_front();
                }
                Step::DropHandle => drop(handles.pop_front()),
                Step::Settle => {
                    // A worker that has run a job, or was notified of one, is polled again.
                    for _ in 0..=2 * (reference.queue.len() + 1) {
                        workers.retain_mut(|worker| poll(worker).is_pending());
                    }
                    reference.settle();
                }
                Step::Close => {
                    prop_assert_eq!(pool.close(), !reference.closed);
                    reference.closed = true;
                }
                Step::ShutdownNow { run } => {
                    reference.closed = true;
                    for pending in pool.shutdown_now() {
                        let job = reference.queue.pop_front().unwrap();
                        if run {
                            pending.run();
                            reference.run(job);
                        } else {
                            reference.cancelled += 1;
                        }
                    }
                }
            }
            let stats = pool.stats();
            prop_assert_eq!(stats.waiting, reference.queue.len());
            prop_assert_eq!(stats.in_flight, 0);
            prop_assert_eq!(stats.submitted, reference.submitted);
            prop_assert_eq!(stats.succeeded, reference.succeeded);
            prop_assert_eq!(stats.panicked, reference.panicked);
            prop_assert_eq!(stats.cancelled, reference.cancelled);
            prop_assert_eq!(stats.refused, reference.refused);
            prop_assert_eq!((stats.workers, stats.idle), (workers.len(), workers.len()));
            prop_assert_eq!(&*begun.lock().unwrap(), &reference.begun);
        }
        drop((pool, workers));
        for handle in handles {
            prop_assert!(handle.is_finished());
        }
    }
}
