//! What the kinds of limiters differ in.

use core::fmt;

use tidegate_core::Timestamp;

use crate::grant::{Denied, Grant, Request};

/// How a [`Limiter`](crate::Limiter) counts: as a [`TokenBucket`](crate::TokenBucket), as several
/// of them ([`AllOf`](crate::AllOf)), or as a [`Sliding`](crate::Sliding) window with a
/// [`WindowLog`](crate::WindowLog) or a [`WindowCounter`](crate::WindowCounter). Sealed.
pub trait Algorithm: TokenCounter {}

impl<A: TokenCounter> Algorithm for A {}

/// The methods of an [`Algorithm`].
///
/// `now` may be earlier than that of a previous call, as threads read the clock and then race. That
/// mints no tokens: a bucket answers as of the earlier time, and a window as of the latest time
/// that it has seen.
pub trait TokenCounter: fmt::Debug + Send + Sync + Sized + 'static {
    /// What several counters share; the caller passes it to each method. `()` if a counter keeps
    /// all that it needs.
    type Rule: fmt::Debug + Send + Sync;

    /// Returns the most tokens that one request can get, at least 1.
    fn limit(&self, rule: &Self::Rule) -> u32;

    /// Takes tokens if at least as many are available as the request needs.
    fn take(&self, rule: &Self::Rule, request: Request, now: Timestamp) -> Result<Grant, Denied>;

    /// Does what [`take`](Self::take) does, or returns `None`, with nothing taken, if the answer
    /// takes longer: because another caller has come in between, or a ledger has to be read.
    ///
    /// It is a method of its own so that an immediate answer stays in registers.
    #[inline(always)]
    fn take_at_once(
        &self,
        rule: &Self::Rule,
        request: Request,
        now: Timestamp,
    ) -> Option<Result<Grant, Denied>> {
        Some(self.take(rule, request, now))
    }

    /// Returns why a newcomer's request is denied while waiters need `queued` tokens.
    fn deny_behind(
        &self,
        rule: &Self::Rule,
        request: Request,
        queued: u64,
        now: Timestamp,
    ) -> Denied;

    /// Takes `n` tokens even if they are not available: what is missing becomes a debt.
    fn force_take(&self, rule: &Self::Rule, n: u32, now: Timestamp) -> Grant;

    /// Refunds `n` tokens that were taken at an unknown time.
    fn refund(&self, rule: &Self::Rule, n: u32);

    /// Refunds `n` tokens of `grant` at `now`, but no more than the counter would hold in addition
    /// if it had not granted them.
    ///
    /// The counter calls `now` while it holds no lock.
    fn refund_grant(&self, rule: &Self::Rule, grant: &Grant, n: u32, now: impl Fn() -> Timestamp);

    /// Grants nothing before `time`.
    fn block_until(&self, rule: &Self::Rule, time: Timestamp);
}
