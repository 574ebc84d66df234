//! The choices for a new key when there is no slot for it. What each of them does is
//! `overflow_slot` in `limiter.rs`.

/// What happens to a new key while `max_keys` keys are in use.
///
/// A key without a slot cannot be penalized: that is refused in any case.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_rate_limiter::{KeyedLimiter, Overflow, Quota};
///
/// let with = |overflow| {
///     let quota = Quota::per_hour(1)?;
///     let clients = KeyedLimiter::<u32>::new(quota, NonZeroUsize::MIN);
///     let clients = clients.with_overflow(overflow);
///     assert!(clients.try_acquire(&1, 1).is_ok());
///     let granted = [2, 2, 3].map(|key| clients.try_acquire(&key, 1).is_ok());
///     Ok::<_, tidegate_rate_limiter::QuotaError>(granted)
/// };
/// assert_eq!(with(Overflow::Refuse)?, [false, false, false]);
/// assert_eq!(with(Overflow::Allow)?, [true, true, true]);
/// assert_eq!(with(Overflow::Shared)?, [true, false, false]);
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Refuses it with [`TooManyKeys`](crate::TooManyKeys): safe, and hard on unknown clients.
    #[default]
    Refuse,
    /// Gives each of its requests a full bucket: no client is rejected, and a client that makes up
    /// keys is not limited.
    Allow,
    /// Lets all keys without a slot share one bucket with the common quota: unknown clients are
    /// limited together.
    Shared,
}
