//! One way into two, which meet again.

use core::task::{Context, Poll};

use tidegate_core::{lock::Lock, primitive::Arc};

use crate::{
    flow::{Flow, Foreign, Site, contain},
    merge::Merge,
    parcel::Parcel,
    pipeline::Pipeline,
    stage::{Stage, debug_by_name},
};

/// A stage that sends each item one of two ways, and gives on what comes out of them.
pub struct Split<S: Stage, F, A, B> {
    upstream: S,
    goes_first: F,
    ways: Merge<A, B>,
    doors: [Door<S::Item>; 2],
    has_ended: bool,
    site: Site,
}

impl<S: Stage, F, A, B> core::fmt::Debug for Split<S, F, A, B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Split").finish_non_exhaustive()
    }
}

/// The begin of one of the two ways.
pub struct Way<I> {
    door: Door<I>,
}

debug_by_name!(Way<I>);

/// Where an item waits until its way takes it. Both sides belong to one flow, so nobody ever waits for the lock.
struct Door<I>(Arc<Lock<(Option<Parcel<I>>, bool)>>);

impl<I> Drop for Door<I> {
    /// The item is foreign, and dropped beside the other door's.
    fn drop(&mut self) {
        let item = self.0.with(|(item, _)| item.take());
        contain(|| drop(item));
    }
}

impl<I> Door<I> {
    fn new() -> Self {
        Self(Arc::new(Lock::new((None, false))))
    }

    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    fn is_free(&self) -> bool {
        self.0.with(|(item, _)| item.is_none())
    }

    fn put(&self, parcel: Parcel<I>) {
        self.0.with(|(item, _)| *item = Some(parcel));
    }

    fn end(&self) {
        self.0.with(|(_, has_ended)| *has_ended = true);
    }

    fn take(&self) -> Poll<Option<Parcel<I>>> {
        self.0.with(|(item, has_ended)| match item.take() {
            None if !*has_ended => Poll::Pending,
            item => Poll::Ready(item),
        })
    }
}

impl<I> Stage for Way<I> {
    type Item = I;

    fn poll_next(
        &mut self,
        _cx: &mut Context<'_>,
        _flow: &mut Flow<'_>,
    ) -> Poll<Option<Parcel<I>>> {
        self.door.take()
    }

    fn drive(&mut self, _cx: &mut Context<'_>, _flow: &mut Flow<'_>) {}
}

impl<S, F, A, B> Split<S, F, A, B>
where
    S: Stage,
    F: FnMut(&S::Item) -> bool,
{
    /// Brings items to the doors as long as both are free. Returns whether it has brought any.
    fn fill(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        let mut has_brought = false;
        while !self.has_ended && self.doors.iter().all(Door::is_free) {
            match flow.pull(self.site, &mut self.upstream, cx) {
                Poll::Ready(Some(Parcel { ticket, value })) => {
                    let value = Foreign::new(value);
                    let (ticket, first) =
                        flow.work(self.site, ticket, || (self.goes_first)(&value));
                    let parcel = Parcel { ticket, value: value.into_inner() };
                    self.doors[usize::from(!first)].put(parcel);
                    has_brought = true;
                }
                Poll::Ready(None) => {
                    self.has_ended = true;
                    self.doors.iter().for_each(Door::end);
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
    ) -> Poll<Option<Parcel<A::Item>>> {
        self.fill(cx, flow);
        loop {
            match self.ways.poll_next(cx, flow) {
                Poll::Ready(Some(Parcel { ticket, value })) => {
                    return flow.give(self.site, ticket, value);
                }
                // What the ways have taken makes room for more, and that may be for either.
                Poll::Pending if self.fill(cx, flow) => {}
                nothing => return nothing,
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        loop {
            let has_brought = self.fill(cx, flow);
            self.ways.drive(cx, flow);
            if !has_brought {
                return self.upstream.drive(cx, flow);
            }
        }
    }
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a fork: items for which `goes_first` is true go through the stages that `first` adds, the others through those
    /// that `second` adds, and they go on together, each as it comes.
    ///
    /// An item that its way has no room for holds up those behind it, whichever way they go.
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
        first: impl FnOnce(Pipeline<'h, Way<S::Item>, T>) -> Pipeline<'h, A, T>,
        second: impl FnOnce(Pipeline<'h, Way<S::Item>, T>) -> Pipeline<'h, B, T>,
    ) -> Pipeline<'h, Split<S, F, A, B>, T>
    where
        F: FnMut(&S::Item) -> bool,
        A: Stage,
        B: Stage<Item = A::Item>,
    {
        let site = self.flow.add_stage(name, 1);
        let doors = [Door::new(), Door::new()];
        let way = |door: &Door<_>| Way { door: door.clone() };
        let Self { stages: upstream, flow, timer } = self;
        let Pipeline { stages: a, flow, timer } =
            first(Pipeline { stages: way(&doors[0]), flow, timer });
        let Pipeline { stages: b, flow, timer } =
            second(Pipeline { stages: way(&doors[1]), flow, timer });
        let ways = Merge::new(a, b);
        let stages = Split { upstream, goes_first, ways, doors, has_ended: false, site };
        Pipeline { stages, flow, timer }
    }
}
