//! An adaptive semaphore's settings.

use core::ops::RangeInclusive;

use tidegate_core::{BuildError, Clock, SystemClock};

use super::{
    algorithm::{LimitAlgorithm, check},
    control::{Bounds, Control},
    semaphore::AdaptiveSemaphore,
};
use crate::{
    fairness::Fairness,
    semaphore::{MAX_PERMITS, Semaphore},
};

/// The bounds of the limit, unless they are set.
pub(super) const DEFAULT_RANGE: RangeInclusive<usize> = 1..=200;

/// Sets an [`AdaptiveSemaphore`] up. Made by [`AdaptiveSemaphore::builder`].
///
/// # Examples
///
/// A semaphore that sheds load instead of letting it queue:
///
/// ```
/// use tidegate_semaphore::{AcquireError, Wait, adaptive::{AdaptiveSemaphore, Vegas}};
///
/// let limit = AdaptiveSemaphore::builder(Vegas::new()).min(1).initial(1).max(100).max_waiters(0).build()?;
/// let held = limit.acquire().wait()?;
/// assert_eq!(limit.acquire().wait().unwrap_err(), AcquireError::QueueFull);
///
/// let error = AdaptiveSemaphore::builder(Vegas::new()).max(10).initial(11).build().unwrap_err();
/// assert_eq!(error.to_string(), "initial is 11, but must be in 1..=10");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<A, C = SystemClock> {
    algorithm: A,
    clock: C,
    min: usize,
    max: usize,
    initial: Option<usize>,
    min_samples: usize,
    fairness: Fairness,
    max_waiters: usize,
}

impl<A: LimitAlgorithm> Builder<A> {
    pub(super) fn new(algorithm: A) -> Self {
        Self {
            algorithm,
            clock: SystemClock,
            min: *DEFAULT_RANGE.start(),
            max: *DEFAULT_RANGE.end(),
            initial: None,
            min_samples: 10,
            fairness: Fairness::Fifo,
            max_waiters: usize::MAX,
        }
    }
}

impl<A: LimitAlgorithm, C> Builder<A, C> {
    /// Sets the lower bound of the limit, from 1 to the maximum. Default: 1.
    pub fn min(mut self, n: usize) -> Self {
        self.min = n;
        self
    }

    /// Sets the upper bound of the limit, from 1 to [`MAX_PERMITS`]. Default: 200.
    pub fn max(mut self, n: usize) -> Self {
        self.max = n;
        self
    }

    /// Sets the initial limit, from the minimum to the maximum. Default: 20, or the nearest to it
    /// that is allowed.
    pub fn initial(mut self, n: usize) -> Self {
        self.initial = Some(n);
        self
    }

    /// Sets how many samples a round has at least, from 1 to [`MAX_PERMITS`]. Default: 10.
    ///
    /// While the limit is above this number, a round has as many samples as the limit. A drop ends
    /// a round in any case. A higher number makes a small limit steadier, and slower to change.
    pub fn min_samples(mut self, n: usize) -> Self {
        self.min_samples = n;
        self
    }

    /// Sets the clock that measures the requests. Default: the system's.
    pub fn clock<D>(self, clock: D) -> Builder<A, D> {
        let Self { algorithm, clock: _, min, max, initial, min_samples, fairness, max_waiters } =
            self;
        Builder { algorithm, clock, min, max, initial, min_samples, fairness, max_waiters }
    }

    /// Sets the order in which waiters are served, and whether newcomers may overtake. Default:
    /// [`Fairness::Fifo`].
    pub fn fairness(mut self, fairness: Fairness) -> Self {
        self.fairness = fairness;
        self
    }

    /// Sets how many requests may wait in the queue, as [`crate::Builder::max_waiters`]. Default:
    /// no limit.
    pub fn max_waiters(mut self, n: usize) -> Self {
        self.max_waiters = n;
        self
    }

    /// Builds the semaphore, open, with nothing in flight.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting, also one of the algorithm's, is out of range.
    pub fn build(self) -> Result<AdaptiveSemaphore<A, C>, BuildError>
    where
        C: Clock,
    {
        let Self { algorithm, clock, min, max, initial, min_samples, fairness, max_waiters } = self;
        check_range(min, max)?;
        let initial = initial.unwrap_or(20.clamp(min, max));
        check("initial", &initial, &(min..=max))?;
        check("min_samples", &min_samples, &(1..=MAX_PERMITS))?;
        algorithm.check()?;
        let semaphore =
            Semaphore::builder(initial).fairness(fairness).max_waiters(max_waiters).build();
        let control = Control::new(algorithm, Bounds { min, max, min_samples }, initial);
        Ok(AdaptiveSemaphore::from_parts(semaphore, clock, control))
    }
}

/// Checks the bounds of the limit.
pub(super) fn check_range(min: usize, max: usize) -> Result<(), BuildError> {
    check("max", &max, &(1..=MAX_PERMITS))?;
    check("min", &min, &(1..=max))
}
