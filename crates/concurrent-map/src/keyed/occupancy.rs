//! Whether an entry may be evicted.

/// What a value reports of itself; [`Keyed::with_until`](crate::Keyed::with_until) says when it is
/// asked.
///
/// Times are numbers that the caller chooses, such as nanoseconds of a clock; they are only
/// compared.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_concurrent_map::{Keyed, Occupancy};
///
/// // The time until which each client is blocked.
/// let blocked = Keyed::<u32, u64>::new(NonZeroUsize::MIN);
/// let block = |client: u32, now: u64, until: u64| {
///     let occupancy = |end: &mut u64| match *end {
///         end if end <= now => Occupancy::Idle,
///         end => Occupancy::BusyUntil(end),
///     };
///     blocked.with_until(&client, now, || 0, occupancy, |end| *end = until)
/// };
/// assert!(block(1, 0, 10).is_ok());
/// assert!(block(2, 9, 20).is_err());
/// assert!(block(2, 10, 20).is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Occupancy {
    /// The value equals a new one and is not needed: another key may take its slot.
    Idle,
    /// The value is needed, for an unknown time.
    Busy,
    /// The value is needed, and will not be idle before this time unless it is changed. The time is
    /// later than the present one.
    BusyUntil(u64),
}
