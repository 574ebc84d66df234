//! What the two sliding windows have in common: a rule, and a book behind a lock.

use core::{fmt, num::NonZeroU32, time::Duration};

use tidegate_core::{Timestamp, lock::Lock};

use crate::{
    algorithm::{Ask, Count, Denied, Due},
    grant::Grant,
    pace::Pace,
    quota::{QuotaError, saturating_nanos},
};

/// So many tokens in any window of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    pub(crate) limit: NonZeroU32,
    /// Nanoseconds, at least 1.
    pub(crate) length: u64,
}

impl Window {
    /// Creates the rule of at most `limit` tokens, at least 1, in a window of `length`, at least 1 ns.
    pub(crate) const fn new(limit: u32, length: Duration) -> Result<Self, QuotaError> {
        let nanos = saturating_nanos(length);
        match NonZeroU32::new(limit) {
            _ if nanos == 0 => Err(QuotaError::ZeroPeriod),
            None => Err(QuotaError::Rate { tokens: limit, period: length }),
            Some(limit) => Ok(Self { limit, length: nanos }),
        }
    }

    /// Splits a request for `n` tokens, of whatever size, into the nanoseconds of its full windows and a rest of 1 to
    /// `limit` tokens. Nobody gets more than `limit` tokens in a window, so the whole comes at the earliest that long
    /// after the rest alone could.
    fn split(self, n: u64) -> (u64, u32) {
        let limit = u64::from(self.limit.get());
        let windows = n.saturating_sub(1) / limit;
        let rest = u32::try_from(n - windows * limit).unwrap_or(u32::MAX);
        (windows.saturating_mul(self.length), rest)
    }
}

/// What was taken in a window and shortly before it: a [`Log`](crate::Log) or [`TwoBuckets`](crate::TwoBuckets).
///
/// Times are nanoseconds, and never go backward: the book is always turned to `now` first.
pub trait Book: fmt::Debug + Default + Send + 'static {
    /// Forgets what has left the window that ends at `now`.
    fn turn_to(&mut self, window: Window, now: u64);

    /// Returns when `n` tokens, at most the limit, fit beside those that still count then. Not before `now`.
    fn ready_at(&self, window: Window, now: u64, n: u32) -> u64;

    /// Enters `n` tokens, whether they fit or not.
    fn enter(&mut self, window: Window, now: u64, n: u32);

    /// Returns how many tokens count now.
    fn used(&self, window: Window, now: u64) -> u32;

    /// Returns when none counts any more if nobody takes more.
    fn empty_at(&self, window: Window, now: u64) -> u64;

    /// Strikes `n` tokens that were taken at `taken_at`, as far as that is known.
    fn strike(&mut self, window: Window, n: u32, taken_at: Option<u64>);
}

/// A sliding window of either kind: a rule and a book behind a short lock.
pub struct Sliding<B> {
    state: Lock<State<B>>,
}

#[derive(Debug)]
struct State<B> {
    window: Window,
    book: B,
    /// The latest time seen. Whoever comes with an earlier one is served as of this.
    now: u64,
    /// Nothing is granted before.
    blocked_until: u64,
}

impl<B: Book> State<B> {
    fn turn_to(&mut self, now: Timestamp) {
        self.now = self.now.max(now.as_nanos());
        self.book.turn_to(self.window, self.now);
    }

    fn ready_at(&self, n: u32) -> u64 {
        self.book.ready_at(self.window, self.now, n).max(self.blocked_until)
    }

    /// Returns how many tokens are left.
    fn room(&self) -> u32 {
        self.window.limit.get().saturating_sub(self.book.used(self.window, self.now))
    }

    fn denied(&self, ask: Ask, wanted: u64) -> Denied {
        if ask.least > self.window.limit.get() {
            return Denied::Beyond(self.window.limit.get());
        }
        let (later, rest) = self.window.split(wanted.saturating_add(ask.least.into()));
        let limit = self.window.limit.get();
        Denied::Until(Due {
            ready_at: Timestamp::from_nanos(self.ready_at(rest).saturating_add(later)),
            reset_at: Timestamp::from_nanos(self.ready_at(limit)),
            limit,
        })
    }

    fn enter(&mut self, n: u32) -> Grant {
        self.book.enter(self.window, self.now, n);
        Grant {
            at: Timestamp::from_nanos(self.now),
            tokens: n,
            limit: self.window.limit.get(),
            room: self.room().into(),
            lacking: self.book.empty_at(self.window, self.now) - self.now,
            pace: Pace::NANOS,
            place: 0,
            reign: 0,
        }
    }
}

impl<B: Book> Sliding<B> {
    pub(crate) fn new(window: Window) -> Self {
        let state = State { window, book: B::default(), now: 0, blocked_until: 0 };
        Self { state: Lock::new(state) }
    }

    pub(crate) fn set_limit(&self, limit: NonZeroU32) {
        self.state.with(|state| state.window.limit = limit);
    }
}

impl<B: Book> Count for Sliding<B> {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.state.with(|state| state.window.limit.get())
    }

    fn take(&self, (): &(), ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        self.state.with(|state| {
            state.turn_to(now);
            if ask.least > state.window.limit.get() || state.ready_at(ask.least) > state.now {
                return Err(state.denied(ask, 0));
            }
            let tokens = state.room().clamp(ask.least, ask.most);
            Ok(state.enter(tokens))
        })
    }

    fn behind(&self, (): &(), ask: Ask, wanted: u64, now: Timestamp) -> Denied {
        self.state.with(|state| {
            state.turn_to(now);
            state.denied(ask, wanted)
        })
    }

    fn owe(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        self.state.with(|state| {
            state.turn_to(now);
            state.enter(n)
        })
    }

    fn give_back(&self, (): &(), n: u32) {
        self.state.with(|state| state.book.strike(state.window, n, None));
    }

    fn give_back_of(&self, (): &(), grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        let (now, taken_at) = (now(), grant.at.as_nanos());
        self.state.with(|state| {
            state.turn_to(now);
            state.book.strike(state.window, n, Some(taken_at));
        });
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.state.with(|state| state.blocked_until = state.blocked_until.max(time.as_nanos()));
    }

    fn is_idle(&self, (): &(), now: Timestamp) -> bool {
        self.state.with(|state| {
            state.turn_to(now);
            state.book.used(state.window, state.now) == 0 && state.blocked_until <= state.now
        })
    }
}

impl<B> fmt::Debug for Sliding<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sliding").finish_non_exhaustive()
    }
}
