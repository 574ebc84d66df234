//! The scopes of a pool, and the jobs of each that no worker has begun.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
};

use tidegate_core::{
    Event, Wait,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::unwind::{DropEach, Payload, bury, catch, contain};

/// A closure whose type claims that it may be kept for ever. Its scope ends only after the closure
/// was dropped.
pub(crate) type ErasedClosure = Box<dyn FnOnce() + Send>;

/// The jobs of one scope.
#[derive(Default)]
pub(crate) struct ScopeQueue {
    /// The scope's number in the list; 0 if it is not in the list. Changed under the list's lock.
    number: AtomicU64,
    jobs: Lock<VecDeque<ErasedClosure>>,
    /// Jobs that were added and have not ended.
    unfinished: AtomicUsize,
    changed: Event,
    /// The first panic of a job.
    panic: Lock<DropEach<Option<Payload>>>,
}

impl ScopeQueue {
    /// Adds a job.
    pub(crate) fn push(&self, job: ErasedClosure) {
        // ORDERING: Relaxed: this call is in the scope's closure or in one of its jobs, and the end
        // of the scope reads the count only after the closure and that job have ended.
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.jobs.with(|jobs| jobs.push_back(job));
    }

    /// Wakes the thread that waits for the end of the scope, if one does, to help with a new job:
    /// perhaps no worker will.
    pub(crate) fn notify_end(&self) {
        self.changed.notify(1);
    }

    /// Runs the oldest job; returns whether there was one.
    fn run_one(&self) -> bool {
        let Some(job) = self.jobs.with(VecDeque::pop_front) else { return false };
        if let Err(payload) = catch(job) {
            let unused = self.panic.with(|first| {
                if first.is_some() {
                    return Some(payload);
                }
                first.replace(payload)
            });
            unused.into_iter().for_each(bury);
        }
        // ORDERING: Release: what the job did, its drop included, is seen by the caller that finds
        // none unfinished (Acquire in `run_all`).
        if self.unfinished.fetch_sub(1, Ordering::Release) == 1 {
            contain(|| self.changed.notify_all());
        }
        true
    }

    /// Runs the jobs that no worker has begun, and waits for those that workers run.
    fn run_all(&self) {
        let is_over = || (self.unfinished.load(Ordering::Acquire) == 0).then_some(());
        while is_over().is_none() {
            if !self.run_one() {
                // A job that runs may add another one; this thread then checks the queue again.
                self.changed
                    .wait_until(|| is_over().or_else(|| self.has_jobs().then_some(())))
                    .wait();
            }
        }
    }

    fn has_jobs(&self) -> bool {
        self.jobs.with(|jobs| !jobs.is_empty())
    }

    /// Returns how many jobs have not ended. A snapshot.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Takes the first panic of a job.
    pub(crate) fn take_panic(&self) -> Option<Payload> {
        self.panic.with(|first| first.take())
    }
}

/// The scopes of a pool that have jobs which no worker has begun.
#[derive(Default)]
pub(crate) struct Scopes {
    list: Lock<ScopeList>,
    /// Requests for help in the pool's queue.
    pub(crate) requests: AtomicUsize,
}

#[derive(Default)]
struct ScopeList {
    /// The scopes in the order in which they were added, each once at most.
    queues: BTreeMap<u64, Arc<ScopeQueue>>,
    last: u64,
}

impl Scopes {
    /// Puts a scope at the end of the list, unless the list has it already.
    pub(crate) fn add(&self, queue: &Arc<ScopeQueue>) {
        // ORDERING: Relaxed throughout: under the list's lock.
        self.list.with(|list| {
            if queue.number.load(Ordering::Relaxed) == 0 {
                list.last += 1;
                queue.number.store(list.last, Ordering::Relaxed);
                list.queues.insert(list.last, queue.clone());
            }
        });
    }

    /// Runs the jobs of a scope, waits until all of them have ended, and takes the scope out of the
    /// list.
    pub(crate) fn finish(&self, queue: &ScopeQueue) {
        queue.run_all();
        let number = &queue.number;
        drop(self.list.with(|list| list.queues.remove(&number.swap(0, Ordering::Relaxed))));
    }

    /// Runs a job of the first scope in the list that has one; returns whether there may be more.
    pub(crate) fn run_one(&self) -> bool {
        while let Some((_, queue)) = self.list.with(|list| {
            let first = list.queues.pop_first();
            first.inspect(|(_, queue)| queue.number.store(0, Ordering::Relaxed))
        }) {
            if queue.run_one() {
                if queue.has_jobs() {
                    self.add(&queue);
                }
                break;
            }
        }
        self.list.with(|list| !list.queues.is_empty())
    }
}
