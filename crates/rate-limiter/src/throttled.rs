//! Readers, writers and streams that a limiter keeps within a rate of bytes or items.
//!
//! Each operation takes the tokens that it may need, tries to read or write, and refunds the tokens
//! that it did not use. So the rate is kept at every instant, no asynchronous operation holds
//! tokens while it waits for its peer, and a dropped future loses neither bytes nor tokens.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(any(feature = "futures-io", feature = "stream", feature = "tokio-io"))]
mod pause;
#[cfg(any(feature = "futures-io", feature = "stream", feature = "tokio-io"))]
mod poll;
mod refund;
#[cfg(feature = "std")]
mod std_io;
#[cfg(feature = "stream")]
mod stream;
#[cfg(feature = "tokio-io")]
mod tokio_io;

use core::fmt;

use pin_project_lite::pin_project;
use tidegate_core::Timer;

#[cfg(any(feature = "futures-io", feature = "stream", feature = "tokio-io"))]
use self::pause::Pauses;
use crate::{algorithm::Algorithm, limiter::Limiter};

pin_project! {
    /// A reader, a writer or a stream that a limiter keeps within a rate: a token is a byte or an
    /// item.
    ///
    /// | inner | feature | a token is |
    /// | --- | --- | --- |
    /// | `std::io::Read`, `Write` | `std` | a byte; the thread waits |
    /// | `futures_io::AsyncRead`, `AsyncWrite` | `futures-io` | a byte |
    /// | `tokio::io::AsyncRead`, `AsyncWrite` | `tokio-io` | a byte |
    /// | `futures_core::Stream` | `stream` | an item |
    ///
    /// Many of them can share one limiter. One operation moves at most a burst of bytes, so a burst
    /// of a few kilobytes is a good choice.
    ///
    /// # Fairness
    ///
    /// A reader does not know whether it will be polled again, as its pending call may have been
    /// dropped. So the asynchronous forms do not join the wait queue. Each sleeps until its tokens
    /// are due, and the sleeps end in the order of arrival. Whenever one of them is polled, even
    /// before its sleep ends, it takes the available tokens. A reader that is not polled any more
    /// keeps no other reader from available tokens, and delays those after it once, by the time of
    /// one token. Waiters in the queue ([`acquire`](Limiter::acquire), and the blocking forms) go
    /// first.
    ///
    /// # Cancel safety
    ///
    /// A pending poll holds no tokens, no bytes and no slot in the queue. The next call may have
    /// another buffer, or not come at all. Reads and writes do not wait for each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::{Read, Write}, time::{Duration, Instant}};
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Throttled};
    ///
    /// // A megabyte a second, in chunks of at most a kilobyte.
    /// let limiter = RateLimiter::new(Quota::per_second(1_000_000).burst(1000));
    /// let start = Instant::now();
    /// let mut text = Vec::new();
    /// Throttled::new(&[7; 5000][..], &limiter).read_to_end(&mut text)?;
    /// assert_eq!(text.len(), 5000);
    /// assert!(start.elapsed() >= Duration::from_millis(4));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub struct Throttled<'l, T, A, C>
    where
        A: Algorithm,
        C: Timer,
    {
        #[pin]
        inner: T,
        limiter: &'l Limiter<A, C>,
        pauses: Pauses<'l, C>,
    }
}

impl<'l, T, A: Algorithm, C: Timer> Throttled<'l, T, A, C> {
    /// Keeps `inner` within the rate of `limiter`.
    pub const fn new(inner: T, limiter: &'l Limiter<A, C>) -> Self {
        Self { inner, limiter, pauses: Pauses::new() }
    }

    /// Returns the inner reader, writer or stream.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Returns the inner reader, writer or stream by value.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// Stands in where there are no asynchronous forms, and so no pauses: threads wait in their calls.
#[cfg(not(any(feature = "futures-io", feature = "stream", feature = "tokio-io")))]
struct Pauses<'l, C>(core::marker::PhantomData<&'l fn(C)>);

#[cfg(not(any(feature = "futures-io", feature = "stream", feature = "tokio-io")))]
impl<C> Pauses<'_, C> {
    const fn new() -> Self {
        Self(core::marker::PhantomData)
    }
}

impl<T, A: Algorithm, C: Timer> fmt::Debug for Throttled<'_, T, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}
