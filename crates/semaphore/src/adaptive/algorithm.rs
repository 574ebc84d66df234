//! The algorithms' interface.

use core::{
    fmt::{self, Debug},
    ops::RangeInclusive,
};

use alloc::format;

use tidegate_core::BuildError;

use super::round::{Round, whole};

/// Decides how many requests may be in flight: [`Aimd`](super::Aimd), [`Vegas`](super::Vegas) or
/// [`Gradient2`](super::Gradient2). The trait is sealed: its methods run under a lock, where no
/// foreign code may run.
///
/// # Examples
///
/// ```
/// use tidegate_semaphore::adaptive::{AdaptiveSemaphore, BuildError, Gradient2, LimitAlgorithm, Vegas};
///
/// fn in_front_of_the_database<A: LimitAlgorithm>(algorithm: A) -> Result<AdaptiveSemaphore<A>, BuildError> {
///     AdaptiveSemaphore::builder(algorithm).min(4).initial(16).max(64).build()
/// }
///
/// assert_eq!(in_front_of_the_database(Vegas::new())?.limit(), 16);
/// assert_eq!(in_front_of_the_database(Gradient2::new())?.limit(), 16);
/// # Ok::<(), BuildError>(())
/// ```
pub trait LimitAlgorithm: Steer + fmt::Debug + Send {}

impl<A: Steer + fmt::Debug + Send> LimitAlgorithm for A {}

/// The methods of an algorithm. The trait is not exported, which seals [`LimitAlgorithm`].
pub trait Steer {
    /// Checks the settings.
    fn check(&self) -> Result<(), BuildError>;

    /// Returns the limit after a round under `limit`. The caller keeps its fraction for the next
    /// round, and clamps it to the bounds. After a round without a drop that [is
    /// app-limited](Round::is_app_limited), the result is not above `limit`.
    fn steer(&mut self, limit: f64, round: &Round) -> f64;

    /// Is called when a new range has moved the limit between two rounds.
    fn limit_was_set(&mut self) {}
}

/// Returns log₁₀ of a limit, rounded down, at least 1: a step that is large enough for a large
/// limit and small enough for a small one.
pub(super) fn step_of(limit: f64) -> f64 {
    f64::from(whole(limit).max(1).ilog10().max(1))
}

/// Checks a setting. NaN is in no range.
pub(super) fn check<T: PartialOrd + Debug>(
    setting: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), BuildError> {
    if range.contains(value) {
        return Ok(());
    }
    Err(BuildError::new(setting, value, format!("in {range:?}")))
}
