//! When to try again.

use core::time::Duration;

use crate::error::BoxError;

/// Makes a policy for [`retry`](crate::Pipeline::retry): up to `retries` attempts after the first, with a pause of `first`
/// that doubles from one to the next and is never longer than `longest`.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_pipeline::backoff;
///
/// let policy = backoff(4, Duration::from_secs(1), Duration::from_secs(3));
/// let error = "unavailable".into();
/// let pauses = (1..=5).map(|failures| policy(failures, &error).map(|pause| pause.as_secs()));
/// assert!(pauses.eq([Some(1), Some(2), Some(3), Some(3), None]));
/// ```
pub fn backoff(
    retries: u32,
    first: Duration,
    longest: Duration,
) -> impl Fn(u32, &BoxError) -> Option<Duration> + Clone {
    move |failures, _| {
        let pause = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        (failures <= retries).then_some(pause.min(longest))
    }
}
