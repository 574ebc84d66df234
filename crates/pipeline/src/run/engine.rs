//! The loop that every run of a flow drives.

use core::{
    ops::ControlFlow,
    task::{Context, Poll},
};

use tidegate_core::unwind::contain;

use crate::{
    flow::{Flow, Item, ItemOutcome, Stage, Stopped, Summary},
    pipeline::Pipeline,
};

/// The stages of a run, and what they share.
pub(crate) struct Engine<'h, S> {
    // `None` once the run is over: the stages were dropped, and the items in flight with them.
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

    /// Polls the stages and calls `sink` with each item that comes out. Returns `Pending` when
    /// `sink` breaks or no item is ready, `Ready` when the flow has ended.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(S::Item) -> ControlFlow<()>,
    ) -> Poll<Result<Summary, Stopped>> {
        let Self { stages: Some(stages), flow } = self else { panic!("polled after it was ready") };
        flow.begin_poll(cx);
        let is_over = loop {
            // `None`: a stage or a clock has panicked. Poll again, to go on or to stop.
            if let Some(is_over) = flow.guarded(|flow| advance(stages, flow, cx, &mut sink)) {
                break is_over;
            }
        };
        flow.end_poll();
        if !is_over {
            return Poll::Pending;
        }
        // Closures and states have destructors, which are foreign code: if one panics, the run has
        // ended all the same.
        let stages = self.stages.take();
        contain(|| drop(stages));
        Poll::Ready(self.flow.ledger.finish())
    }
}

/// Calls `sink` with each item that comes out, until `sink` breaks or no item is ready. Returns
/// whether the flow has ended.
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
            Poll::Pending if (flow.ledger.is_stopping(), flow.ledger.times_full()) == before => {
                return false;
            }
            // A stage has stopped the flow, or a source has found the flow full, during this poll
            // of the stages. Those polled earlier do not know: poll once more, so that the source
            // ends and batches stop waiting. That poll also uses the room of items that left, so a
            // full flow needs no wake for it.
            Poll::Pending => {}
        }
    }
}
