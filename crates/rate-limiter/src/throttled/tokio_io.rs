//! Readers and writers of tokio.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::io::{Error, Result};

use tidegate_core::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Throttled, poll::counted};
use crate::algorithm::Algorithm;

impl<T: AsyncRead, A: Algorithm, C: Timer> AsyncRead for Throttled<'_, T, A, C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let read = self.poll_with(
            cx,
            |pauses| &mut pauses.reading,
            buf.remaining(),
            |inner, cx, most| {
                // Passes on a part of the buffer, as many bytes long as there are tokens.
                let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
                let result = inner.poll_read(cx, &mut part);
                let bytes = part.filled().len();
                buf.advance(bytes);
                (result, bytes)
            },
        );
        Poll::Ready(ready!(read).map_err(Error::other)?)
    }
}

impl<T: AsyncWrite, A: Algorithm, C: Timer> AsyncWrite for Throttled<'_, T, A, C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = self.poll_with(
            cx,
            |pauses| &mut pauses.writing,
            buf.len(),
            |inner, cx, most| counted(inner.poll_write(cx, &buf[..most])),
        );
        Poll::Ready(ready!(written).map_err(Error::other)?)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}
