//! The stage at the beginning: it reads a source.

use core::{
    future::Future,
    ops::Deref,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use futures_core::Stream;
use tidegate_core::{
    Closed, SystemClock,
    queue::{Queue, TryPopError},
    unwind::contain,
};

use crate::{
    debug::debug_by_name,
    flow::{Counting, Flow, Item, Stage, StageId},
    pipeline::Pipeline,
};

/// Reads a source, and ends when the source does or the flow stops.
pub struct Source<F> {
    // `None` once ended: what the source holds, such as its place in a wait queue, is dropped at
    // once.
    poll: Option<F>,
    is_at_work: bool,
    is_waiting: bool,
    id: StageId,
}

debug_by_name!(Source<F>);

impl<F> Source<F> {
    pub(crate) fn new(flow: &mut Flow<'_>, name: &'static str, poll: F) -> Self {
        let id = flow.ledger.add_stage(name, 1);
        flow.ledger.meter(id).counting = Counting::Asked;
        Self { poll: Some(poll), is_at_work: false, is_waiting: false, id }
    }

    /// Drops what the source has captured, which is foreign.
    #[cold]
    fn end(&mut self) {
        let poll = self.poll.take();
        contain(|| drop(poll));
    }
}

impl<F, I> Stage for Source<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<I>>,
{
    type Item = I;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> Poll<Option<Item<I>>> {
        if flow.ledger.is_stopping() || self.is_at_work {
            // The flow stops, or the last poll of the source has panicked, so that `is_at_work` is
            // still set.
            self.end();
        }
        let Some(poll) = &mut self.poll else { return Poll::Ready(None) };
        if !flow.ledger.has_room() || !flow.budget.spend(cx) {
            return Poll::Pending;
        }
        self.is_at_work = true;
        let polled = flow.read(self.id, || poll(cx));
        self.is_at_work = false;
        if !matches!(polled, Poll::Ready(Some(_))) {
            // Each call counts as one that emitted an item, unless it counts as skipped, as here.
            flow.ledger.meter(self.id).skipped += 1;
        }
        if polled.is_pending() != self.is_waiting {
            self.is_waiting = polled.is_pending();
            let waits = usize::from(self.is_waiting);
            flow.ledger.meter(self.id).set_in_flight(waits, waits);
        }
        if let Poll::Ready(None) = polled {
            self.end();
        }
        polled
    }

    fn drive(&mut self, _cx: &mut Context<'_>, _flow: &mut Flow<'_>) {}
}

impl<'h> Pipeline<'h, ()> {
    /// Begins a flow that reads an iterator, item by item as there is room.
    ///
    /// A panic in the iterator ends the source, and is an error of the stage `source`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// assert_eq!(Pipeline::from_iter(1..=3).collect().wait().unwrap(), [1, 2, 3]);
    /// ```
    #[expect(clippy::should_implement_trait, reason = "it takes part in no `collect`")]
    pub fn from_iter<I: IntoIterator>(
        items: I,
    ) -> Pipeline<'h, Source<impl FnMut(&mut Context<'_>) -> Poll<Option<I::Item>>>> {
        let mut items = items.into_iter();
        Self::from_poll(move |_: &mut Context<'_>| Poll::Ready(items.next()))
    }

    /// Begins a flow that reads a stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let squares = Pipeline::from_iter(1..=3).map("square", |n| n * n).into_stream();
    /// let flow = Pipeline::from_stream(squares).try_map("check", |square| square);
    /// assert_eq!(flow.collect().wait().unwrap(), [1, 4, 9]);
    /// ```
    pub fn from_stream<I: Stream>(
        stream: I,
    ) -> Pipeline<'h, Source<impl FnMut(&mut Context<'_>) -> Poll<Option<I::Item>>>> {
        let mut stream = Box::pin(stream);
        Self::from_poll(move |cx: &mut Context<'_>| stream.as_mut().poll_next(cx))
    }

    /// Begins a flow that pops a queue, and ends when the queue is closed and empty.
    ///
    /// Any thread or task may feed the queue, and so may the flow's own last stage. Pass the queue
    /// by reference or as an `Arc`. Items still in the queue when the flow stops stay there.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Queue, Wait};
    ///
    /// // Everything that can be reached from 1 by doubling, up to 8.
    /// let frontier = Queue::unbounded();
    /// frontier.try_push(1).unwrap();
    /// let run = Pipeline::from_queue(&frontier).for_each(|n| match 2 * n {
    ///     twice @ ..=8 => drop(frontier.try_push(twice)),
    ///     _ => drop(frontier.close()),
    /// });
    /// assert_eq!(run.wait().unwrap().succeeded, 4);
    /// ```
    pub fn from_queue<I, Q>(
        queue: Q,
    ) -> Pipeline<'h, Source<impl FnMut(&mut Context<'_>) -> Poll<Option<I>>>>
    where
        Q: Deref<Target = Queue<I>> + Clone,
    {
        let mut waiting = Box::pin(None);
        Self::from_poll(move |cx: &mut Context<'_>| {
            if waiting.is_none() {
                match queue.try_pop() {
                    Ok(item) => return Poll::Ready(Some(item)),
                    Err(TryPopError::Closed) => return Poll::Ready(None),
                    Err(TryPopError::Empty) => waiting.set(Some(pop(queue.clone()))),
                }
            }
            let Some(pop) = waiting.as_mut().as_pin_mut() else { return Poll::Pending };
            pop.poll(cx).map(|popped| {
                waiting.set(None);
                popped.ok()
            })
        })
    }

    fn from_poll<F, I>(poll: F) -> Pipeline<'h, Source<F>>
    where
        F: FnMut(&mut Context<'_>) -> Poll<Option<I>>,
    {
        let mut flow = Flow::new();
        let stages = Source::new(&mut flow, "source", poll);
        Pipeline { stages, flow, timer: SystemClock }
    }
}

async fn pop<I>(queue: impl Deref<Target = Queue<I>>) -> Result<I, Closed> {
    queue.pop().await
}
