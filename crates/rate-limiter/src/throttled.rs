//! Bytes per second, items per second.
//!
//! Each operation takes the tokens that it may need, tries, and gives back what it did not use. So the rate is kept at
//! every instant, nobody holds tokens while it waits for its peer, and a dropped future loses neither bytes nor tokens.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(any(feature = "futures-io", feature = "stream", feature = "tokio-io"))]
mod pause;
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
use tidegate_core::{Clock, Timer, unwind};

#[cfg(any(feature = "futures-io", feature = "stream", feature = "tokio-io"))]
use self::pause::Pauses;
use crate::{algorithm::Algorithm, grant::Grant, limiter::Limiter};

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
    /// Many of them can share one limiter. One operation moves at most a burst of bytes, so that a burst of a few kilobytes is
    /// a good choice.
    ///
    /// # Fairness
    ///
    /// A reader cannot know whether anybody will poll it again: the call that was pending may have been dropped. So the
    /// asynchronous forms do not stand in line. Each sleeps until its tokens are due, one behind the other in the order in which
    /// they came; then, and whenever it is polled, it takes what is there. One that is not polled any more keeps nobody from tokens
    /// that are there, and puts those behind it off by one token's time at most, once. Whoever stands in line
    /// ([`acquire`](Limiter::acquire), and the blocking forms) goes first.
    ///
    /// # Cancel safety
    ///
    /// A poll that is pending holds no tokens, no bytes and no place, and binds no later one: the next call may come with
    /// another buffer, or none. Reading and writing do not wait for each other.
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
        pauses: Pauses<'l, C>,
    }
}

impl<'l, T, A: Algorithm, C: Timer> Throttled<'l, T, A, C> {
    /// Keeps `inner` within the rate of `limiter`.
    pub const fn new(inner: T, limiter: &'l Limiter<A, C>) -> Self {
        Self { inner, limiter, pauses: Pauses::new() }
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

/// Only threads wait: each in its call.
#[cfg(not(any(feature = "futures-io", feature = "stream", feature = "tokio-io")))]
struct Pauses<'l, C>(core::marker::PhantomData<&'l fn(C)>);

#[cfg(not(any(feature = "futures-io", feature = "stream", feature = "tokio-io")))]
impl<C> Pauses<'_, C> {
    const fn new() -> Self {
        Self(core::marker::PhantomData)
    }
}

/// Tokens that go back unless they are used: also when the inner one panics.
struct Refund<'l, A: Algorithm, C: Clock> {
    limiter: &'l Limiter<A, C>,
    grant: Grant,
    unused: u32,
}

impl<'l, A: Algorithm, C: Clock> Refund<'l, A, C> {
    const fn new(limiter: &'l Limiter<A, C>, grant: Grant) -> Self {
        Self { limiter, grant, unused: grant.tokens }
    }

    const fn tokens(&self) -> usize {
        self.unused as usize
    }

    /// Gives back what is more than `used`.
    fn but(mut self, used: usize) {
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        self.unused = self.unused.saturating_sub(used);
    }
}

impl<A: Algorithm, C: Clock> Drop for Refund<'_, A, C> {
    fn drop(&mut self) {
        if self.unused > 0 {
            let Limiter { shared, cell } = self.limiter;
            // With its age: what has come back meanwhile, or belongs to a window that is over, is not given out again.
            // The clock is foreign code, and this may be the end of a read that panicked.
            unwind::in_drop(|| {
                shared.refund_of(cell, &self.grant, self.unused, || shared.clock.now());
            });
        }
    }
}

impl<T, A: Algorithm, C: Timer> fmt::Debug for Throttled<'_, T, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}
