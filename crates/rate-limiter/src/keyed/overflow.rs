//! The choices for a new key when there is no slot for it. `overflow_bucket` in `limiter.rs`
//! carries them out.

/// What happens to a new key while `max_keys` keys are in use.
///
/// [`KeyedLimiter::penalize_until`](crate::KeyedLimiter::penalize_until) refuses to penalize a key
/// without a slot in any case. The gate of such a key penalizes the bucket that the gate has: with
/// `Allow`, its own; with `Shared`, that of all keys without a slot.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_rate_limiter::{KeyedLimiter, Overflow, Quota};
///
/// let with = |overflow| {
///     let quota = Quota::per_hour(1);
///     let clients = KeyedLimiter::<u32>::new(quota, NonZeroUsize::MIN);
///     let clients = clients.with_overflow(overflow);
///     assert!(clients.try_acquire(&1, 1).is_ok());
///     let granted = [2, 2, 3].map(|key| clients.try_acquire(&key, 1).is_ok());
///     granted
/// };
/// assert_eq!(with(Overflow::Refuse), [false, false, false]);
/// assert_eq!(with(Overflow::Allow), [true, true, true]);
/// assert_eq!(with(Overflow::Shared), [true, false, false]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Refuses the key with [`TooManyKeys`](crate::TooManyKeys): safe, and hard on unknown clients.
    #[default]
    Refuse,
    /// Gives each request or gate of the key a full bucket: no client is rejected, and a client
    /// that makes up keys is not limited.
    Allow,
    /// Lets all keys without a slot share one bucket with the common quota: unknown clients are
    /// limited together.
    Shared,
}
