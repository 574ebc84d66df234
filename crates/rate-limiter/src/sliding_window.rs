//! The approximate sliding window.

use tidegate_core::{Timestamp, const_fn, lock::Lock};

use crate::{algorithm::Count, grant::Grant, pace::Pace, window::Window};

/// An approximate sliding window in constant memory: two counters, one for the window that began at the last multiple of
/// its length, one for the window before.
///
/// The window that ends now is estimated from both: the present one counts in full, the previous one by the part of it
/// that still overlaps, as if its tokens had been spread evenly. For even traffic the estimate is right to a token. In
/// the worst case, a full limit at the very end of one window and the rest of the next, an interval as long as a window
/// sees less than twice the limit. [`SlidingLog`](crate::SlidingLog) is exact, the token bucket spreads better; this one
/// is for limits that must match a service that counts this way.
///
/// Source: the estimate is the one of Cloudflare's "How we built rate limiting capable of scaling to millions of domains"
/// (2017).
#[derive(Debug, Default)]
pub struct TwoBuckets {
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    /// When the present window began; a multiple of the length.
    start: u64,
    // INVARIANT: neither is above the limit.
    previous: u32,
    current: u32,
    /// The latest time seen, not before `start`. Whoever comes with an earlier one is served as of this.
    latest: u64,
    /// Nothing is granted before.
    blocked_until: u64,
}

impl TwoBuckets {
    const_fn! {
        /// Creates the counters at zero.
        pub fn new() -> Self {
            Self { state: Lock::new(State::new()) }
        }
    }
}

impl State {
    const fn new() -> Self {
        Self { start: 0, previous: 0, current: 0, latest: 0, blocked_until: 0 }
    }

    /// Turns the windows so that the present one contains `now`.
    fn advance(&mut self, window: Window, now: Timestamp) {
        self.latest = self.latest.max(now.as_nanos());
        let passed = (self.latest - self.start) / window.length;
        if passed > 0 {
            self.previous = if passed == 1 { self.current } else { 0 };
            self.current = 0;
            self.start += passed * window.length;
        }
    }

    /// Returns when `n` tokens, at most the limit, fit into the estimate.
    fn ready_at(&self, window: Window, n: u32) -> u64 {
        let limit = window.limit.get();
        let ready = match limit.checked_sub(n).and_then(|room| room.checked_sub(self.current)) {
            Some(room) => decayed_at(window, self.start, self.previous, room),
            // Not in this window; in the next, `current` is what decays.
            None => {
                let next = self.start.saturating_add(window.length);
                decayed_at(window, next, self.current, limit - n)
            }
        };
        ready.max(self.latest).max(self.blocked_until)
    }

    /// Returns the tokens of the estimate, rounded up.
    fn estimate(&self, window: Window) -> u32 {
        let overlap = u128::from(window.length - (self.latest - self.start));
        let tail = (u128::from(self.previous) * overlap).div_ceil(u128::from(window.length));
        // The tail is not above `previous`.
        self.current + u32::try_from(tail).unwrap_or(self.previous)
    }

    /// Returns when the estimate is zero if nobody takes more.
    fn empty_at(&self, window: Window) -> u64 {
        let windows = match (self.previous, self.current) {
            (0, 0) => return self.latest,
            (_, 0) => 1,
            _ => 2,
        };
        self.start.saturating_add(window.length.saturating_mul(windows))
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns when, in the window that begins at `start`, no more than `room` is left of the `previous` window's tokens.
fn decayed_at(window: Window, start: u64, previous: u32, room: u32) -> u64 {
    let length = window.length;
    if previous <= room {
        return start;
    }
    // previous·(length − elapsed) ≤ room·length, solved for the elapsed time. Below the length, as room < previous.
    let overlap = u128::from(room) * u128::from(length) / u128::from(previous);
    let elapsed = length - u64::try_from(overlap).unwrap_or(length);
    start.saturating_add(elapsed)
}

impl Count for TwoBuckets {
    type Rule = Window;

    fn limit(window: &Window) -> u32 {
        window.limit.get()
    }

    fn take(&self, window: &Window, n: u32, now: Timestamp) -> Result<Grant, Timestamp> {
        self.state.with(|state| {
            state.advance(*window, now);
            let ready = state.ready_at(*window, n);
            if ready > state.latest {
                return Err(Timestamp::from_nanos(ready));
            }
            state.current += n;
            let limit = window.limit.get();
            Ok(Grant {
                at: Timestamp::from_nanos(state.latest),
                limit,
                room: u64::from(limit.saturating_sub(state.estimate(*window))),
                full_at: state.empty_at(*window),
                pace: Pace::NANOS,
            })
        })
    }

    fn ready_at(&self, window: &Window, n: u64, now: Timestamp) -> Timestamp {
        let (later, rest) = window.split(n);
        let ready = self.state.with(|state| {
            state.advance(*window, now);
            state.ready_at(*window, rest)
        });
        Timestamp::from_nanos(ready.saturating_add(later))
    }

    /// Tokens of unknown age are taken from the present window first.
    fn give_back(&self, window: &Window, n: u32, taken_at: Option<Timestamp>) {
        self.state.with(|state| {
            let (of_current, of_previous) = match taken_at.map(Timestamp::as_nanos) {
                None => (n.min(state.current), n.saturating_sub(state.current)),
                Some(at) if at >= state.start => (n, 0),
                Some(at) if state.start - at <= window.length => (0, n),
                Some(_) => (0, 0),
            };
            state.current = state.current.saturating_sub(of_current);
            state.previous = state.previous.saturating_sub(of_previous);
        });
    }

    fn block_until(&self, _window: &Window, time: Timestamp) {
        self.state.with(|state| state.blocked_until = state.blocked_until.max(time.as_nanos()));
    }

    fn is_idle(&self, window: &Window, now: Timestamp) -> bool {
        self.state.with(|state| {
            state.advance(*window, now);
            state.estimate(*window) == 0 && state.blocked_until <= state.latest
        })
    }
}
