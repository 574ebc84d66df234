//! The stage that makes several items of one.

use core::task::{Context, Poll, ready};

use tidegate_core::unwind::contain;

use crate::{
    debug::debug_by_name,
    flow::{Flow, Item, ItemOutcome, Lineage, Stage, StageId},
    pipeline::Pipeline,
};

/// A stage that turns each item into any number of items, one by one, as there is room.
pub struct FlatMap<S, F, I> {
    upstream: S,
    f: F,
    /// The iterator of the current item, and a part of its lineage that is settled when the
    /// iterator ends.
    current: Option<(I, Lineage)>,
    id: StageId,
}

debug_by_name!(FlatMap<S, F, I>);

impl<S, F, I> Stage for FlatMap<S, F, I::IntoIter>
where
    S: Stage,
    F: FnMut(S::Item) -> I,
    I: IntoIterator,
{
    type Item = I::Item;

    #[inline]
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<I::Item>>> {
        loop {
            if let Some((items, hold)) = &mut self.current {
                if !flow.budget.spend(cx) {
                    return Poll::Pending;
                }
                let next = flow.call(self.id, || items.next());
                if let Ok(Some(value)) = next {
                    return flow.ledger.emit(self.id, hold.part(), value);
                }
                let hold = self.current.take().map(|(items, hold)| {
                    contain(|| drop(items));
                    hold
                });
                match (next, hold) {
                    (Err(panic), Some(hold)) => flow.ledger.fail(self.id, hold, panic),
                    (_, Some(hold)) => flow.ledger.settle(hold, ItemOutcome::Skipped),
                    (_, None) => {}
                }
            }
            let Some(Item { lineage, value }) = ready!(self.upstream.pull(self.id, cx, flow))
            else {
                return Poll::Ready(None);
            };
            match flow.call(self.id, || (self.f)(value).into_iter()) {
                Ok(items) => self.current = Some((items, lineage.divide())),
                Err(panic) => flow.ledger.fail(self.id, lineage, panic),
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        self.upstream.drive(cx, flow);
    }
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a stage that turns each item into any number of items. An item that becomes none is
    /// counted as skipped.
    ///
    /// By default, a flow that stops brings the current item to the end like any other: it still
    /// makes all that the item becomes. If that is very much or without end,
    /// [`take`](Iterator::take) a part of it, or stop with
    /// [`AfterStop::Abandon`](crate::AfterStop::Abandon), which does not make the rest.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let words = Pipeline::from_iter(["ti", "", "de"]);
    /// let letters = words.flat_map("letters", str::chars);
    /// assert_eq!(letters.collect().wait().unwrap(), ['t', 'i', 'd', 'e']);
    /// ```
    pub fn flat_map<F, I>(
        self,
        name: &'static str,
        f: F,
    ) -> Pipeline<'h, FlatMap<S, F, I::IntoIter>, T>
    where
        F: FnMut(S::Item) -> I,
        I: IntoIterator,
    {
        self.then(name, 1, |upstream, id| FlatMap { upstream, f, current: None, id })
    }
}
