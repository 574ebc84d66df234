//! The threads of a pool.

use core::{
    mem,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};
use std::io;

use alloc::{boxed::Box, format, string::String, vec::Vec};

use tidegate_core::{
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering, fence},
        thread::{self, JoinHandle, ThreadId},
    },
};

use super::{
    loop_hooks::LoopHooks,
    thread_limits::{ThreadCount, ThreadLimits},
    worker::run_on_thread,
    worker_state::WorkerState,
};
use crate::{
    error::StartError,
    state::{Shared, counters::Counter},
    unwind::{catch, contain},
};

/// Called with the number of a thread.
type Hook = Box<dyn Fn(usize) + Send + Sync>;

/// The default of how long a spare thread waits before it ends, unless it is needed for the
/// minimum.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// After the system has refused a thread, the pool asks again when this many jobs have begun with
/// no thread spare.
const JOBS_UNTIL_RETRY: usize = 1024;

/// How threads are started, and when they end.
pub(crate) struct ThreadSettings {
    pub(crate) name: Option<Box<dyn Fn(usize) -> String + Send + Sync>>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) on_start: Option<Hook>,
    pub(crate) on_stop: Option<Hook>,
    pub(crate) keep_alive: Duration,
}

impl Default for ThreadSettings {
    fn default() -> Self {
        Self { name: None, stack_size: None, on_start: None, on_stop: None, keep_alive: KEEP_ALIVE }
    }
}

impl ThreadSettings {
    fn call(hook: &Option<Hook>, number: usize) {
        if let Some(hook) = hook {
            contain(|| hook(number));
        }
    }
}

pub(crate) struct Threads {
    settings: ThreadSettings,
    limits: ThreadLimits,
    started: AtomicUsize,
    /// How many more jobs will begin with no thread spare before the pool asks the system again.
    until_retry: AtomicUsize,
    // INVARIANT: `None` once the pool has let its threads go: it will join none.
    list: Lock<Option<ThreadList>>,
}

#[derive(Default)]
struct ThreadList {
    handles: Vec<JoinHandle<()>>,
    /// The ids of the threads that have finished their work.
    ended: Vec<ThreadId>,
}

impl Threads {
    pub(crate) fn new(settings: ThreadSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            limits: ThreadLimits::default(),
            started: AtomicUsize::new(0),
            until_retry: AtomicUsize::new(0),
            list: Lock::new(Some(ThreadList::default())),
        })
    }

    /// Sets the limits, and starts the threads that are missing: up to the minimum, and one more if
    /// none is spare.
    pub(crate) fn resize(
        self: &Arc<Self>,
        count: ThreadCount,
        shared: &Arc<Shared>,
    ) -> Result<(), StartError> {
        self.limits.set(count).map_err(StartError::Setting)?;
        if shared.job_queue.is_drained() {
            return Ok(());
        }
        // Sleeping threads beyond the maximum wake up and end, and those beyond the minimum decide
        // anew how long they sleep.
        contain(|| shared.job_queue.notify_workers());
        while self.limits.add_up_to_min() {
            self.start(shared)?;
        }
        // If every thread is in a long job, none of them would see that there may be more.
        if self.limits.add_spare() { self.start(shared) } else { Ok(()) }
    }

    /// Adds a thread if there may be one more, and none is left to begin the next job. If the
    /// system refuses it, the existing threads do the work.
    #[cold]
    fn grow(self: &Arc<Self>, shared: &Arc<Shared>) {
        // ORDERING: the fence pairs with the one at the end of `JobQueue::spin_for_job`: of two
        // threads that begin a job, one after it slept and one after it spun, at least one sees
        // that the other is no longer spare, or no longer spins.
        fence(Ordering::SeqCst);
        if shared.job_queue.has_spinning_worker() || shared.job_queue.is_drained() {
            return;
        }
        // ORDERING: Relaxed: how often the pool asks need not be exact.
        let until_retry = self.until_retry.load(Ordering::Relaxed);
        if until_retry > 0 {
            self.until_retry.store(until_retry - 1, Ordering::Relaxed);
            return;
        }
        if self.limits.add_spare() && self.start(shared).is_err() {
            self.until_retry.store(JOBS_UNTIL_RETRY, Ordering::Relaxed);
            shared.counters.add(Counter::ThreadsRefused, 1);
        }
    }

    /// Starts a thread that was counted.
    fn start(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), StartError> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        // The function that names threads is foreign, and a name with a null byte makes the spawn
        // panic.
        let started = catch(|| self.spawn(number, WorkerState::new(shared)));
        let started = started.unwrap_or_else(|_| Err(io::Error::other("a thread's name panicked")));
        self.limits.end_start(started.is_ok());
        // Surplus threads have stayed while the system could still refuse this one.
        if self.limits.has_surplus() {
            contain(|| shared.job_queue.notify_workers());
        }
        started.map_err(StartError::Thread)
    }

    fn spawn(self: &Arc<Self>, number: usize, mut worker: WorkerState) -> io::Result<()> {
        // Announced before the thread runs, so that a new rendezvous has room at once.
        worker.announce();
        let name = match &self.settings.name {
            Some(name) => name(number),
            None => format!("tidegate-worker-{number}"),
        };
        let mut thread = thread::Builder::new().name(name);
        if let Some(bytes) = self.settings.stack_size {
            thread = thread.stack_size(bytes);
        }
        let threads = self.clone();
        let handle = thread.spawn(move || {
            ThreadSettings::call(&threads.settings.on_start, number);
            run_on_thread(worker, ThreadSlot { threads: &threads, is_spare: true });
            ThreadSettings::call(&threads.settings.on_stop, number);
            let id = thread::current().id();
            threads.list.with(|list| list.iter_mut().for_each(|list| list.ended.push(id)));
        })?;
        self.list.with(|list| {
            let Some(ThreadList { handles, ended }) = list else { return };
            handles.retain(|handle| !ended.contains(&handle.thread().id()));
            ended.clear();
            handles.push(handle);
        });
        Ok(())
    }

    /// Waits until every thread has ended. Called on one of them, it lets them go instead.
    pub(crate) fn join(&self) {
        // A thread may have added another one before it ended.
        loop {
            let handles =
                self.list.with(|list| list.as_mut().map(mem::take)).unwrap_or_default().handles;
            if handles.is_empty() {
                return;
            }
            if handles.iter().any(|handle| handle.thread().id() == thread::current().id()) {
                return self.let_go();
            }
            for handle in handles {
                // An error would be a panic that has left the worker, and that the panic hook has
                // printed.
                drop(handle.join());
            }
        }
    }

    /// Lets the threads end by themselves: the pool will not join them.
    pub(crate) fn let_go(&self) {
        drop(self.list.with(Option::take));
    }
}

// The hooks and the function for names are foreign, and their panics are contained.
impl UnwindSafe for Threads {}
impl RefUnwindSafe for Threads {}

/// One thread of a pool, as the limits count it.
struct ThreadSlot<'a> {
    threads: &'a Arc<Threads>,
    // INVARIANT: whether the limits count it as spare.
    is_spare: bool,
}

impl LoopHooks for ThreadSlot<'_> {
    #[inline]
    fn before_job(&mut self, shared: &Arc<Shared>) {
        if self.is_spare {
            self.is_spare = false;
            self.threads.limits.leave_spare();
        }
        if self.threads.limits.wants_more() {
            self.threads.grow(shared);
        }
    }

    fn before_sleep(&mut self) {
        if !self.is_spare {
            self.is_spare = true;
            self.threads.limits.enter_spare();
        }
    }

    fn keep_alive(&self) -> Option<Duration> {
        let keep_alive = self.threads.settings.keep_alive;
        (keep_alive != Duration::MAX && self.threads.limits.may_retire()).then_some(keep_alive)
    }

    fn retires(&self) -> bool {
        self.threads.limits.retire()
    }

    #[inline]
    fn is_surplus(&self) -> bool {
        self.threads.limits.remove_surplus(self.is_spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_spare_from_its_sleep_to_its_job_and_ends_if_others_are() {
        let keep_alive = Duration::from_secs(7);
        let threads = Threads::new(ThreadSettings { keep_alive, ..ThreadSettings::default() });
        threads.limits.set((1..=4).into()).unwrap();
        let shared = crate::WorkerPool::detached(1).shared().clone();
        let mut slots = [(); 3].map(|()| {
            assert!(threads.limits.add_up_to_min() || threads.limits.add_spare());
            threads.limits.end_start(true);
            threads.limits.leave_spare();
            ThreadSlot { threads: &threads, is_spare: false }
        });
        for _ in 0..2 {
            slots[0].before_sleep();
            assert_eq!((slots[0].keep_alive(), slots[0].retires()), (None, false), "the only one");
        }
        slots[1].before_sleep();
        assert_eq!(slots[1].keep_alive(), Some(keep_alive));
        assert!(slots[1].retires());
        threads.until_retry.store(9, Ordering::Relaxed);
        slots[0].before_job(&shared);
        assert!(!slots[0].is_spare && threads.limits.wants_more());

        assert!(!slots[0].is_surplus(), "two of four are there");
        threads.limits.set(1.into()).unwrap();
        assert!(slots[0].is_surplus() && !slots[2].is_surplus());
    }

    #[test]
    fn threads_that_stay_for_ever_have_no_limit_and_those_that_were_let_go_are_not_joined() {
        let keep_alive = Duration::MAX;
        let threads = Threads::new(ThreadSettings { keep_alive, ..ThreadSettings::default() });
        threads.limits.set(2.into()).unwrap();
        while threads.limits.add_up_to_min() {
            threads.limits.end_start(true);
        }
        threads.limits.set((1..=2).into()).unwrap();
        assert!(threads.limits.may_retire());
        assert_eq!(ThreadSlot { threads: &threads, is_spare: true }.keep_alive(), None);
        threads.let_go();
        assert!(threads.list.with(|list| list.is_none()));
    }
}
