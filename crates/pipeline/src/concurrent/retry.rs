//! When to retry an item.

use core::time::Duration;

use tidegate_core::backoff::{Backoff, Retries};

use crate::{debug::debug_by_name, error::BoxError};

/// Decides when [`retry`](crate::Pipeline::retry) tries again: a [`Backoff`], or a [`policy`] for
/// each error.
pub trait RetryPolicy {
    /// Returns the pause before the next attempt after that many failures, from 1, of which the
    /// last was by `error`; `None` lets the item fail.
    fn pause(&self, failures: u32, error: &BoxError) -> Option<Duration>;

    /// Called for each item before its first attempt.
    fn begin(&self) {}
}

/// Makes a policy of a function that does what [`RetryPolicy::pause`] says.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_pipeline::{RetryPolicy, policy};
///
/// let patient = policy(|failures, error| {
///     let pause = Duration::from_secs(1);
///     (failures < 3 && error.to_string() == "busy").then_some(pause)
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

impl RetryPolicy for Retries {
    fn pause(&self, failures: u32, _error: &BoxError) -> Option<Duration> {
        self.pause(failures)
    }

    fn begin(&self) {
        self.begin();
    }
}

/// Converts into a [`RetryPolicy`]: each policy, and the settings of a [`Backoff`].
pub trait IntoRetryPolicy {
    /// The policy.
    type Policy: RetryPolicy;

    /// Makes the policy.
    ///
    /// # Panics
    ///
    /// Panics if a setting is out of its range.
    #[track_caller]
    fn into_policy(self) -> Self::Policy;
}

impl<P: RetryPolicy> IntoRetryPolicy for P {
    type Policy = Self;

    fn into_policy(self) -> Self {
        self
    }
}

impl IntoRetryPolicy for Backoff {
    type Policy = Retries;

    #[track_caller]
    fn into_policy(self) -> Retries {
        if let Err(error) = self.check("retry") {
            panic!("{error}");
        }
        Retries::new(self)
    }
}
