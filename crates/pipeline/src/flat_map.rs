//! One item into several.

use core::task::{Context, Poll, ready};

use crate::{
    flow::{Flow, Site, contain},
    parcel::{Fate, Parcel, Ticket},
    pipeline::Pipeline,
    stage::{Stage, debug_by_name},
};

/// A stage that turns each item into any number of items. It makes them one by one, as there is room.
pub struct FlatMap<S, F, I> {
    upstream: S,
    f: F,
    /// What the current item is turned into, and the part of its ticket that ends with it.
    current: Option<(I, Ticket)>,
    site: Site,
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
    ) -> Poll<Option<Parcel<I::Item>>> {
        loop {
            if let Some((items, hold)) = &mut self.current {
                if !flow.spend(cx) {
                    return Poll::Pending;
                }
                let next = flow.call(self.site, || items.next());
                if let Ok(Some(value)) = next {
                    return flow.give(self.site, hold.part(), value);
                }
                let hold = self.current.take().map(|(items, hold)| {
                    contain(|| drop(items));
                    hold
                });
                match (next, hold) {
                    (Err(panic), Some(hold)) => flow.fail(self.site, hold, panic),
                    (_, Some(hold)) => flow.settle(hold, Fate::Skipped),
                    (_, None) => {}
                }
            }
            let Some(Parcel { ticket, value }) =
                ready!(flow.pull(self.site, &mut self.upstream, cx))
            else {
                return Poll::Ready(None);
            };
            match flow.call(self.site, || (self.f)(value).into_iter()) {
                Ok(items) => self.current = Some((items, ticket.divide())),
                Err(panic) => flow.fail(self.site, ticket, panic),
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        self.upstream.drive(cx, flow);
    }
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a stage that turns each item into any number of items. An item that becomes none is counted as skipped.
    ///
    /// When the flow is stopped, an item under way is brought to the end like any other: all that it becomes is made
    /// first. Where that is very much or without end, [`take`](Iterator::take) some of it, or stop with
    /// [`AfterStop::Abandon`](crate::AfterStop::Abandon), which leaves the rest unmade.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let letters = Pipeline::from_iter(["ti", "", "de"]).flat_map("letters", str::chars);
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
        self.then(name, 1, |upstream, site| FlatMap { upstream, f, current: None, site })
    }
}
