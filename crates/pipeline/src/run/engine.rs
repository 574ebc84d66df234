//! The flow as a future.

use core::{
    ops::ControlFlow,
    task::{Context, Poll},
};

use tidegate_core::unwind::contain;

use crate::{
    flow::{Flow, Item, ItemOutcome, Stage, Stopped, Summary},
    pipeline::Pipeline,
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
        mut sink: impl FnMut(S::Item) -> ControlFlow<()>,
    ) -> Poll<Result<Summary, Stopped>> {
        let Self { stages: Some(stages), flow } = self else { panic!("polled after it was ready") };
        flow.begin_poll(cx);
        let is_over = loop {
            // Nothing comes of it if a stage has panicked: goes on, or heeds the stop.
            if let Some(is_over) = flow.guarded(|flow| advance(stages, flow, cx, &mut sink)) {
                break is_over;
            }
        };
        flow.end_poll();
        if !is_over {
            return Poll::Pending;
        }
        // Closures and states, whose destructors are foreign code: the run has ended all the same.
        let stages = self.stages.take();
        contain(|| drop(stages));
        Poll::Ready(self.flow.ledger.finish())
    }
}

/// Gives `sink` what comes out until it wants no more or nothing comes now. Returns whether nothing comes any more.
fn advance<S: Stage>(
    stages: &mut S,
    flow: &mut Flow<'_>,
    cx: &mut Context<'_>,
    sink: &mut impl FnMut(S::Item) -> ControlFlow<()>,
) -> bool {
    loop {
        if flow.ledger.is_abandoned() {
            return true;
        }
        let before = (flow.ledger.is_stopping(), flow.ledger.times_full());
        match stages.poll_next(cx, flow) {
            Poll::Ready(Some(Item { lineage, value })) => {
                flow.ledger.settle(lineage, ItemOutcome::Succeeded);
                if sink(value).is_break() {
                    return false;
                }
            }
            Poll::Ready(None) => return true,
            // Where a stage has stopped the flow meanwhile, that is heeded at once: abandon, or let the source hear of it.
            // Nor does anybody wait for more that was asked before the flow was found full. And what has left after that has
            // made room for the source, which is asked again: so a full flow that has room needs no wake of its own.
            Poll::Pending if (flow.ledger.is_stopping(), flow.ledger.times_full()) == before => {
                return false;
            }
            Poll::Pending => {}
        }
    }
}
