//! What the two sliding windows have in common: a rule, and a book behind a lock.

use core::{fmt, num::NonZeroU32, time::Duration};

use tidegate_core::{Timestamp, lock::Lock};

use crate::{
    algorithm::Count,
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

    /// Enters `n` tokens that fit.
    fn enter(&mut self, now: u64, n: u32);

    /// Returns how many tokens count now, at most the limit.
    fn used(&self, window: Window, now: u64) -> u32;

    /// Returns when none counts any more if nobody takes more.
    fn empty_at(&self, window: Window, now: u64) -> u64;

    /// Strikes `n` tokens that were taken at `taken_at`, as far as that is known.
    fn strike(&mut self, window: Window, n: u32, taken_at: Option<u64>);
}

/// A sliding window of either kind: a book behind a short lock.
#[derive(Debug, Default)]
pub struct Sliding<B> {
    state: Lock<State<B>>,
}

#[derive(Debug, Default)]
struct State<B> {
    book: B,
    /// The latest time seen. Whoever comes with an earlier one is served as of this.
    now: u64,
    /// Nothing is granted before.
    blocked_until: u64,
}

impl<B: Book> State<B> {
    fn turn_to(&mut self, window: Window, now: Timestamp) {
        self.now = self.now.max(now.as_nanos());
        self.book.turn_to(window, self.now);
    }

    fn ready_at(&self, window: Window, n: u32) -> u64 {
        self.book.ready_at(window, self.now, n).max(self.blocked_until)
    }
}

impl<B: Book> Count for Sliding<B> {
    type Rule = Window;

    fn limit(window: &Window) -> u32 {
        window.limit.get()
    }

    fn take(&self, &window: &Window, n: u32, now: Timestamp) -> Result<Grant, Timestamp> {
        self.state.with(|state| {
            state.turn_to(window, now);
            let ready = state.ready_at(window, n);
            if ready > state.now {
                return Err(Timestamp::from_nanos(ready));
            }
            state.book.enter(state.now, n);
            let limit = window.limit.get();
            Ok(Grant {
                at: Timestamp::from_nanos(state.now),
                limit,
                room: u64::from(limit - state.book.used(window, state.now)),
                full_at: state.book.empty_at(window, state.now),
                pace: Pace::NANOS,
            })
        })
    }

    fn ready_at(&self, &window: &Window, n: u64, now: Timestamp) -> Timestamp {
        let (later, rest) = window.split(n);
        let ready = self.state.with(|state| {
            state.turn_to(window, now);
            state.ready_at(window, rest)
        });
        Timestamp::from_nanos(ready.saturating_add(later))
    }

    fn give_back(&self, &window: &Window, n: u32, taken_at: Option<Timestamp>) {
        let taken_at = taken_at.map(Timestamp::as_nanos);
        self.state.with(|state| state.book.strike(window, n, taken_at));
    }

    fn block_until(&self, _window: &Window, time: Timestamp) {
        self.state.with(|state| state.blocked_until = state.blocked_until.max(time.as_nanos()));
    }

    fn is_idle(&self, &window: &Window, now: Timestamp) -> bool {
        self.state.with(|state| {
            state.turn_to(window, now);
            state.book.used(window, state.now) == 0 && state.blocked_until <= state.now
        })
    }
}
