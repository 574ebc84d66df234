//! Streams.

use core::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tidegate_core::Timer;

use super::Throttled;
use crate::algorithm::Algorithm;

/// Polls the inner stream only when a token for its item is available.
impl<T: Stream, A: Algorithm, C: Timer> Stream for Throttled<'_, T, A, C> {
    type Item = T::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        let next = self.poll_with(
            cx,
            |pauses| &mut pauses.reading,
            1,
            |inner, cx, _| {
                let item = inner.poll_next(cx);
                let used = usize::from(matches!(item, Poll::Ready(Some(_))));
                (item, used)
            },
        );
        // A request for one token is never refused.
        next.map(|item| item.unwrap_or(None))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}
