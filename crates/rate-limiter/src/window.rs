//! The algorithm of both sliding windows: a limit, and a record of what was taken, behind a lock.

use core::{fmt, num::NonZeroU32, time::Duration};

use tidegate_core::{Timestamp, lock::Lock};

use crate::{
    algorithm::TokenCounter,
    grant::{Denied, Due, Grant, Request},
    quota::{QuotaError, saturating_nanos},
    time_units::TimeUnits,
};

/// At most `limit` tokens in any interval as long as `length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowLimit {
    pub(crate) limit: NonZeroU32,
    /// Nanoseconds, at least 1.
    pub(crate) length: u64,
}

impl WindowLimit {
    pub(crate) const fn new(limit: u32, length: Duration) -> Result<Self, QuotaError> {
        let nanos = saturating_nanos(length);
        match NonZeroU32::new(limit) {
            _ if nanos == 0 => Err(QuotaError::Zero { setting: "window" }),
            None => Err(QuotaError::Zero { setting: "limit" }),
            Some(limit) => Ok(Self { limit, length: nanos }),
        }
    }

    /// Splits a request for any number of tokens into the length of full windows, in nanoseconds,
    /// and a rest of at most `limit` tokens. As a window has only `limit` tokens, the request is
    /// granted later than the rest alone would be, by that length.
    fn split(self, n: u64) -> (u64, u32) {
        let limit = u64::from(self.limit.get());
        let windows = n.saturating_sub(1) / limit;
        let rest = u32::try_from(n - windows * limit).unwrap_or(u32::MAX);
        (windows.saturating_mul(self.length), rest)
    }
}

/// What was taken in a window and shortly before it: a [`WindowLog`](crate::WindowLog) or a
/// [`WindowCounter`](crate::WindowCounter).
///
/// Times are nanoseconds and never go backward: the caller advances the record to `now` before it
/// calls a method that takes `now`.
pub trait WindowRecord: fmt::Debug + Default + Send + 'static {
    /// Forgets what has left the window that ends at `now`.
    fn advance_to(&mut self, window: WindowLimit, now: u64);

    /// Returns the earliest time, from `now` on, at which `n` tokens (at most the limit) fit beside
    /// those that still count.
    fn ready_at(&self, window: WindowLimit, now: u64, n: u32) -> u64;

    /// Records `n` tokens even if they do not fit.
    fn add(&mut self, window: WindowLimit, now: u64, n: u32);

    /// Returns how many tokens count at `now`.
    fn used(&self, window: WindowLimit, now: u64) -> u32;

    /// Returns when no token counts any more if no more are taken.
    fn empty_at(&self, window: WindowLimit, now: u64) -> u64;

    /// Removes `n` tokens that were taken at `taken_at`, or at an unknown time.
    fn refund(&mut self, window: WindowLimit, n: u32, taken_at: Option<u64>);
}

/// A sliding window of either kind, behind a short lock.
pub struct Sliding<B> {
    state: Lock<State<B>>,
}

#[derive(Debug)]
struct State<B> {
    window: WindowLimit,
    record: B,
    /// The latest time of a call. A call with an earlier time is answered as of this time.
    now: u64,
    /// Nothing is granted before this time.
    blocked_until: u64,
}

impl<B: WindowRecord> State<B> {
    fn ready_at(&self, n: u32) -> u64 {
        self.record.ready_at(self.window, self.now, n).max(self.blocked_until)
    }

    /// Returns how many tokens are left.
    fn left(&self) -> u32 {
        self.window.limit.get().saturating_sub(self.record.used(self.window, self.now))
    }

    fn denied(&self, request: Request, queued: u64) -> Denied {
        if request.least > self.window.limit.get() {
            return Denied::TooMany(self.window.limit.get());
        }
        let (later, rest) = self.window.split(queued.saturating_add(request.least.into()));
        let limit = self.window.limit.get();
        Denied::Until(Due {
            ready_at: Timestamp::from_nanos(self.ready_at(rest).saturating_add(later)),
            reset_at: Timestamp::from_nanos(self.ready_at(limit)),
            limit,
        })
    }

    fn force_take(&mut self, n: u32) -> Grant {
        self.record.add(self.window, self.now, n);
        Grant {
            at: Timestamp::from_nanos(self.now),
            tokens: n,
            limit: self.window.limit.get(),
            left: self.left().into(),
            until_full: self.record.empty_at(self.window, self.now) - self.now,
            time_units: TimeUnits::NANOS,
            position: 0,
            epoch: 0,
        }
    }
}

impl<B: WindowRecord> Sliding<B> {
    pub(crate) fn new(window: WindowLimit) -> Self {
        let state = State { window, record: B::default(), now: 0, blocked_until: 0 };
        Self { state: Lock::new(state) }
    }

    /// Runs `f` on the state as of `now`.
    fn at<R>(&self, now: Timestamp, f: impl FnOnce(&mut State<B>) -> R) -> R {
        self.state.with(|state| {
            state.now = state.now.max(now.as_nanos());
            state.record.advance_to(state.window, state.now);
            f(state)
        })
    }

    pub(crate) fn set_limit(&self, limit: NonZeroU32) {
        self.state.with(|state| state.window.limit = limit);
    }
}

impl<B: WindowRecord> TokenCounter for Sliding<B> {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.state.with(|state| state.window.limit.get())
    }

    fn take(&self, (): &(), request: Request, now: Timestamp) -> Result<Grant, Denied> {
        self.at(now, |state| {
            let limit = state.window.limit.get();
            if request.least > limit || state.ready_at(request.least) > state.now {
                return Err(state.denied(request, 0));
            }
            let tokens = state.left().clamp(request.least, request.most);
            Ok(state.force_take(tokens))
        })
    }

    fn deny_behind(&self, (): &(), request: Request, queued: u64, now: Timestamp) -> Denied {
        self.at(now, |state| state.denied(request, queued))
    }

    fn force_take(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        self.at(now, |state| state.force_take(n))
    }

    fn refund(&self, (): &(), n: u32) {
        self.state.with(|state| state.record.refund(state.window, n, None));
    }

    fn refund_grant(&self, (): &(), grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        let taken_at = grant.at.as_nanos();
        self.at(now(), |state| state.record.refund(state.window, n, Some(taken_at)));
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.state.with(|state| state.blocked_until = state.blocked_until.max(time.as_nanos()));
    }
}

impl<B> fmt::Debug for Sliding<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sliding").finish_non_exhaustive()
    }
}
