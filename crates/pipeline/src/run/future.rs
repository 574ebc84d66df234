//! The flow as a future.

use core::{
    fmt,
    future::Future,
    mem,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::vec::Vec;

use tidegate_core::unwind::DropEach;

use crate::{
    flow::{Stage, Stopped, Summary},
    pipeline::Pipeline,
    stage::{Inline, Step},
};

use super::engine::Engine;

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Runs the flow and drops what comes out at the end.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if an error or the token stopped the flow.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let flow = Pipeline::from_iter(0..5).map("double", |n| 2 * n);
    /// assert_eq!(flow.run().wait().unwrap().succeeded, 5);
    /// ```
    pub fn run(self) -> Run<'h, S> {
        Run { engine: Engine::new(self) }
    }

    /// Runs the flow and calls `f` with each item that comes out. In the statistics `f` is a stage
    /// called `for_each`.
    ///
    /// Nothing else of the flow's task runs while `f` does. Work that takes long belongs in
    /// [`map_on`](Self::map_on), and waiting in [`map_async`](Self::map_async).
    ///
    /// # Errors
    ///
    /// [`Stopped`] if an error or the token stopped the flow; a panic of `f` is such an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let mut sum = 0;
    /// let summary = Pipeline::from_iter(1..=4).for_each(|n| sum += n).wait()?;
    /// assert_eq!((sum, summary.succeeded), (10, 4));
    /// # Ok::<(), tidegate_pipeline::Stopped>(())
    /// ```
    pub fn for_each<F>(
        self,
        f: F,
    ) -> Run<'h, Inline<S, impl FnMut(S::Item) -> Step<()> + use<'h, S, T, F>>>
    where
        F: FnMut(S::Item),
    {
        self.map("for_each", f).run()
    }

    /// Runs the flow and collects what comes out.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if an error or the token stopped the flow. Then what was collected is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// assert_eq!(Pipeline::from_iter(["a", "b"]).collect().wait()?, ["a", "b"]);
    /// # Ok::<(), tidegate_pipeline::Stopped>(())
    /// ```
    pub fn collect(self) -> Collect<'h, S> {
        Collect { engine: Engine::new(self), items: DropEach::default() }
    }
}

/// Future of [`Pipeline::run`] and [`Pipeline::for_each`]: the whole flow. Drive it in any executor
/// or by [`wait`](crate::Wait::wait).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Run<'h, S> {
    pub(crate) engine: Engine<'h, S>,
}

// Stages are never pinned where they are: what has to be pinned lies in boxes.
impl<S> Unpin for Run<'_, S> {}

impl<S: Stage> Future for Run<'_, S> {
    type Output = Result<Summary, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.engine.poll(cx, |_| ControlFlow::Continue(()))
    }
}

impl<S> fmt::Debug for Run<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("summary", &self.engine.flow.ledger.summary())
            .finish_non_exhaustive()
    }
}

/// Future of [`Pipeline::collect`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Collect<'h, S: Stage> {
    pub(crate) engine: Engine<'h, S>,
    items: DropEach<Vec<S::Item>>,
}

// As for `Run`; the items are never pinned either.
impl<S: Stage> Unpin for Collect<'_, S> {}

impl<S: Stage> Future for Collect<'_, S> {
    type Output = Result<Vec<S::Item>, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { engine, items } = &mut *self;
        let run = ready!(engine.poll(cx, |item| {
            items.push(item);
            ControlFlow::Continue(())
        }));
        Poll::Ready(run.map(|_| mem::take(&mut **items)))
    }
}

impl<S: Stage> fmt::Debug for Collect<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collect")
            .field("gathered", &self.items.len())
            .field("summary", &self.engine.flow.ledger.summary())
            .finish_non_exhaustive()
    }
}
