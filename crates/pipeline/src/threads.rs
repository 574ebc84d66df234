//! A flow on threads of its own, without any executor.

use core::{
    future::{Future, poll_fn},
    num::NonZeroUsize,
    pin::pin,
    task::Poll,
};
use std::thread::{Builder, scope};

use alloc::vec::Vec;

use tidegate_core::{Wait, primitive::Arc};

use crate::{
    crew::Crew,
    figures::Summary,
    flow::Flow,
    pipeline::Pipeline,
    run::{Collect, Run},
    stage::Stage,
    stopped::Stopped,
};

impl<S: Stage, T> Pipeline<'_, S, T> {
    /// Runs the flow for what its stages do, on `threads` threads, of which the calling one is the first; the others are
    /// started here and have ended when this returns.
    ///
    /// The calling thread drives the flow and, where there is nothing to drive, works in stages on
    /// [`Threads`](crate::Threads) like the others. If a thread cannot be started, the flow runs on those there are.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the flow stopped before the end of its source.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{convert::Infallible, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Threads};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let flow = Pipeline::from_iter(0..1000_u64).map_on(Threads, "square", TWO, |n| Ok::<_, Infallible>(n * n));
    /// assert_eq!(flow.run_on_threads(TWO).unwrap().done, 1000);
    /// ```
    pub fn run_on_threads(self, threads: NonZeroUsize) -> Result<Summary, Stopped> {
        self.run().run_on_threads(threads)
    }
}

impl<S: Stage> Run<'_, S> {
    /// Runs the flow to its end on `threads` threads: see [`Pipeline::run_on_threads`].
    ///
    /// # Errors
    ///
    /// As the future.
    pub fn run_on_threads(mut self, threads: NonZeroUsize) -> Result<Summary, Stopped> {
        let crew = man(&mut self.engine.flow);
        drive(self, crew, threads)
    }
}

impl<S: Stage> Collect<'_, S> {
    /// Runs the flow to its end on `threads` threads: see [`Pipeline::run_on_threads`].
    ///
    /// # Errors
    ///
    /// As the future.
    pub fn run_on_threads(mut self, threads: NonZeroUsize) -> Result<Vec<S::Item>, Stopped> {
        let crew = man(&mut self.engine.flow);
        drive(self, crew, threads)
    }
}

fn man<'h>(flow: &mut Flow<'h>) -> Option<Arc<Crew<'h>>> {
    flow.is_manned = true;
    flow.crew.clone()
}

fn drive<F: Future>(run: F, crew: Option<Arc<Crew<'_>>>, threads: NonZeroUsize) -> F::Output {
    let Some(crew) = crew else { return run.wait() };
    scope(|scope| {
        let crew = Dismissed(&crew);
        for _ in 1..threads.get() {
            let crew = crew.0;
            let worker = Builder::new().name("pipeline".into());
            // Whoever is missing is missed by nobody: the thread that drives helps.
            let _ = worker.spawn_scoped(scope, || crew.serve());
        }
        let mut run = pin!(run);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(output) = run.as_mut().poll(cx) {
                    return Poll::Ready(output);
                }
                if !crew.0.help() {
                    return Poll::Pending;
                }
            }
        })
        .wait()
    })
}

/// Sends the crew home, also after a panic.
struct Dismissed<'c, 'h>(&'c Crew<'h>);

impl Drop for Dismissed<'_, '_> {
    fn drop(&mut self) {
        self.0.dismiss();
    }
}
