//! Bytes per second, items per second.
//!
//! Each operation takes the tokens that it may need, tries, and gives back what it did not use. So the rate is kept at
//! every instant, nobody holds tokens while it waits for its peer, and a dropped future loses neither bytes nor tokens.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(any(feature = "futures-io", feature = "stream", feature = "tokio-io"))]
mod poll;
#[cfg(feature = "std")]
mod std_io;
#[cfg(feature = "stream")]
mod stream;
#[cfg(feature = "tokio-io")]
mod tokio_io;

use core::fmt;

use pin_project_lite::pin_project;
use tidegate_core::Timer;

use crate::{acquire::Acquire, algorithm::Algorithm, limiter::Limiter};

pin_project! {
    /// A reader, a writer or a stream that is kept within the rate of a limiter: a token is a byte, or an item.
    ///
    /// | inner | feature | a token is |
    /// | --- | --- | --- |
    /// | `std::io::Read`, `Write` | `std` | a byte; the thread waits |
    /// | `futures_io::AsyncRead`, `AsyncWrite` | `futures-io` | a byte |
    /// | `tokio::io::AsyncRead`, `AsyncWrite` | `tokio-io` | a byte |
    /// | `futures_core::Stream` | `stream` | an item |
    ///
    /// Many of them can share one limiter; they are served in the order in which they came. One operation moves at most a
    /// burst of bytes, so that a burst of a few kilobytes is a good choice.
    ///
    /// # Cancel safety
    ///
    /// A poll that is pending holds no tokens and no bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::{Read, Write}, time::{Duration, Instant}};
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Throttled};
    ///
    /// // A megabyte a second, in chunks of at most a kilobyte.
    /// let limiter = RateLimiter::new(Quota::per_second(1_000_000)?.burst(1000)?);
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
        #[pin]
        acquire: Option<Acquire<'l, A, C>>,
    }
}

impl<'l, T, A: Algorithm, C: Timer> Throttled<'l, T, A, C> {
    /// Keeps `inner` within the rate of `limiter`.
    pub const fn new(inner: T, limiter: &'l Limiter<A, C>) -> Self {
        Self { inner, limiter, acquire: None }
    }

    /// Returns what is kept within the rate.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Takes it out.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

fn clamped(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Tokens that go back unless they are used: also when the inner one panics.
struct Refund<'l, A: Algorithm, C> {
    limiter: &'l Limiter<A, C>,
    tokens: u32,
}

impl<A: Algorithm, C> Refund<'_, A, C> {
    /// Gives back what is more than `used`.
    fn but(mut self, used: usize) {
        self.tokens = self.tokens.saturating_sub(clamped(used));
    }
}

impl<A: Algorithm, C> Drop for Refund<'_, A, C> {
    fn drop(&mut self) {
        if self.tokens > 0 {
            self.limiter.refund(self.tokens);
        }
    }
}

impl<T, A: Algorithm, C: Timer> fmt::Debug for Throttled<'_, T, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled").field("acquire", &self.acquire).finish_non_exhaustive()
    }
}
