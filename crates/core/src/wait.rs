//! How to wait: the same methods for every operation.
//!
//! Every operation of this workspace is one future, and [`Wait`] is implemented for every future.
//! So the caller picks:
//!
//! ```text
//! operation()   .or_cancelled(&token)    .await               in any runtime
//!               .or_timeout(&timer, d)   .wait()              on any thread
//!                                        .wait_timeout(d)
//!                                        .wait_deadline(t)
//! ```
//!
//! A blocked thread is an executor of one future. Dropping a future cancels it, and a timed-out one
//! is dropped.

#[cfg(feature = "std")]
pub(crate) mod driver;
mod or;
#[cfg(feature = "std")]
pub mod spin;

use core::{future::Future, task::Context, time::Duration};

pub use self::or::{OrCancelled, OrTimeout};
use crate::{cancel::CancelToken, time::Timer};

/// Returns whether this poll may spin: it is the first one of a thread that has nothing else to do,
/// and another thread may run meanwhile.
///
/// If so, a future may check its condition a few times more before it registers anywhere; if one of
/// these checks succeeds, that saves a wake-up. A poll with
/// [`Waker::noop`](core::task::Waker::noop) looks like such a first poll.
#[cfg(feature = "std")]
pub fn may_spin(cx: &Context<'_>) -> bool {
    driver::is_probe(cx.waker()) && crate::primitive::may_spin()
}

/// Returns false: without std there are no threads.
#[cfg(not(feature = "std"))]
pub fn may_spin(_cx: &Context<'_>) -> bool {
    false
}

/// Returns half the number of polls for which this thread, by its latest waits, would spin before
/// it parks. Returns 0 unless the poll [may spin](may_spin).
///
/// For a future whose registration is expensive for others: it checks its condition several times,
/// with that many [`spin_loop`](core::hint::spin_loop)s in all between the checks, and registers
/// only if all checks fail.
#[cfg(feature = "std")]
pub fn spin_polls(cx: &Context<'_>) -> u32 {
    if may_spin(cx) { driver::polls_that_pay() / 2 } else { 0 }
}

/// Returns 0: without std there are no threads.
#[cfg(not(feature = "std"))]
pub fn spin_polls(_cx: &Context<'_>) -> u32 {
    0
}

/// Waiting for a future on a thread, and giving a wait up.
///
/// Implemented for every future.
///
/// # Inside an async runtime
///
/// The waiting methods never panic there, but they block the thread they are called on, and with it
/// every task that runs on it. Calling them in a task is a mistake unless the runtime was told that
/// the thread may block (`block_in_place`, `spawn_blocking`, `unblock`). On a single-threaded
/// runtime, waiting for another task of the same runtime is a deadlock.
///
/// The other way round, a future that uses a runtime's own I/O or timers needs that runtime to run
/// somewhere; the futures of this workspace need none.
///
/// # Cost
///
/// A future that is ready at its first poll costs no parker, no clock read and no allocation. For
/// any other future the thread takes a parker, and keeps it for the next wait. Before it parks, the
/// thread spins for as long as that has paid lately: at most some 50 µs, and hardly ever if its
/// waits are longer. On one processor it never spins.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{TimedOut, Wait};
///
/// assert_eq!(async { 7 }.wait(), 7);
/// let never = core::future::pending::<()>();
/// assert_eq!(never.wait_timeout(Duration::from_millis(1)), Err(TimedOut));
/// ```
pub trait Wait: Future + Sized {
    /// Blocks the calling thread until the future is ready.
    ///
    /// # Panics
    ///
    /// Panics only if the future panics.
    #[cfg(feature = "std")]
    #[inline]
    fn wait(self) -> Self::Output {
        match driver::drive(self, None) {
            Ok(output) => output,
            Err(_) => unreachable!("a wait without a deadline does not time out"),
        }
    }

    /// Blocks the calling thread until the future is ready or `duration` has passed.
    ///
    /// The future is polled first; if it is ready, no clock is read. The time is measured from the
    /// end of that poll; zero means "only if it is ready now". A duration that is too long for an
    /// `Instant` means for ever.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::TimedOut) when the time is up. The future has been dropped then, which
    /// is how an operation is cancelled. If a grant and the expiry race, exactly one of them
    /// counts.
    #[cfg(feature = "std")]
    #[inline]
    fn wait_timeout(self, duration: Duration) -> Result<Self::Output, crate::TimedOut> {
        driver::drive(self, Some(driver::Limit::After(duration)))
    }

    /// Blocks the calling thread until the future is ready or `deadline` has come.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    #[cfg(feature = "std")]
    #[inline]
    fn wait_deadline(self, deadline: std::time::Instant) -> Result<Self::Output, crate::TimedOut> {
        driver::drive(self, Some(driver::Limit::At(deadline)))
    }

    /// Gives up with [`Cancelled`](crate::Cancelled) when `token` is cancelled.
    ///
    /// Each poll checks the token before it polls the future. So a token that is cancelled before
    /// the first poll keeps the future from starting.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_core::{CancelToken, Wait};
    ///
    /// let token = CancelToken::new();
    /// let wait = core::future::pending::<()>().or_cancelled(&token);
    /// token.cancel();
    /// assert!(wait.wait().is_err());
    /// ```
    fn or_cancelled(self, token: &CancelToken) -> OrCancelled<'_, Self> {
        OrCancelled::new(self, token)
    }

    /// Gives up with [`TimedOut`](crate::TimedOut) when `duration` has passed since this call,
    /// measured by `timer`.
    ///
    /// For tasks, and where there is no std; a thread needs no timer for
    /// [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{SystemClock, TimedOut, Wait};
    ///
    /// let task = async {
    ///     core::future::pending::<()>().or_timeout(&SystemClock, Duration::from_millis(1)).await
    /// };
    /// assert_eq!(task.wait(), Err(TimedOut));
    /// ```
    fn or_timeout<T: Timer>(self, timer: &T, duration: Duration) -> OrTimeout<T, Self> {
        OrTimeout::new(self, timer, duration)
    }
}

impl<F: Future> Wait for F {}
