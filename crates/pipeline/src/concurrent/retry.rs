//! When to retry an item.

use core::time::Duration;

use tidegate_core::backoff::{Backoff, Retries};

use crate::{debug::debug_by_name, error::BoxError};

/// Decides whether and when [`retry`](crate::Pipeline::retry) tries again. A [`Backoff`] converts
/// into one, and [`policy`] makes one of a closure that sees each error.
pub trait RetryPolicy {
    /// Returns the pause before the next attempt on an item, or `None` to let it fail. `failures`
    /// counts the item's failures so far, from 1; `error` is the latest.
    fn pause(&self, failures: u32, error: &BoxError) -> Option<Duration>;

    /// Is called for each item before its first attempt. The default does nothing.
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

/// A value that [`retry`](crate::Pipeline::retry) converts into a [`RetryPolicy`]: a policy itself,
/// or a [`Backoff`].
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
