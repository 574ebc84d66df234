//! What the limiters differ in.

use core::fmt;

use tidegate_core::Timestamp;

use crate::grant::Grant;

/// How a [`Limiter`](crate::Limiter) counts: as a [`TokenBucket`](crate::TokenBucket), or as a
/// [`Sliding`](crate::Sliding) window that keeps a [`Log`](crate::Log) or [`TwoBuckets`](crate::TwoBuckets). Sealed.
pub trait Algorithm: Count {}

impl<A: Count> Algorithm for A {}

/// The counting itself. The rule (the quota) comes with each call, so that the cells of many keys share one.
///
/// `now` may be behind that of another call: threads read the clock and then race. Whoever comes with an older time
/// counts as coming later; it is never given more than it would be at its own time.
pub trait Count: fmt::Debug + Sized + 'static {
    /// How much may pass.
    type Rule: Copy + fmt::Debug;

    /// Returns the most tokens one request can get, at least 1.
    fn limit(rule: &Self::Rule) -> u32;

    /// Takes `n` tokens, at most [`limit`](Self::limit).
    ///
    /// # Errors
    ///
    /// When it can be done at the earliest.
    fn take(&self, rule: &Self::Rule, n: u32, now: Timestamp) -> Result<Grant, Timestamp>;

    /// Returns when `n` tokens in all can have been taken at the earliest, `n` being as large as it likes.
    fn ready_at(&self, rule: &Self::Rule, n: u64, now: Timestamp) -> Timestamp;

    /// Takes `n` tokens back that were taken at `taken_at`, as far as that is known.
    fn give_back(&self, rule: &Self::Rule, n: u32, taken_at: Option<Timestamp>);

    /// Grants nothing before `time`.
    fn block_until(&self, rule: &Self::Rule, time: Timestamp);

    /// Returns whether it is as good as new.
    fn is_idle(&self, rule: &Self::Rule, now: Timestamp) -> bool;
}
