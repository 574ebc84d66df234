//! When to try again.

use core::{fmt, time::Duration};

use tidegate_core::primitive::atomic::{AtomicU64, Ordering};

use crate::{error::BoxError, stage::debug_by_name};

/// When [`retry`](crate::Pipeline::retry) tries again. [`backoff`] and [`policy`] make such.
pub trait RetryPolicy {
    /// Returns the pause before the next attempt after so many failures, from 1, of which the last was by `error`;
    /// `None` lets the item fail.
    fn pause(&self, failures: u32, error: &BoxError) -> Option<Duration>;

    /// Hears of each item that is begun with.
    fn begin(&self) {}
}

/// Makes a policy of a function: see [`RetryPolicy::pause`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_pipeline::{RetryPolicy, policy};
///
/// let patient = policy(|failures, error| {
///     (failures < 3 && error.to_string() == "busy").then_some(Duration::from_secs(1))
/// });
/// assert_eq!(patient.pause(1, &"busy".into()), Some(Duration::from_secs(1)));
/// assert_eq!(patient.pause(1, &"gone".into()), None);
/// ```
pub fn policy<F: Fn(u32, &BoxError) -> Option<Duration>>(pause: F) -> Policy<F> {
    Policy(pause)
}

/// A policy made by [`policy`].
pub struct Policy<F>(F);

debug_by_name!(Policy<F>);

impl<F: Fn(u32, &BoxError) -> Option<Duration>> RetryPolicy for Policy<F> {
    fn pause(&self, failures: u32, error: &BoxError) -> Option<Duration> {
        self.0(failures, error)
    }
}

/// Makes a policy for [`retry`](crate::Pipeline::retry): up to `retries` attempts after the first, with a pause of `first`
/// that doubles from one to the next and is never longer than `longest`.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_pipeline::{RetryPolicy, backoff};
///
/// let policy = backoff(4, Duration::from_secs(1), Duration::from_secs(3));
/// let error = "unavailable".into();
/// let pauses = (1..=5).map(|failures| policy.pause(failures, &error).map(|pause| pause.as_secs()));
/// assert!(pauses.eq([Some(1), Some(2), Some(3), Some(3), None]));
/// ```
pub fn backoff(retries: u32, first: Duration, longest: Duration) -> Backoff {
    Backoff { retries, first, longest, jitter: None, budget: None }
}

/// A policy made by [`backoff`].
pub struct Backoff {
    retries: u32,
    first: Duration,
    longest: Duration,
    /// The state of SplitMix64 (Steele, Lea and Flood, 2014).
    jitter: Option<AtomicU64>,
    budget: Option<Budget>,
}

/// Retries that were earned and not yet made, in hundredths.
struct Budget {
    percent: u64,
    balance: AtomicU64,
}

const RETRY: u64 = 100;
/// What a flow begins with, and what it can save.
const BEGIN: u64 = 10 * RETRY;
const MOST: u64 = 100 * RETRY;

impl Backoff {
    /// Makes each pause a random part of itself, so that items which failed together are not tried again together: "full
    /// jitter" (Brooker, AWS, 2015). The same seed gives the same pauses.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_pipeline::{RetryPolicy, backoff};
    ///
    /// let pauses = |seed| {
    ///     let policy = backoff(9, Duration::from_secs(8), Duration::from_secs(8)).jitter(seed);
    ///     [(); 9].map(|()| policy.pause(1, &"busy".into()).unwrap())
    /// };
    /// assert!(pauses(1).iter().all(|pause| *pause <= Duration::from_secs(8)));
    /// assert_eq!(pauses(1), pauses(1));
    /// assert_ne!(pauses(1), pauses(2));
    /// ```
    pub fn jitter(mut self, seed: u64) -> Self {
        self.jitter = Some(AtomicU64::new(seed));
        self
    }

    /// Bounds retries to `percent` of the items, so that a service which fails is not flooded: each item earns that part
    /// of a retry, 100 retries can be saved, and the flow begins with 10 (Finagle's retry budgets).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_pipeline::{RetryPolicy, backoff};
    ///
    /// let policy = backoff(u32::MAX, Duration::ZERO, Duration::ZERO).budget(20);
    /// let mut granted = 0;
    /// for _ in 0..1000 {
    ///     policy.begin();
    ///     granted += u32::from(policy.pause(1, &"down".into()).is_some());
    /// }
    /// assert_eq!(granted, 10 + 200);
    /// ```
    pub fn budget(mut self, percent: u32) -> Self {
        let balance = AtomicU64::new(BEGIN);
        self.budget = Some(Budget { percent: u64::from(percent), balance });
        self
    }
}

// ORDERING: Relaxed: the futures of a flow are polled one after the other, and nothing is read by these counts.
impl RetryPolicy for Backoff {
    fn pause(&self, failures: u32, _error: &BoxError) -> Option<Duration> {
        if failures > self.retries {
            return None;
        }
        if let Some(Budget { balance, .. }) = &self.budget {
            balance.store(balance.load(Ordering::Relaxed).checked_sub(RETRY)?, Ordering::Relaxed);
        }
        let pause = self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        let pause = pause.min(self.longest);
        Some(self.jitter.as_ref().map_or(pause, |state| {
            let seed = state.load(Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
            state.store(seed, Ordering::Relaxed);
            part(pause, mix(seed))
        }))
    }

    fn begin(&self) {
        if let Some(Budget { percent, balance }) = &self.budget {
            let earned = balance.load(Ordering::Relaxed).saturating_add(*percent);
            balance.store(earned.min(MOST), Ordering::Relaxed);
        }
    }
}

/// The output function of SplitMix64.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns `lot / 2⁶⁴` of a duration.
fn part(whole: Duration, lot: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let high = (u128::from(nanos) * u128::from(lot)) >> 64;
    Duration::from_nanos(u64::try_from(high).unwrap_or(u64::MAX))
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("retries", &self.retries)
            .field("first", &self.first)
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}
