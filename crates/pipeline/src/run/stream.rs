//! The flow as a stream.

use core::{
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use tidegate_core::unwind::Foreign;

use crate::{
    debug::debug_by_name,
    flow::{Stage, Stopped},
    pipeline::Pipeline,
};

use super::engine::Engine;

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Runs the flow as a stream of what comes out.
    ///
    /// The last item is an error if an error or the token stopped the flow. The flow moves only
    /// while the stream is polled, so work that takes long belongs in a stage, and not between two
    /// polls.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::poll_fn, pin::Pin};
    /// use futures_core::Stream;
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let mut stream = Pipeline::from_iter([1, 2]).into_stream();
    /// let mut next = || poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).wait();
    /// assert_eq!((next().unwrap().unwrap(), next().unwrap().unwrap()), (1, 2));
    /// assert!(next().is_none());
    /// ```
    pub fn into_stream(self) -> IntoStream<'h, S> {
        IntoStream { engine: Engine::new(self) }
    }
}

/// Stream of [`Pipeline::into_stream`].
#[must_use = "streams do nothing unless polled"]
pub struct IntoStream<'h, S> {
    engine: Engine<'h, S>,
}

// Stages are never pinned where they are: what has to be pinned lies in boxes.
impl<S> Unpin for IntoStream<'_, S> {}

impl<S: Stage> Stream for IntoStream<'_, S> {
    type Item = Result<S::Item, Stopped>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.engine.is_over() {
            return Poll::Ready(None);
        }
        // `Foreign`, as the item is held while the clock is read, which is foreign code and may
        // panic.
        let mut next = None;
        let polled = self.engine.poll(cx, |item| {
            next = Some(Foreign::new(item));
            ControlFlow::Break(())
        });
        match polled {
            Poll::Pending => match next {
                Some(item) => Poll::Ready(Some(Ok(item.into_inner()))),
                None => Poll::Pending,
            },
            Poll::Ready(end) => Poll::Ready(end.err().map(Err)),
        }
    }
}

debug_by_name!(IntoStream<'h, S>);
