//! The stage that joins two sources or branches.

use core::{
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use futures_core::Stream;

use crate::{
    debug::debug_by_name,
    flow::{Flow, Item, Stage},
    pipeline::Pipeline,
};

use super::source::Source;

/// A stage that emits what comes from two sides, each item as it comes.
pub struct Merge<A, B> {
    first: A,
    second: B,
    /// Whether the second side is polled first. The side that emitted last is polled last, unless
    /// the schedule is drawn at random.
    is_seconds_turn: bool,
}

debug_by_name!(Merge<A, B>);

impl<A, B> Merge<A, B> {
    pub(crate) fn new(first: A, second: B) -> Self {
        Self { first, second, is_seconds_turn: false }
    }
}

impl<A: Stage, B: Stage<Item = A::Item>> Stage for Merge<A, B> {
    type Item = A::Item;

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<A::Item>>> {
        let mut is_pending = false;
        self.is_seconds_turn ^= flow.draws_one_in(2);
        for _ in 0..2 {
            let polled = match self.is_seconds_turn {
                true => self.second.poll_next(cx, flow),
                false => self.first.poll_next(cx, flow),
            };
            self.is_seconds_turn = !self.is_seconds_turn;
            match polled {
                Poll::Ready(Some(item)) => return Poll::Ready(Some(item)),
                Poll::Ready(None) => {}
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(None) }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        self.first.drive(cx, flow);
        self.second.drive(cx, flow);
    }
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a second source, called `name`. The items of the flow so far and those of `stream` go
    /// on together, each as it comes, and the flow ends when both have ended. While both have
    /// items, the sides take turns.
    ///
    /// Items are numbered as they are read, from both sides. To merge another flow, pass its
    /// [`into_stream`](Self::into_stream).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let high = Pipeline::from_iter([10, 20, 30]).into_stream();
    /// let flow = Pipeline::from_iter([1, 2])
    ///     .map("low", Ok)
    ///     .merge("high", high)
    ///     .try_map("check", |item| item);
    /// assert_eq!(flow.collect().wait().unwrap(), [1, 10, 2, 20, 30]);
    /// ```
    pub fn merge<I: Stream<Item = S::Item>>(
        mut self,
        name: &'static str,
        stream: I,
    ) -> Pipeline<'h, Merge<S, Source<impl FnMut(&mut Context<'_>) -> Poll<Option<S::Item>>>>, T>
    {
        let mut stream = Box::pin(stream);
        let poll = move |cx: &mut Context<'_>| -> Poll<Option<S::Item>> {
            Pin::as_mut(&mut stream).poll_next(cx)
        };
        let source = Source::new(&mut self.flow, name, poll);
        let stages = Merge::new(self.stages, source);
        Pipeline { stages, flow: self.flow, timer: self.timer }
    }
}
