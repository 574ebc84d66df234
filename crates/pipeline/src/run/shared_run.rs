//! A run that several threads share: any thread that is free drives it.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::panic::resume_unwind;

use alloc::boxed::Box;

use tidegate_core::{
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    unwind::{Payload, bury, catch, contain},
};

use crate::{
    debug::debug_by_name,
    flow::{RunThreads, ThreadTask, WorkQueue},
};

/// A run that can move from thread to thread between two polls.
pub trait SendRun: Future<Output: Send> + Unpin + Send {}

impl<F: Future<Output: Send> + Unpin + Send> SendRun for F {}

/// A run and the threads that share it.
pub struct SharedRun<'h, F: Future> {
    run_threads: Arc<RunThreads<'h>>,
    // INVARIANT: `None` while a thread drives it, and once it is over.
    run: Lock<Option<Box<F>>>,
    output: Lock<Option<Result<F::Output, Payload>>>,
    waker: Waker,
    /// How many threads wait for a task, or will when they have started.
    looking: AtomicUsize,
}

impl<'h, F: SendRun> SharedRun<'h, F> {
    pub(crate) fn new(run_threads: Arc<RunThreads<'h>>, run: F) -> Self {
        let waker = Waker::from(run_threads.drive.clone());
        let (run, output) = (Lock::new(Some(Box::new(run))), Lock::new(None));
        Self { run_threads, run, output, waker, looking: AtomicUsize::new(1) }
    }

    /// Counts a thread that will call [`work`](Self::work). The first one is counted already.
    pub fn expect_one(&self) {
        // ORDERING: Relaxed: the count publishes nothing. A thread that is started sees all that
        // was done before.
        self.looking.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn expect_one_less(&self) {
        self.looking.fetch_sub(1, Ordering::Relaxed);
    }

    /// Does tasks until the run is over. Before each task, which may take long, it calls `grow` if
    /// no other thread waits for the next one.
    pub fn work(&self, grow: &dyn Fn()) {
        while let Ok(task) = self.run_threads.next_task() {
            if self.looking.fetch_sub(1, Ordering::Relaxed) == 1 {
                grow();
            }
            match task {
                ThreadTask::Drive => self.drive(),
                ThreadTask::Work(queue) => self.work_at(queue),
            }
            self.looking.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Works on chunks until there are none, or until the flow is to be driven: then it leaves the
    /// queue to another thread.
    fn work_at(&self, queue: Arc<dyn WorkQueue + 'h>) {
        while queue.work_one() {
            if self.run_threads.drive.0.is_woken() {
                return self.run_threads.request_worker(queue);
            }
        }
    }

    /// Polls the run on the calling thread, which drives.
    fn drive(&self) {
        let Some(mut run) = self.run.with(Option::take) else { return };
        let mut cx = Context::from_waker(&self.waker);
        let polled = match catch(|| Pin::new(&mut *run).poll(&mut cx)) {
            Ok(Poll::Pending) => {
                self.run.with(|queue| *queue = Some(run));
                return self.run_threads.drive.0.release();
            }
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(payload),
        };
        // What the stages have captured is foreign. It is dropped before any thread learns of the
        // end.
        let output = match (polled, catch(|| drop(run))) {
            (Ok(output), Ok(())) => Ok(output),
            (Ok(output), Err(payload)) => {
                contain(|| drop(output));
                Err(payload)
            }
            (Err(payload), dropped) => {
                dropped.unwrap_or_else(bury);
                Err(payload)
            }
        };
        self.output.with(|queue| *queue = Some(output));
        self.run_threads.drive.0.finish();
    }

    /// Returns the output of the run. Call it when every [`work`](Self::work) has returned.
    ///
    /// # Panics
    ///
    /// Panics with the run's panic if the run has panicked, on any thread. Also panics if the run
    /// is not over.
    pub fn into_output(self) -> F::Output {
        let output =
            self.output.with(Option::take).expect("every thread has seen the end of the run");
        output.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

debug_by_name!(SharedRun<'h, F: Future>);

#[cfg(test)]
mod tests {
    use core::{cell::Cell, num::NonZeroUsize};

    use crate::{Pipeline, Threads};

    /// Runs a flow on this thread. Returns whether it has asked for another one, after so many were
    /// expected and so many of these were given up.
    fn asks_for_a_thread(expected: usize, given_up: usize) -> bool {
        let flow = Pipeline::from_iter(0..9).map_on(Threads, "pass", NonZeroUsize::MIN, |n| n);
        let Ok(shared_run) = flow.run().into_shared_run() else { panic!("it is on threads") };
        (0..expected).for_each(|_| shared_run.expect_one());
        (0..given_up).for_each(|_| shared_run.expect_one_less());
        let has_asked = Cell::new(false);
        shared_run.work(&|| has_asked.set(true));
        assert_eq!(shared_run.into_output().unwrap().succeeded, 9);
        has_asked.get()
    }

    #[test]
    fn a_thread_is_asked_for_unless_one_is_expected() {
        assert!(asks_for_a_thread(0, 0));
        assert!(!asks_for_a_thread(1, 0));
        assert!(asks_for_a_thread(1, 1), "it could not be started");
        assert!(!asks_for_a_thread(2, 1));
    }
}
