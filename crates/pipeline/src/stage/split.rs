//! The stage that divides a flow into two branches, which meet again.

use core::task::{Context, Poll};

use tidegate_core::{
    lock::Lock,
    primitive::Arc,
    unwind::{Foreign, contain},
};

use crate::{
    debug::debug_by_name,
    flow::{Flow, Item, Stage, StageId},
    pipeline::Pipeline,
};

use super::merge::Merge;

/// A stage that sends each item to one of two branches, and emits what comes out of them.
pub struct Split<S: Stage, F, A, B> {
    upstream: S,
    goes_first: F,
    branches: Merge<A, B>,
    slots: [Branch<S::Item>; 2],
    has_ended: bool,
    id: StageId,
}

debug_by_name!(Split<S: Stage, F, A, B>);

/// The beginning of a branch: where an item waits until the branch takes it. The split and the
/// branch belong to one flow, so the lock is never contended.
pub struct Branch<I>(Arc<Lock<(Option<Item<I>>, bool)>>);

debug_by_name!(Branch<I>);

impl<I> Drop for Branch<I> {
    /// Drops the item, and contains its panic: the item in the other slot may panic, too.
    fn drop(&mut self) {
        let item = self.0.with(|(item, _)| item.take());
        contain(|| drop(item));
    }
}

impl<I> Branch<I> {
    fn is_free(&self) -> bool {
        self.0.with(|(item, _)| item.is_none())
    }

    fn put(&self, item: Item<I>) {
        self.0.with(|(place, _)| *place = Some(item));
    }

    fn end(&self) {
        self.0.with(|(_, has_ended)| *has_ended = true);
    }
}

impl<I> Stage for Branch<I> {
    type Item = I;

    fn poll_next(&mut self, _cx: &mut Context<'_>, _flow: &mut Flow<'_>) -> Poll<Option<Item<I>>> {
        self.0.with(|(item, has_ended)| match item.take() {
            None if !*has_ended => Poll::Pending,
            item => Poll::Ready(item),
        })
    }

    fn drive(&mut self, _cx: &mut Context<'_>, _flow: &mut Flow<'_>) {}
}

impl<S, F, A, B> Split<S, F, A, B>
where
    S: Stage,
    F: FnMut(&S::Item) -> bool,
{
    /// Puts items into the slots as long as both are free. Returns whether it has put one or ended
    /// the branches.
    fn fill(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        let mut has_brought = false;
        while !self.has_ended && self.slots.iter().all(Branch::is_free) {
            match self.upstream.pull(self.id, cx, flow) {
                Poll::Ready(Some(Item { lineage, value })) => {
                    let value = Foreign::new(value);
                    let (lineage, first) =
                        flow.work(self.id, lineage, || (self.goes_first)(&value));
                    let item = Item { lineage, value: value.into_inner() };
                    self.slots[usize::from(!first)].put(item);
                    has_brought = true;
                }
                Poll::Ready(None) => {
                    self.has_ended = true;
                    self.slots.iter().for_each(Branch::end);
                    has_brought = true;
                }
                Poll::Pending => break,
            }
        }
        has_brought
    }
}

impl<S, F, A, B> Stage for Split<S, F, A, B>
where
    S: Stage,
    F: FnMut(&S::Item) -> bool,
    A: Stage,
    B: Stage<Item = A::Item>,
{
    type Item = A::Item;

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<A::Item>>> {
        self.fill(cx, flow);
        loop {
            match self.branches.poll_next(cx, flow) {
                Poll::Ready(Some(Item { lineage, value })) => {
                    return flow.ledger.emit(self.id, lineage, value);
                }
                // The branches have taken an item, and `fill` has put the next one, for either
                // branch; or it has told them of the end.
                Poll::Pending if self.fill(cx, flow) => {}
                Poll::Pending => {
                    // While a slot is taken, `fill` does not poll the stages before: drive them.
                    if !self.slots.iter().all(Branch::is_free) {
                        self.upstream.drive(cx, flow);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(None),
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        loop {
            let has_brought = self.fill(cx, flow);
            self.branches.drive(cx, flow);
            if !has_brought {
                return self.upstream.drive(cx, flow);
            }
        }
    }
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a fork. Items for which `goes_first` returns true go through the stages that `first`
    /// adds, the others through those that `second` adds. The branches then join again: they emit
    /// each item as it comes.
    ///
    /// If a branch has no room for its next item, that item holds up those behind it, whichever
    /// branch they go to.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let flow = Pipeline::from_iter(1..=4).split(
    ///     "even?",
    ///     |n| n % 2 == 0,
    ///     |even| even.map("halve", |n| n / 2),
    ///     |odd| odd.map("negate", |n| -n).filter("small", |n| *n > -3),
    /// );
    /// let mut items = flow.collect().wait().unwrap();
    /// items.sort_unstable();
    /// assert_eq!(items, [-1, 1, 2]);
    /// ```
    pub fn split<F, A, B>(
        mut self,
        name: &'static str,
        goes_first: F,
        first: impl FnOnce(Pipeline<'h, Branch<S::Item>, T>) -> Pipeline<'h, A, T>,
        second: impl FnOnce(Pipeline<'h, Branch<S::Item>, T>) -> Pipeline<'h, B, T>,
    ) -> Pipeline<'h, Split<S, F, A, B>, T>
    where
        F: FnMut(&S::Item) -> bool,
        A: Stage,
        B: Stage<Item = A::Item>,
    {
        let id = self.flow.ledger.add_stage(name, 1);
        let slots = [Branch(Arc::default()), Branch(Arc::default())];
        let Self { stages: upstream, flow, timer } = self;
        let Pipeline { stages: a, flow, timer } =
            first(Pipeline { stages: Branch(slots[0].0.clone()), flow, timer });
        let Pipeline { stages: b, flow, timer } =
            second(Pipeline { stages: Branch(slots[1].0.clone()), flow, timer });
        let branches = Merge::new(a, b);
        let stages = Split { upstream, goes_first, branches, slots, has_ended: false, id };
        Pipeline { stages, flow, timer }
    }
}
