//! Readers and writers of `futures-io`.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::io::{Error, Result};

use ::futures_io::{AsyncRead, AsyncWrite};
use tidegate_core::Timer;

use super::{Throttled, poll::counted};
use crate::algorithm::Algorithm;

impl<T: AsyncRead, A: Algorithm, C: Timer> AsyncRead for Throttled<'_, T, A, C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        let read = self.poll_with(
            cx,
            |pauses| &mut pauses.reading,
            buf.len(),
            |inner, cx, most| counted(inner.poll_read(cx, &mut buf[..most])),
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

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_close(cx)
    }
}
