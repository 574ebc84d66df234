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
    // INVARIANT: whether it has announced to a rendezvous, once for its next job, that it waits.
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
        // A poll of the queue, with the pause or the yield before it, takes about as long as eight
        // of the polls that `Spin` counts, which are of a flag of the thread's own.
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
                // The only spare thread stays. If another one becomes spare, that one may end when
                // its own time is up.
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
