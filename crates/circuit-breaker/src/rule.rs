//! When a breaker trips.

use crate::{builder::BuildError, stats::Snapshot, window::Window, word::COUNT_MAX};

/// When a closed breaker trips.
///
/// A rule is looked at when a call fails; a success never trips. A breaker that has tripped starts with fresh counts
/// once it closes again.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, State, TripRule, Window};
///
/// let rule = TripRule::failure_rate(0.5, Window::count(100)).minimum_calls(4);
/// let breaker = Breaker::builder().trip_on(rule).build()?;
/// for failed in [true, false, false, true] {
///     assert_eq!(breaker.state(), State::Closed);
///     let pass = breaker.try_enter().unwrap();
///     if failed { pass.failure() } else { pass.success() }
/// }
/// assert_eq!(breaker.state(), State::Open);
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripRule {
    kind: Kind,
    minimum_calls: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Consecutive(u32),
    FailureRate { ratio: f64, window: Window },
}

/// Calls before a failure rate means anything, unless the caller or a smaller window says otherwise.
const MINIMUM_CALLS: u32 = 10;

impl TripRule {
    /// Trips at the `n`-th failure in a row; `n` is 1 to 16383.
    ///
    /// The cheapest rule: nothing is written for a success that follows a success but its own counter.
    pub const fn consecutive(n: u32) -> Self {
        Self { kind: Kind::Consecutive(n), minimum_calls: None }
    }

    /// Trips when at least `ratio` of the calls in the window failed; `ratio` is above 0 and at most 1.
    ///
    /// While the window holds fewer than [`minimum_calls`](Self::minimum_calls), it does not trip.
    pub const fn failure_rate(ratio: f64, window: Window) -> Self {
        Self { kind: Kind::FailureRate { ratio, window }, minimum_calls: None }
    }

    /// How many calls the window must hold before its rate counts: at least 1, and no more than the window can hold.
    ///
    /// The default is 10, or the whole window if that is smaller. Only for a failure rate.
    #[must_use]
    pub const fn minimum_calls(self, n: u32) -> Self {
        Self { minimum_calls: Some(n), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        match (self.kind, self.minimum_calls) {
            (Kind::Consecutive(n), _) if !(1..=COUNT_MAX).contains(&n) => {
                Err(BuildError::new("consecutive", "in 1..=16383"))
            }
            (Kind::Consecutive(_), Some(_)) => {
                Err(BuildError::new("minimum_calls", "set for a failure rate only"))
            }
            (Kind::Consecutive(_), None) => Ok(()),
            // NaN is in no range.
            (Kind::FailureRate { ratio, .. }, _) if !(ratio > 0.0 && ratio <= 1.0) => {
                Err(BuildError::new("failure_rate", "above 0 and at most 1"))
            }
            (Kind::FailureRate { window, .. }, minimum) => {
                window.check()?;
                if minimum.is_some_and(|n| n == 0 || n > window.most_calls()) {
                    return Err(BuildError::new("minimum_calls", "in 1..=the calls of the window"));
                }
                Ok(())
            }
        }
    }

    /// Returns the window that the rule looks at.
    pub(crate) fn window(&self) -> Option<Window> {
        match self.kind {
            Kind::Consecutive(_) => None,
            Kind::FailureRate { window, .. } => Some(window),
        }
    }

    /// Returns whether a breaker with these figures trips.
    pub(crate) fn trips(&self, figures: &Snapshot) -> bool {
        match self.kind {
            Kind::Consecutive(n) => figures.consecutive_failures >= n,
            Kind::FailureRate { ratio, window } => {
                let minimum = self.minimum_calls.unwrap_or(MINIMUM_CALLS.min(window.most_calls()));
                figures.calls >= u64::from(minimum) && figures.failure_rate() >= ratio
            }
        }
    }
}

impl Default for TripRule {
    /// Five failures in a row.
    fn default() -> Self {
        Self::consecutive(5)
    }
}
