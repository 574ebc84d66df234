//! How long to pause before something that failed is tried again.

#[cfg(feature = "serde")]
mod serde;

use core::{fmt, time::Duration};

use alloc::format;

use crate::{
    error::BuildError,
    primitive::{
        atomic::{AtomicU64, Ordering},
        random_seed,
    },
    random::Random,
};

/// How often a call is tried at most, unless [`Backoff::max_attempts`] says otherwise.
const MAX_ATTEMPTS: u32 = 3;

/// Pauses between attempts: how long, how far spread, and how many.
///
/// An open breaker pauses for such a time; a batcher, a pipeline and [`retry`](crate::retry()) do
/// so before each retry. Any other caller that retries can use a `Backoff`, too.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::backoff::{Backoff, Retries};
///
/// let second = Duration::from_secs(1);
/// let backoff = Backoff::exponential(second, 3 * second).jitter(0.0).max_attempts(5);
/// let retries = Retries::new(backoff);
/// let pauses = (1..=5).map(|failures| retries.pause(failures));
/// assert!(pauses.eq([Some(second), Some(2 * second), Some(3 * second), Some(3 * second), None]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    jitter: f64,
    max_attempts: u32,
    budget: Option<u32>,
    seed: Option<u64>,
}

impl Backoff {
    /// Creates a backoff that pauses for `pause` each time.
    pub const fn fixed(pause: Duration) -> Self {
        Self::exponential(pause, pause)
    }

    /// Creates a backoff that pauses for `initial` after the first failure and twice as long after
    /// each further one, but at most for `max`. Each pause is then spread by
    /// [`jitter`](Self::jitter), and so may exceed `max` by that much.
    ///
    /// The `build` of an object with this backoff refuses an `initial` above `max`. No pause is
    /// above 2⁶⁴ nanoseconds, 584 years.
    pub const fn exponential(initial: Duration, max: Duration) -> Self {
        Self { initial, max, jitter: 0.2, max_attempts: MAX_ATTEMPTS, budget: None, seed: None }
    }

    /// Spreads each pause evenly over ± `ratio` of itself, so that clients of one failed server do
    /// not come back all at once. `ratio` is 0 to 1 (the `build` refuses any other), where 0 turns
    /// the jitter off. Default: 0.2.
    ///
    /// With 1 a pause lies anywhere between zero and twice its length: this is "full jitter"
    /// (Brooker, AWS, 2015) with twice the pause as the longest one.
    #[must_use]
    pub const fn jitter(self, ratio: f64) -> Self {
        Self { jitter: ratio, ..self }
    }

    /// Sets how often a call is tried at most, the first attempt included: 1 or more. Default: 3.
    #[must_use]
    pub const fn max_attempts(self, attempts: u32) -> Self {
        Self { max_attempts: attempts, ..self }
    }

    /// Bounds retries to `percent` of the calls, so that a service which fails is not flooded. Each
    /// call earns that part of a retry, 100 retries can be saved, and 10 are there at the
    /// beginning. The idea is that of [Finagle's retry
    /// budgets](https://finagle.github.io/blog/2016/02/08/retry-budgets/), whose tokens also
    /// expire, after 10 seconds; gRPC's throttle (gRFC A6) is another such bucket. Default: no
    /// bound.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::backoff::{Backoff, Retries};
    ///
    /// let backoff = Backoff::fixed(Duration::ZERO).max_attempts(u32::MAX).budget(20);
    /// let (retries, mut granted) = (Retries::new(backoff), 0);
    /// for _ in 0..1000 {
    ///     retries.begin();
    ///     granted += u32::from(retries.pause(1).is_some());
    /// }
    /// assert_eq!(granted, 10 + 200);
    /// ```
    #[must_use]
    pub const fn budget(self, percent: u32) -> Self {
        Self { budget: Some(percent), ..self }
    }

    /// Draws the jitter from `seed`: the same seed gives the same pauses. Default: a different seed
    /// for each [`Retries`].
    #[must_use]
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Checks the settings, for the `build` of an object whose setting `setting` is this backoff.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `initial` is above `max`, the jitter is not in 0..=1, or no attempt is
    /// allowed.
    pub fn check(&self, setting: &'static str) -> Result<(), BuildError> {
        if self.initial > self.max {
            let range = format!("at most its maximum of {:?}", self.max);
            return Err(BuildError::new(setting, self.initial, range));
        }
        // NaN is in no range.
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(BuildError::new("jitter", self.jitter, "in 0..=1"));
        }
        if self.max_attempts == 0 {
            return Err(BuildError::new("max_attempts", 0, "at least 1"));
        }
        Ok(())
    }

    /// Returns the pause after the first failure, without jitter.
    pub const fn initial(&self) -> Duration {
        self.initial
    }

    /// Returns how often a call is tried at most.
    pub const fn attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Returns the pause after `failures` failures (1 or more), spread by `noise`, which is any
    /// number.
    pub fn pause(&self, failures: u32, noise: u64) -> Duration {
        let doublings = 2_u128.saturating_pow(failures.saturating_sub(1));
        let nanos = self.initial.as_nanos().saturating_mul(doublings).min(self.max.as_nanos());
        if self.jitter == 0.0 {
            return Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        // An f64 holds 53 bits exactly: the upper 53 bits of `noise` become a number from 0 to
        // below 1.
        let unit = (noise >> 11) as f64 / (1_u64 << 53) as f64;
        let spread = 1.0 + self.jitter * (2.0 * unit - 1.0);
        Duration::from_nanos(saturating_nanos(nanos as f64 * spread))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the cast saturates, which is what is wanted")]
fn saturating_nanos(nanos: f64) -> u64 {
    nanos as u64
}

/// What one retry costs in a budget, which counts in hundredths of a retry.
const RETRY: u64 = 100;
/// What a budget begins with; `MOST` is the most that it can save.
const BEGIN: u64 = 10 * RETRY;
const MOST: u64 = 100 * RETRY;

/// A [`Backoff`] in use: its random numbers, and the balance of its budget. One `Retries` serves
/// any number of calls, tasks and threads.
///
/// # Examples
///
/// See [`Backoff`].
pub struct Retries {
    backoff: Backoff,
    /// The number of draws.
    draws: AtomicU64,
    seed: u64,
    /// Retries that were earned and not yet made, in hundredths.
    balance: AtomicU64,
}

// ORDERING: Relaxed: these counts publish nothing else.
impl Retries {
    /// Begins to use a backoff.
    pub fn new(backoff: Backoff) -> Self {
        let seed = backoff.seed.unwrap_or_else(random_seed);
        Self { backoff, draws: AtomicU64::new(0), seed, balance: AtomicU64::new(BEGIN) }
    }

    /// Returns the settings.
    pub fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// Credits the budget for a call. To be called once for each call, before its first attempt.
    pub fn begin(&self) {
        if let Some(percent) = self.backoff.budget {
            self.deposit(percent.into());
        }
    }

    /// Returns the pause before the next attempt of a call that has failed `failures` times (1 or
    /// more), and charges the budget for it. Returns `None` if the attempts or the budget are used
    /// up.
    pub fn pause(&self, failures: u32) -> Option<Duration> {
        if failures >= self.backoff.max_attempts {
            return None;
        }
        if self.backoff.budget.is_some() {
            let pay = |balance: u64| balance.checked_sub(RETRY);
            self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).ok()?;
        }
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        Some(self.backoff.pause(failures, Random::new(self.seed ^ draw).next_u64()))
    }

    /// Refunds what a [`pause`](Self::pause) has charged. To be called if no attempt follows the
    /// pause after all.
    pub fn refund(&self) {
        if self.backoff.budget.is_some() {
            self.deposit(RETRY);
        }
    }

    fn deposit(&self, hundredths: u64) {
        let add = |balance: u64| Some(balance.saturating_add(hundredths).min(MOST));
        _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries").field("backoff", &self.backoff).finish_non_exhaustive()
    }
}
