//! The worker pool's wait paths, and the races of its end.

use std::{
    future::{Future, pending},
    panic::resume_unwind,
    sync::Arc,
    time::Duration,
};

use loom_tests::{laws::Subject, laws_of_waiting, model, poll_quietly, thread};
use tidegate_core::{
    Closed, Event, Wait,
    lock::Lock,
    primitive::atomic::{AtomicBool, AtomicU32, Ordering},
};
use tidegate_worker_pool::{Worker, WorkerPool};

/// Submitters of a rendezvous: a unit is a worker that waits for a job, and a submission takes it.
struct Rooms {
    pool: WorkerPool,
    workers: Lock<Vec<Worker>>,
}

impl Subject for Rooms {
    const FIFO: bool = false;

    fn new() -> Self {
        Self { pool: WorkerPool::detached(0), workers: Lock::new(Vec::new()) }
    }

    fn put(&self) {
        let mut worker = self.pool.worker();
        assert!(poll_quietly(&mut worker).is_pending());
        self.workers.with(|workers| workers.push(worker));
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        // The only error of a pool whose submitters wait for room.
        Box::pin(async { self.pool.execute(|| ()).await.map_err(|_| Closed) })
    }

    fn close(&self) {
        self.pool.close();
    }

    fn units(&self) -> usize {
        let submitted = usize::try_from(self.pool.stats().submitted).unwrap();
        self.workers.with(|workers| workers.len()) - submitted
    }
}

laws_of_waiting!(room: crate::Rooms);

/// Submitters of a queue: a unit is a free slot, made by a worker that takes a job out.
struct Slots {
    pool: WorkerPool,
}

/// The most that any law takes.
const SLOTS: usize = 4;

impl Subject for Slots {
    const FIFO: bool = false;

    fn new() -> Self {
        let pool = WorkerPool::detached(SLOTS);
        for _ in 0..SLOTS {
            pool.execute(|| ()).wait().unwrap();
        }
        Self { pool }
    }

    fn put(&self) {
        assert!(poll_quietly(&mut self.pool.worker()).is_pending());
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        Box::pin(async { self.pool.execute(|| ()).await.map_err(|_| Closed) })
    }

    fn close(&self) {
        self.pool.close();
    }

    fn units(&self) -> usize {
        SLOTS - self.pool.stats().waiting
    }
}

laws_of_waiting!(slot: crate::Slots);

/// Runs a new worker of the pool to its end on a thread of its own.
fn spawn_worker(pool: &WorkerPool) -> thread::JoinHandle<()> {
    let worker = pool.worker();
    thread::spawn(|| worker.wait())
}

#[test]
fn submit_against_close() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let closer = {
            let pool = pool.clone();
            thread::spawn(move || pool.close())
        };
        let submitted = pool.try_submit(|| 7);
        assert!(closer.join().unwrap());
        pool.worker().wait();
        match submitted {
            Ok(handle) => assert_eq!(handle.wait().unwrap(), 7),
            Err(refused) => assert!(refused.is_closed()),
        }
    });
}

#[test]
fn waiting_submit_against_room_and_close() {
    model(|| {
        let pool = WorkerPool::detached(0);
        let submitter = {
            let pool = pool.clone();
            thread::spawn(move || pool.submit(|| 7).wait())
        };
        let mut worker = pool.worker();
        assert!(poll_quietly(&mut worker).is_pending());
        pool.close();
        let handle = submitter.join().unwrap();
        worker.wait();
        match handle.wait() {
            Ok(value) => assert_eq!(value, 7),
            Err(error) => assert!(error.is_closed()),
        }
    });
}

#[test]
fn worker_going_to_sleep_against_a_submit() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let worker = spawn_worker(&pool);
        let handle = pool.try_submit(|| 7).unwrap();
        assert_eq!(handle.wait().unwrap(), 7);
        pool.close();
        worker.join().unwrap();
    });
}

#[test]
fn a_spinning_worker_against_two_submits() {
    model(|| {
        let pool = WorkerPool::detached(2);
        let sleeper = spawn_worker(&pool);
        let looker = {
            let worker = pool.worker();
            thread::spawn(move || worker.run())
        };
        // Kept until the threads are joined: loom does not see what a reference count orders.
        let done = Arc::new((AtomicBool::new(false), Event::new()));
        let (is_done, makes_done) = (done.clone(), done.clone());
        // Keeps its worker until the other job has run, so another worker must run that.
        pool.execute(move || {
            let (flag, changed) = &*is_done;
            changed.wait_until(|| flag.load(Ordering::Acquire).then_some(())).wait();
        })
        .wait()
        .unwrap();
        let second = pool.submit(move || {
            makes_done.0.store(true, Ordering::Release);
            makes_done.1.notify_all();
        });
        // Awaited before the close, which would wake all workers.
        second.wait().wait().unwrap();
        pool.close();
        looker.join().unwrap();
        sleeper.join().unwrap();
        assert_eq!(pool.stats().succeeded, 2);
        drop(done);
    });
}

#[test]
fn worker_going_to_sleep_against_a_rendezvous() {
    model(|| {
        let pool = WorkerPool::detached(0);
        let worker = spawn_worker(&pool);
        // The submitter waits for the worker, or the worker for the job.
        pool.execute(|| ()).wait().unwrap();
        pool.close();
        worker.join().unwrap();
        assert_eq!(pool.stats().succeeded, 1);
    });
}

#[test]
fn worker_that_leaves_against_a_rendezvous() {
    model(|| {
        let pool = WorkerPool::detached(0);
        let mut worker = pool.worker();
        assert!(poll_quietly(&mut worker).is_pending());
        let leaver = thread::spawn(|| drop(worker));
        let submitted = pool.try_submit(|| 7);
        leaver.join().unwrap();
        let mut next = pool.worker();
        assert!(poll_quietly(&mut next).is_pending());
        match submitted {
            Ok(handle) => {
                assert_eq!(handle.wait().unwrap(), 7);
                assert!(pool.try_submit(|| ()).is_err(), "one worker came, and one job");
            }
            Err(refused) => assert!(refused.is_full()),
        }
    });
}

#[test]
fn last_job_against_shutdown() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let ran = Arc::new(AtomicBool::new(false));
        let handle = {
            let ran = ran.clone();
            pool.try_submit(move || ran.store(true, Ordering::Relaxed)).unwrap()
        };
        let worker = spawn_worker(&pool);
        pool.shutdown().wait();
        assert!(ran.load(Ordering::Relaxed), "what the job did is seen");
        assert!(handle.is_finished());
        worker.join().unwrap();
    });
}

#[test]
fn what_jobs_did_is_seen_by_the_caller_that_finds_the_pool_terminated() {
    model(|| {
        let (pool, sum) = (WorkerPool::detached(1), Arc::new(AtomicU32::new(0)));
        let job = {
            let sum = sum.clone();
            move || sum.store(7, Ordering::Relaxed)
        };
        pool.execute(job).wait().unwrap();
        pool.close();
        let mut worker = pool.worker();
        let mut shutdown = pool.shutdown();
        let looker = {
            let sum = sum.clone();
            thread::spawn(move || {
                let is_over = poll_quietly(&mut shutdown).is_ready();
                assert!(!is_over || sum.load(Ordering::Relaxed) == 7);
                shutdown
            })
        };
        // Polled by hand: a thread that spins for jobs would bring a fence.
        while poll_quietly(&mut worker).is_pending() {}
        drop(looker.join().unwrap());
    });
}

/// When it is dropped, notes the number that the thread with the handle has written before.
struct Looks(Arc<[AtomicU32; 2]>);

impl Drop for Looks {
    fn drop(&mut self) {
        self.0[1].store(self.0[0].load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[test]
fn what_came_before_a_handle_went_is_seen_by_the_drop_of_its_result() {
    model(|| {
        let (pool, notes) = (WorkerPool::detached(1), Arc::new([0, 0].map(AtomicU32::new)));
        let handle = {
            let notes = notes.clone();
            pool.try_submit(|| Looks(notes)).ok().unwrap()
        };
        let mut worker = pool.worker();
        let worker = thread::spawn(move || {
            assert!(poll_quietly(&mut worker).is_pending());
            worker
        });
        notes[0].store(7, Ordering::Relaxed);
        drop(handle);
        drop(worker.join().unwrap());
        assert_eq!(notes[1].load(Ordering::Relaxed), 7);
    });
}

#[test]
fn refused_submit_against_shutdown() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let ender = {
            let shutdown = pool.shutdown();
            thread::spawn(|| shutdown.wait())
        };
        // A job that is refused on its way in is counted for a moment, and only its submitter can
        // say that it is gone. LOOM: this takes three preemptions.
        match pool.try_submit(|| ()) {
            Ok(handle) => {
                pool.worker().wait();
                assert!(handle.is_finished());
            }
            Err(refused) => assert!(refused.is_closed()),
        }
        ender.join().unwrap();
    });
}

#[test]
fn shutdown_now_against_a_worker() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let handle = pool.try_submit(|| 7).unwrap();
        let worker = spawn_worker(&pool);
        let pending = pool.shutdown_now();
        let taken = pending.len();
        drop(pending);
        worker.join().unwrap();
        match handle.wait() {
            Ok(value) => assert_eq!((value, taken), (7, 0)),
            Err(error) => assert!(error.is_cancelled() && taken == 1),
        }
    });
}

#[test]
fn last_worker_against_the_end_of_the_pool() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let handle = pool.try_submit(|| ()).unwrap();
        // Keeps the queue in memory, and the job with it: the job must be taken out.
        let _shutdown = pool.shutdown();
        let worker = pool.worker();
        let leaver = thread::spawn(|| drop(worker));
        drop(pool);
        leaver.join().unwrap();
        assert!(handle.wait().unwrap_err().is_cancelled());
    });
}

/// Runs one job on a worker of its own thread while `meanwhile` has the handle.
fn while_it_runs<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
    meanwhile: impl FnOnce(tidegate_worker_pool::JobHandle<T>),
) {
    let pool = WorkerPool::detached(1);
    let handle = pool.try_submit(job).unwrap();
    pool.close();
    let worker = spawn_worker(&pool);
    meanwhile(handle);
    worker.join().unwrap();
}

#[test]
fn handle_awaited_while_the_job_finishes() {
    model(|| while_it_runs(|| 7, |handle| assert_eq!(handle.wait().unwrap(), 7)));
}

#[test]
fn handle_dropped_while_the_job_finishes() {
    model(|| {
        let result = Arc::new(());
        let weak = Arc::downgrade(&result);
        while_it_runs(|| result, drop);
        assert_eq!(weak.strong_count(), 0, "dropped, by whichever had it last");
    });
}

#[test]
fn handle_cancelled_while_the_job_finishes() {
    model(|| {
        while_it_runs(
            || 7,
            |mut handle| {
                let in_time = (&mut handle).wait_timeout(Duration::from_micros(1));
                let result = in_time.unwrap_or_else(|_| handle.wait());
                assert_eq!(result.unwrap(), 7);
            },
        );
    });
}

#[test]
fn handle_that_cancels_while_the_job_begins() {
    model(|| {
        while_it_runs(
            || 7,
            |handle| {
                let cancelled = handle.cancel();
                match handle.wait() {
                    Ok(value) => assert!(value == 7 && !cancelled),
                    Err(error) => assert!(error.is_cancelled() && cancelled),
                }
            },
        );
    });
}

#[test]
fn end_of_a_pause_against_a_submit() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let guard = pool.pause();
        let worker = spawn_worker(&pool);
        let resumer = thread::spawn(|| drop(guard));
        assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
        resumer.join().unwrap();
        pool.close();
        worker.join().unwrap();
    });
}

#[test]
fn panic_against_join() {
    model(|| {
        while_it_runs(
            || -> () { resume_unwind(Box::new("quiet")) },
            |handle| assert_eq!(handle.wait().unwrap_err().to_string(), "job panicked: quiet"),
        );
    });
}

#[test]
fn a_future_that_is_cancelled_while_its_worker_waits_for_it() {
    model(|| {
        let pool = WorkerPool::detached(1);
        // Kept until the join: loom does not see what the reference count of its cell orders.
        let handle = pool.submit_future(pending::<()>()).wait();
        pool.close();
        let worker = spawn_worker(&pool);
        assert!(handle.cancel());
        worker.join().unwrap();
        assert!(handle.wait().unwrap_err().is_cancelled());
        assert_eq!(pool.stats().cancelled, 1);
    });
}

#[test]
fn a_future_that_is_cancelled_while_it_ends() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let mut handle = pool.submit_future(async { 7 }).wait();
        pool.close();
        let worker = spawn_worker(&pool);
        let cancelled = handle.cancel();
        match (&mut handle).wait() {
            Ok(value) => assert!(value == 7 && !cancelled),
            Err(error) => assert!(error.is_cancelled() && cancelled),
        }
        worker.join().unwrap();
        let stats = pool.stats();
        assert_eq!(
            (stats.succeeded, stats.cancelled),
            (u64::from(!cancelled), u64::from(cancelled))
        );
    });
}

/// A pool of one or two threads of its own, whose idle threads never end.
fn growing() -> WorkerPool {
    WorkerPool::builder().threads(1..=2).queue(2).keep_alive(Duration::MAX).build().unwrap()
}

#[test]
fn a_job_that_waits_for_the_next_one_is_not_alone() {
    model(|| {
        let pool = growing();
        let came = Arc::new((AtomicBool::new(false), Event::new()));
        let (waits, tells) = (came.clone(), came.clone());
        // A deadlock, unless the thread that begins this job first starts another for the next job.
        let waiting = move || {
            waits.1.wait_until(|| waits.0.load(Ordering::Acquire).then_some(())).wait();
        };
        pool.execute(waiting).wait().unwrap();
        let telling = move || {
            tells.0.store(true, Ordering::Release);
            tells.1.notify_all();
        };
        pool.execute(telling).wait().unwrap();
        pool.shutdown().wait();
        assert_eq!(pool.stats().succeeded, 2);
        drop(came);
    });
}

#[test]
fn a_thread_too_many_against_a_submit() {
    model(|| {
        let pool = WorkerPool::builder().threads(2).queue(2).build().unwrap();
        pool.execute(|| ()).wait().unwrap();
        pool.resize(1).unwrap();
        // Whichever of the two threads ends, the job runs.
        pool.shutdown().wait();
        assert_eq!(pool.stats().succeeded, 1);
    });
}

/// Two jobs that can only end together, on two threads that spin for jobs, or sleep.
#[test]
fn as_many_jobs_run_as_there_are_idle_threads() {
    model(|| {
        let pool = WorkerPool::detached(2);
        let workers = [(); 2].map(|()| {
            let worker = pool.worker();
            thread::spawn(move || worker.run())
        });
        let meeting = Arc::new((AtomicU32::new(0), Event::new()));
        for _ in 0..2 {
            let meeting = meeting.clone();
            let job = move || {
                let (come, changed) = &*meeting;
                come.fetch_add(1, Ordering::AcqRel);
                changed.notify_all();
                changed.wait_until(|| (come.load(Ordering::Acquire) == 2).then_some(())).wait();
            };
            assert!(pool.try_submit(job).is_ok());
        }
        // Awaited before the close, which would wake all workers.
        let (come, changed) = &*meeting;
        changed.wait_until(|| (come.load(Ordering::Acquire) == 2).then_some(())).wait();
        pool.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(pool.stats().succeeded, 2);
    });
}

/// A push that finds the ring full goes behind it, and finds the pool closed there.
#[test]
fn a_push_behind_the_ring_against_shutdown() {
    model(|| {
        let pool = WorkerPool::detached(2);
        drop(pool.try_submit(|| 1).unwrap());
        let worker = spawn_worker(&pool);
        let ender = {
            let shutdown = pool.shutdown();
            thread::spawn(move || shutdown.wait())
        };
        let pushed = pool.try_submit(|| 2).map(drop).is_ok();
        ender.join().unwrap();
        worker.join().unwrap();
        assert_eq!(pool.stats().succeeded, 1 + u64::from(pushed));
    });
}
