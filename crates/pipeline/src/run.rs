//! The flow as a future.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::vec::Vec;

use crate::{
    flow::{DropEach, Flow, contain},
    inline::{Inline, Step},
    item::{Item, ItemOutcome},
    pipeline::Pipeline,
    stage::Stage,
    stats::Summary,
    stopped::Stopped,
};

/// A flow that runs.
pub(crate) struct Engine<'h, S> {
    // `None` once the run is over: what was in flight is dropped with the stages.
    stages: Option<S>,
    pub(crate) flow: Flow<'h>,
}

impl<'h, S: Stage> Engine<'h, S> {
    pub(crate) fn new<T>(pipeline: Pipeline<'h, S, T>) -> Self {
        Self { stages: Some(pipeline.stages), flow: pipeline.flow }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stages.is_none()
    }

    /// Moves on and gives `sink` what comes out until it wants no more, nothing comes now, or nothing comes any more.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(S::Item) -> Want,
    ) -> Poll<Result<Summary, Stopped>> {
        let Self { stages: Some(stages), flow } = self else { panic!("polled after it was ready") };
        flow.enter(cx);
        let is_over = loop {
            // Nothing comes of it if a stage has panicked: goes on, or heeds the stop.
            if let Some(is_over) = flow.guarded(|flow| advance(stages, flow, cx, &mut sink)) {
                break is_over;
            }
        };
        flow.leave();
        if !is_over {
            return Poll::Pending;
        }
        // Closures and states, whose destructors are foreign code: the run has ended all the same.
        let stages = self.stages.take();
        contain(|| drop(stages));
        Poll::Ready(self.flow.finish())
    }
}

/// What a sink answers.
#[derive(PartialEq, Eq)]
pub(crate) enum Want {
    More,
    NoMore,
}

/// Gives `sink` what comes out until it wants no more or nothing comes now. Returns whether nothing comes any more.
fn advance<S: Stage>(
    stages: &mut S,
    flow: &mut Flow<'_>,
    cx: &mut Context<'_>,
    sink: &mut impl FnMut(S::Item) -> Want,
) -> bool {
    loop {
        if flow.is_abandoned() {
            return true;
        }
        let before = (flow.is_stopping(), flow.times_full());
        match stages.poll_next(cx, flow) {
            Poll::Ready(Some(Item { lineage, value })) => {
                flow.settle(lineage, ItemOutcome::Succeeded);
                if sink(value) == Want::NoMore {
                    return false;
                }
            }
            Poll::Ready(None) => return true,
            // Where a stage has stopped the flow meanwhile, that is heeded at once: abandon, or let the source hear of it.
            // Nor does anybody wait for more that was asked before the flow was found full. And what has left after that has
            // made room for the source, which is asked again: so a full flow that has room needs no wake of its own.
            Poll::Pending if (flow.is_stopping(), flow.times_full()) == before => return false,
            Poll::Pending => {}
        }
    }
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Runs the flow for what its stages do; what comes out at the end is dropped.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the flow stopped before the end of its source.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let summary = Pipeline::from_iter(0..5).map("double", |n| 2 * n).run().wait().unwrap();
    /// assert_eq!(summary.succeeded, 5);
    /// ```
    pub fn run(self) -> Run<'h, S> {
        Run { engine: Engine::new(self) }
    }

    /// Runs the flow and calls `f` with each item that comes out. In the stats it is a stage called `for_each`.
    ///
    /// Nothing else of the flow's task runs while `f` does; what takes long or waits belongs in a stage.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the flow stopped before the end of its source, which a panic in `f` makes it do, too.
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

    /// Runs the flow and gathers what comes out.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the flow stopped before the end of its source. What was gathered is dropped then.
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

/// Future of [`Pipeline::run`] and [`Pipeline::for_each`]: the whole flow. Drive it in any executor or by
/// [`wait`](crate::Wait::wait).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Run<'h, S> {
    pub(crate) engine: Engine<'h, S>,
}

// Stages are never pinned where they are: what has to be pinned lies in boxes.
impl<S> Unpin for Run<'_, S> {}

impl<S: Stage> Future for Run<'_, S> {
    type Output = Result<Summary, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.engine.poll(cx, |_| Want::More)
    }
}

impl<S> fmt::Debug for Run<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("summary", &self.engine.flow.summary()).finish_non_exhaustive()
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
            Want::More
        }));
        Poll::Ready(run.map(|_| mem::take(&mut **items)))
    }
}

impl<S: Stage> fmt::Debug for Collect<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collect")
            .field("gathered", &self.items.len())
            .field("summary", &self.engine.flow.summary())
            .finish_non_exhaustive()
    }
}
