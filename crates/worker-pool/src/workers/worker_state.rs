//! What one worker owns: its counters, its place in the pool's counts, and its next job.

use core::future::{Future, poll_fn};

use crossbeam_utils::CachePadded;
use tidegate_core::{Closed, event::Waiter, primitive::Arc};
#[cfg(feature = "std")]
use tidegate_core::{
    TimedOut, Wait,
    wait::spin::{Spin, looking_pays},
};

#[cfg(feature = "std")]
use super::loop_hooks::LoopHooks;
use crate::{
    job::{Job, future_job::FutureJob},
    state::{Shared, counters::WorkerCounters},
    unwind::contain,
};

/// A worker as the pool counts it. Its drop takes it out of every count.
pub(crate) struct WorkerState {
    pub(super) shared: Arc<Shared>,
    counters: Arc<CachePadded<WorkerCounters>>,
    /// How often the worker has become idle or stopped being idle: an even number while it is idle.
    transitions: u64,
    started: bool,
    // INVARIANT: whether it has announced to a rendezvous that it waits for its next job.
    is_waiting: bool,
    /// What the worker must run next: the turn of a key whose jobs it runs, if it owes another one.
    next: Option<Job>,
    // How long it spins before it sleeps.
    #[cfg(feature = "std")]
    spin: Spin,
}

impl WorkerState {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.workers.join();
        Self {
            shared: shared.clone(),
            counters: shared.counters.add_worker(),
            transitions: 0,
            started: false,
            is_waiting: false,
            next: None,
            #[cfg(feature = "std")]
            spin: Spin::new(),
        }
    }

    pub(super) fn start(&mut self) {
        self.counters.leave_idle(&mut self.transitions);
        self.shared.workers.start();
        self.started = true;
    }

    /// Tells a rendezvous that this worker waits for a job, once for each job.
    pub(crate) fn announce(&mut self) {
        if !self.is_waiting {
            self.is_waiting = true;
            self.shared.job_queue.add_waiting_worker();
        }
    }

    /// Takes what it must run next, after the end of a pause if the pool is paused; `None`, at
    /// once, if there is nothing.
    #[cfg(feature = "std")]
    #[inline]
    pub(super) fn take_next(&mut self) -> Option<Job> {
        self.next.as_ref()?;
        self.next_resumed().wait()
    }

    /// Takes what it must run next, after the end of a pause if the pool is paused; `None`, at
    /// once, if there is nothing. For a worker in a task.
    pub(super) async fn next_resumed(&mut self) -> Option<Job> {
        if self.next.is_some() {
            let mut waiter = Waiter::new();
            poll_fn(|cx| self.shared.job_queue.poll_resumed(&mut waiter, cx)).await;
        }
        self.next.take()
    }

    /// Takes a job from the queue if there is one and no pause.
    #[inline]
    pub(super) fn take(&self) -> Option<Job> {
        self.shared.job_queue.take().ok().flatten()
    }

    /// Spins for a bounded time until a job comes; `None` if none came, or if no other thread can
    /// run meanwhile.
    #[cfg(feature = "std")]
    pub(super) fn spin(&mut self) -> Option<Job> {
        if !looking_pays() {
            return None;
        }
        // `Spin` counts polls of a flag of the thread's own. A poll of the queue, with the pause or
        // the yield before it, takes about as long as eight of those.
        let found = self.shared.job_queue.spin_for_job(self.spin.polls().div_ceil(8));
        self.spin = self.spin.after(found.is_some());
        found
    }

    /// Waits for a job; `Closed` once the pool is closed and none is left, or once there is none
    /// and `leaves` returns true.
    pub(super) fn wait<'a>(
        &'a mut self,
        mut leaves: impl FnMut() -> bool + 'a,
    ) -> impl Future<Output = Result<Job, Closed>> + 'a {
        let mut waiter = Waiter::new();
        poll_fn(move |cx| {
            self.counters.leave_idle(&mut self.transitions);
            let polled = self.shared.job_queue.poll_take(&mut waiter, cx, &mut leaves);
            if polled.is_pending() {
                self.counters.enter_idle(&mut self.transitions);
                // A caller may wait until all workers are idle.
                contain(|| self.shared.workers.changed.notify_all());
            }
            polled
        })
    }

    /// Waits for a job on a thread; `None` if the thread should end.
    #[cfg(feature = "std")]
    pub(super) fn sleep(&mut self, hooks: &mut impl LoopHooks) -> Option<Job> {
        hooks.before_sleep();
        let mut keep_alive = hooks.keep_alive();
        loop {
            let mut new_limit = None;
            let woken = if let Some(limit) = keep_alive {
                self.wait(|| hooks.is_surplus()).wait_timeout(limit)
            } else {
                let mut is_limited = || {
                    new_limit = hooks.keep_alive();
                    new_limit.is_some()
                };
                Ok(self.wait(|| hooks.is_surplus() || is_limited()).wait())
            };
            match woken {
                Ok(Ok(job)) => return Some(job),
                Ok(Err(Closed)) if new_limit.is_none() => return None,
                Err(TimedOut) if hooks.retires() => return None,
                // A thread that may not end, such as the only spare one, sleeps on without a limit.
                // If another thread becomes spare, that one may end when its own time is up. A
                // thread that slept without a limit, and may end now, sleeps on for its new limit.
                _ => keep_alive = new_limit,
            }
        }
    }

    #[inline]
    pub(super) fn run(&mut self, job: Job) {
        self.is_waiting = false;
        self.next = self.shared.run(job, &self.counters);
    }

    pub(super) async fn run_future(&mut self, future: FutureJob) {
        self.is_waiting = false;
        self.shared.run_future(future, &self.counters).await;
    }
}

impl Drop for WorkerState {
    fn drop(&mut self) {
        if self.is_waiting {
            self.shared.job_queue.remove_waiting_worker();
        }
        if let Some(next) = self.next.take() {
            self.shared.job_queue.push_front(next);
        }
        self.shared.counters.remove_worker(&self.counters);
        if self.shared.workers.leave(self.started) {
            self.shared.abandon();
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use core::{cell::Cell, time::Duration};

    use super::*;
    use crate::WorkerPool;

    /// Answers in turn how long the worker may sleep, and then whether it retires.
    #[derive(Default)]
    struct Script {
        limits: [Option<Duration>; 3],
        asked: Cell<usize>,
        retires: bool,
        may_retire: Cell<bool>,
        is_surplus: bool,
        pool: Option<WorkerPool>,
    }

    impl LoopHooks for Script {
        fn keep_alive(&self) -> Option<Duration> {
            self.asked.set(self.asked.get() + 1);
            self.limits[self.asked.get() - 1]
        }

        fn retires(&self) -> bool {
            assert!(self.may_retire.replace(false), "it is asked once");
            if let Some(pool) = &self.pool {
                assert!(pool.try_submit(|| ()).is_ok());
            }
            self.retires
        }

        fn is_surplus(&self) -> bool {
            self.is_surplus
        }
    }

    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn sleeps(pool: &WorkerPool, script: &mut Script) -> bool {
        WorkerState::new(pool.shared()).sleep(script).is_some()
    }

    #[test]
    fn a_worker_that_slept_for_its_time_ends_if_it_may_and_else_waits_for_a_job() {
        let pool = WorkerPool::detached(1);
        let limits = [NOW, None, None];
        let retires =
            Script { limits, retires: true, may_retire: true.into(), ..Script::default() };
        assert!(!sleeps(&pool, &mut { retires }), "it has retired");
        let job = Some(pool.clone());
        let stays = Script { limits, may_retire: true.into(), pool: job, ..Script::default() };
        assert!(sleeps(&pool, &mut { stays }), "a job came");
    }

    #[test]
    fn a_worker_that_sleeps_without_a_limit_is_given_one_when_it_may_end() {
        let pool = WorkerPool::detached(1);
        let limits = [None, NOW, None];
        let mut late =
            Script { limits, retires: true, may_retire: true.into(), ..Script::default() };
        assert!(!sleeps(&pool, &mut late));
        assert!(!late.may_retire.get(), "it has retired");
    }

    #[test]
    fn a_worker_that_is_too_many_or_of_a_closed_pool_ends_at_once() {
        let pool = WorkerPool::detached(1);
        for limits in [[None; 3], [Some(Duration::MAX); 3]] {
            let surplus = Script { limits, is_surplus: true, ..Script::default() };
            assert!(!sleeps(&pool, &mut { surplus }));
        }
        pool.close();
        for limits in [[None; 3], [Some(Duration::MAX); 3]] {
            assert!(!sleeps(&pool, &mut Script { limits, ..Script::default() }));
        }
    }

    #[test]
    fn what_a_worker_must_run_next_is_what_it_takes_next() {
        let pool = WorkerPool::detached(1);
        let mut worker = WorkerState::new(pool.shared());
        assert!(worker.take_next().is_none());
        worker.next = Some(Job::plain(|| ()));
        assert!(worker.take_next().is_some() && worker.take_next().is_none());
    }
}
