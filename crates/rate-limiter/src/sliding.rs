//! The limiters with a sliding window: constructors, and changes of the limit.

use core::{num::NonZeroU32, time::Duration};

use tidegate_core::SystemClock;

use crate::{
    limiter::Limiter,
    quota::QuotaError,
    state::{LimiterState, Shared},
    window::{Sliding, WindowLimit, WindowRecord},
    window_counter::WindowCounter,
    window_log::WindowLog,
};

/// An exact sliding window: at most `limit` tokens in any interval as long as the window.
///
/// Costs up to 16 bytes for each token in the window; see [`WindowLog`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{ManualClock, SlidingLog};
///
/// let clock = ManualClock::new();
/// let window = Duration::from_secs(10);
/// let limiter = SlidingLog::with_clock(2, window, clock.clone())?;
/// assert!(limiter.try_acquire(1).is_ok());
/// clock.advance(Duration::from_secs(9));
/// assert!(limiter.try_acquire(1).is_ok());
/// let refused = limiter.try_acquire(1).unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub type SlidingLog<C = SystemClock> = Limiter<Sliding<WindowLog>, C>;

/// An approximate sliding window in constant memory: two counters, as in many services; see
/// [`WindowCounter`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{ManualClock, SlidingWindow};
///
/// let clock = ManualClock::new();
/// let window = Duration::from_secs(10);
/// let limiter = SlidingWindow::with_clock(4, window, clock.clone())?;
/// assert!(limiter.try_acquire(4).is_ok());
/// // A quarter into the next window three of the four still count.
/// clock.advance(Duration::from_millis(12_500));
/// assert!(limiter.try_acquire(1).is_ok());
/// assert!(limiter.try_acquire(1).is_err());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub type SlidingWindow<C = SystemClock> = Limiter<Sliding<WindowCounter>, C>;

impl<B: WindowRecord> Limiter<Sliding<B>> {
    /// Creates a limiter of `limit` tokens per `window` that reads the system's clock. `limit` must
    /// be at least 1, and `window` at least 1 ns.
    ///
    /// # Errors
    ///
    /// [`QuotaError`] if one of them is zero.
    pub fn new(limit: u32, window: Duration) -> Result<Self, QuotaError> {
        Self::with_clock(limit, window, SystemClock)
    }
}

impl<B: WindowRecord, C> Limiter<Sliding<B>, C> {
    /// Creates a limiter of `limit` tokens per `window` that reads `clock`. `limit` must be at
    /// least 1, and `window` at least 1 ns.
    ///
    /// # Errors
    ///
    /// [`QuotaError`] if one of them is zero.
    pub fn with_clock(limit: u32, window: Duration, clock: C) -> Result<Self, QuotaError> {
        let window = WindowLimit::new(limit, window)?;
        Ok(Self { shared: Shared::new((), clock), state: LimiterState::new(Sliding::new(window)) })
    }

    /// Changes the limit while the limiter is used. Tokens taken in the window still count. The
    /// head of the queue checks again at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroU32, time::Duration};
    /// use tidegate_rate_limiter::SlidingLog;
    ///
    /// let limiter = SlidingLog::new(5, Duration::from_secs(3600))?;
    /// assert!(limiter.try_acquire(5).is_ok());
    /// limiter.set_limit(NonZeroU32::new(7).unwrap());
    /// assert!(limiter.try_acquire(2).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn set_limit(&self, limit: NonZeroU32) {
        self.state.algorithm.set_limit(limit);
        self.state.notify_change();
    }
}
