//! What becomes of a key too many.

/// What happens to a new key while `max_keys` keys are in use.
///
/// A penalty is never put on a key that has no place: that is refused in any case.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_rate_limiter::{KeyedLimiter, Overflow, Quota};
///
/// let with = |overflow| {
///     let clients = KeyedLimiter::<u32>::new(Quota::per_hour(1)?, NonZeroUsize::MIN);
///     let clients = clients.with_overflow(overflow);
///     assert!(clients.try_acquire(&1, 1).is_ok());
///     Ok::<_, tidegate_rate_limiter::QuotaError>([2, 2, 3].map(|key| clients.try_acquire(&key, 1).is_ok()))
/// };
/// assert_eq!(with(Overflow::Refuse)?, [false, false, false]);
/// assert_eq!(with(Overflow::Allow)?, [true, true, true]);
/// assert_eq!(with(Overflow::Shared)?, [true, false, false]);
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// It is refused with [`TooManyKeys`](crate::TooManyKeys): safe, and hard on strangers.
    #[default]
    Refuse,
    /// Each of its requests finds a full bucket: nobody is turned away, and who makes up keys is not limited.
    Allow,
    /// All keys without a place share one bucket, of the common quota: strangers are limited together.
    Shared,
}
