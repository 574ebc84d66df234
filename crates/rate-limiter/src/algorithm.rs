//! What the limiters differ in.

use core::fmt;

use tidegate_core::Timestamp;

use crate::grant::Grant;

/// How a [`Limiter`](crate::Limiter) counts: as a [`TokenBucket`](crate::TokenBucket), as several of them
/// ([`AllOf`](crate::AllOf)), or as a [`Sliding`](crate::Sliding) window that keeps a [`Log`](crate::Log) or
/// [`TwoBuckets`](crate::TwoBuckets). Sealed.
pub trait Algorithm: Count {}

impl<A: Count> Algorithm for A {}

/// The counting itself.
///
/// `now` may be behind that of another call: threads read the clock and then race. Whoever comes with an older time
/// counts as coming later; it is never given more than it would be at its own time.
pub trait Count: fmt::Debug + Send + Sync + Sized + 'static {
    /// What many cells share, given with each call: the quota of many keys. `()` where each has its own.
    type Rule: fmt::Debug + Send + Sync;

    /// Returns the most tokens one request can get, at least 1.
    fn limit(&self, rule: &Self::Rule) -> u32;

    /// Takes tokens if at least as many are there as are asked for.
    ///
    /// # Errors
    ///
    /// Why not.
    fn take(&self, rule: &Self::Rule, ask: Ask, now: Timestamp) -> Result<Grant, Denied>;

    /// As [`take`](Self::take); `None` if the answer takes longer, as others come in between or a ledger has to be read.
    ///
    /// Apart, so that what is granted or denied at once does not go through memory on its way to a caller who only wants to
    /// know which it is.
    #[inline(always)]
    fn take_at_once(
        &self,
        rule: &Self::Rule,
        ask: Ask,
        now: Timestamp,
    ) -> Option<Result<Grant, Denied>> {
        Some(self.take(rule, ask, now))
    }

    /// Says why `ask` is not granted to a newcomer while `wanted` tokens are waited for.
    fn behind(&self, rule: &Self::Rule, ask: Ask, wanted: u64, now: Timestamp) -> Denied;

    /// Takes `n` tokens, whether they are there or not.
    fn owe(&self, rule: &Self::Rule, n: u32, now: Timestamp) -> Grant;

    /// Takes `n` tokens back of which nobody knows when they were taken.
    fn give_back(&self, rule: &Self::Rule, n: u32);

    /// Takes `n` tokens of `grant` back that come at `now`: no more than what a counter that had not granted them would hold
    /// beyond this one.
    ///
    /// `now` is called where no lock is held.
    fn give_back_of(&self, rule: &Self::Rule, grant: &Grant, n: u32, now: impl Fn() -> Timestamp);

    /// Grants nothing before `time`.
    fn block_until(&self, rule: &Self::Rule, time: Timestamp);

    /// Returns whether it is as good as new.
    fn is_idle(&self, rule: &Self::Rule, now: Timestamp) -> bool;
}

/// A request: for so many tokens, or for as many as there are within a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub(crate) least: u32,
    pub(crate) most: u32,
}

impl Ask {
    #[inline]
    pub(crate) const fn exactly(n: u32) -> Self {
        Self { least: n, most: n }
    }

    #[inline]
    pub(crate) const fn up_to(n: u32) -> Self {
        Self { least: if n == 0 { 0 } else { 1 }, most: n }
    }
}

/// No tokens were taken.
///
/// Exhaustive on purpose: the trait is sealed, nobody outside of this crate meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// They can be had later.
    Until(Due),
    /// Never, as far as the numbers tell: it is blocked for ever, or what there is to know is elsewhere.
    Never,
    /// Nobody can ever have more than this at once.
    Beyond(u32),
}

/// When tokens that were denied can be had, and what a client is told besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// At the earliest.
    pub(crate) ready_at: Timestamp,
    /// When all are back if nobody takes more.
    pub(crate) reset_at: Timestamp,
    /// How many all are.
    pub(crate) limit: u32,
}

impl Denied {
    /// Says of what there is never that it is there at the end of time, for those who wait.
    pub(crate) fn timed(self, limit: impl FnOnce() -> u32) -> Self {
        match self {
            Self::Never => Self::Until(Due {
                ready_at: Timestamp::NEVER,
                reset_at: Timestamp::NEVER,
                limit: limit(),
            }),
            denied => denied,
        }
    }
}
