//! The interface of a stage to the next one.

use core::task::{Context, Poll};

use alloc::boxed::Box;

use super::{context::Flow, item::Item, ledger::StageId};

/// The stages of a flow so far, as the next stage sees them. Implemented by this crate's stages
/// only.
///
/// A stage owns the stages before it, so a flow is one value, and its run one future. A stage that
/// is polled for an item polls those before it. A poll that returns `Pending` has let *every* stage
/// go on as far as it can, or as far as the budget of the flow's poll allows.
///
/// # Examples
///
/// A part of a flow, as a function:
///
/// ```
/// use tidegate_pipeline::{Pipeline, Stage, Wait};
///
/// fn doubled<'h>(
///     numbers: Pipeline<'h, impl Stage<Item = u32>>,
/// ) -> Pipeline<'h, impl Stage<Item = u32>> {
///     numbers.map("double", |n| 2 * n)
/// }
///
/// let flow = doubled(Pipeline::from_iter([1, 2]));
/// assert_eq!(flow.collect().wait().unwrap(), [2, 4]);
/// ```
pub trait Stage {
    /// What the stage emits.
    type Item;

    /// Polls for the next item. `Ready(None)` is the end, and every later poll returns it again.
    /// The end means that all stages before have been driven, too, and so does `Pending`, unless
    /// the budget is spent.
    #[doc(hidden)]
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<Self::Item>>>;

    /// Goes on as far as possible while no later stage has room for an item.
    #[doc(hidden)]
    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>);

    /// Polls for the next item on behalf of `id`, the next stage, and counts it there.
    #[doc(hidden)]
    #[inline]
    fn pull(
        &mut self,
        id: StageId,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<Self::Item>>>
    where
        Self: Sized,
    {
        let polled = self.poll_next(cx, flow);
        match &polled {
            Poll::Ready(Some(_)) => flow.ledger.meter(id).stats.received += 1,
            Poll::Ready(None) | Poll::Pending => flow.ledger.starved(id),
        }
        polled
    }
}

impl<S: Stage + ?Sized> Stage for Box<S> {
    type Item = S::Item;

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<S::Item>>> {
        (**self).poll_next(cx, flow)
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        (**self).drive(cx, flow);
    }
}
