//! A flow on its own threads, without an executor.

use core::num::NonZeroUsize;
use std::thread::{Builder, Scope, scope};

use alloc::vec::Vec;

use tidegate_core::{
    Wait,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    flow::{RunThreads, Stage, Stopped, Summary},
    pipeline::Pipeline,
};

use super::{
    future::{Collect, Run},
    shared_run::{SendRun, SharedRun},
};

impl<S: Stage + Send, T> Pipeline<'_, S, T> {
    /// Runs the flow on up to `threads` threads. The calling thread is the first of them; another
    /// is started when all of them are busy, and has ended when this returns.
    ///
    /// Any thread that is free drives the flow or, if there is nothing to drive, works in stages on
    /// [`Threads`](crate::Threads): an item that takes long occupies its own thread, and no other.
    /// A flow without such a stage runs on the calling thread alone. The stages must be `Send`; if
    /// one is not, run the flow by `run().wait()`. If a thread cannot be started, the flow runs on
    /// those that were started.
    ///
    /// It returns when the flow has ended, so nothing is lost when `main` returns after it. If you
    /// call it on a thread of yours, join that thread before `main` returns.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if an error or the token stopped the flow.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Threads};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let flow = Pipeline::from_iter(0..99).map_on(Threads, "square", TWO, |n| n * n);
    /// assert_eq!(flow.run_on_threads(TWO).unwrap().succeeded, 99);
    /// ```
    pub fn run_on_threads(self, threads: NonZeroUsize) -> Result<Summary, Stopped> {
        self.run().run_on_threads(threads)
    }
}

impl<'h, S: Stage + Send> Run<'h, S> {
    /// Runs the flow to its end on up to `threads` threads: see [`Pipeline::run_on_threads`].
    ///
    /// # Errors
    ///
    /// [`Stopped`](crate::Stopped) if an error or the token stopped the flow.
    pub fn run_on_threads(mut self, threads: NonZeroUsize) -> Result<Summary, Stopped> {
        let run_threads = self.engine.flow.enable_threads();
        on_threads(self, run_threads, threads)
    }

    /// Lets several threads run the flow together, if it has stages on [`Threads`](crate::Threads);
    /// else returns the run as it was, as the error. For the models of `run_on_threads`.
    #[doc(hidden)]
    #[expect(clippy::result_large_err, reason = "the run itself")]
    pub fn into_shared_run(mut self) -> Result<SharedRun<'h, Self>, Self> {
        match self.engine.flow.enable_threads() {
            Some(run_threads) => Ok(SharedRun::new(run_threads, self)),
            None => Err(self),
        }
    }
}

impl<S: Stage<Item: Send> + Send> Collect<'_, S> {
    /// Runs the flow to its end on up to `threads` threads: see [`Pipeline::run_on_threads`].
    ///
    /// # Errors
    ///
    /// [`Stopped`](crate::Stopped) if an error or the token stopped the flow.
    pub fn run_on_threads(mut self, threads: NonZeroUsize) -> Result<Vec<S::Item>, Stopped> {
        let run_threads = self.engine.flow.enable_threads();
        on_threads(self, run_threads, threads)
    }
}

/// Runs a flow on threads of its own if its stages use any, else on the calling thread.
fn on_threads<'h, F: SendRun>(
    run: F,
    run_threads: Option<Arc<RunThreads<'h>>>,
    threads: NonZeroUsize,
) -> F::Output {
    let Some(run_threads) = run_threads else { return run.wait() };
    let shared_run = SharedRun::new(run_threads, run);
    let left = AtomicUsize::new(threads.get() - 1);
    scope(|scope| work(scope, &shared_run, &left));
    shared_run.into_output()
}

/// Does tasks until the run is over. A thread that takes a task while no other waits for the next
/// one first starts another thread, as long as `left` is not 0. So a thread starts only when all
/// others are busy.
fn work<'s, F: SendRun>(
    scope: &'s Scope<'s, '_>,
    shared_run: &'s SharedRun<'_, F>,
    left: &'s AtomicUsize,
) {
    shared_run.work(&|| {
        // ORDERING: Relaxed throughout: a number of threads, which publishes nothing.
        let one_less = |left: usize| left.checked_sub(1);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return;
        }
        shared_run.expect_one();
        let thread = Builder::new().name("pipeline".into());
        if thread.spawn_scoped(scope, || work(scope, shared_run, left)).is_err() {
            // The threads that there are do all tasks.
            shared_run.expect_one_less();
            left.store(0, Ordering::Relaxed);
        }
    });
}
