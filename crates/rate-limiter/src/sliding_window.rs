//! The approximate sliding window.

use crate::window::{Book, Window};

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
    /// When the present window began; a multiple of the length, not after the latest turn.
    start: u64,
    // INVARIANT: neither is above the limit, unless tokens were owed or the limit was lowered. As wide as no sum of debts: a debt
    // that is forgotten would be given back out of what others took.
    previous: u64,
    current: u64,
}

impl Book for TwoBuckets {
    fn turn_to(&mut self, window: Window, now: u64) {
        let passed = (now - self.start) / window.length;
        if passed > 0 {
            self.previous = if passed == 1 { self.current } else { 0 };
            self.current = 0;
            self.start += passed * window.length;
        }
    }

    fn ready_at(&self, window: Window, now: u64, n: u32) -> u64 {
        let room = u64::from(window.limit.get().saturating_sub(n));
        let ready = match room.checked_sub(self.current) {
            Some(room) => decayed_at(window, self.start, self.previous, room),
            // Not in this window; in the next, the present counter is what decays.
            None => {
                decayed_at(window, self.start.saturating_add(window.length), self.current, room)
            }
        };
        ready.max(now)
    }

    fn enter(&mut self, _window: Window, _now: u64, n: u32) {
        self.current = self.current.saturating_add(n.into());
    }

    /// The estimate, rounded up.
    fn used(&self, window: Window, now: u64) -> u32 {
        let overlap = u128::from(window.length - (now - self.start));
        let tail = (u128::from(self.previous) * overlap).div_ceil(u128::from(window.length));
        // The tail is not above `previous`.
        let tail = u64::try_from(tail).unwrap_or(self.previous);
        u32::try_from(self.current.saturating_add(tail)).unwrap_or(u32::MAX)
    }

    fn empty_at(&self, window: Window, now: u64) -> u64 {
        let windows = match (self.previous, self.current) {
            (0, 0) => return now,
            (_, 0) => 1,
            _ => 2,
        };
        self.start.saturating_add(window.length.saturating_mul(windows))
    }

    /// Tokens of unknown age are struck from the window before first, where they count less: that can only be too strict.
    fn strike(&mut self, window: Window, n: u32, taken_at: Option<u64>) {
        let n = u64::from(n);
        let (of_current, of_previous) = match taken_at {
            None => (n.saturating_sub(self.previous), n.min(self.previous)),
            Some(at) if at >= self.start => (n, 0),
            Some(at) if self.start - at <= window.length => (0, n),
            Some(_) => (0, 0),
        };
        self.current = self.current.saturating_sub(of_current);
        self.previous = self.previous.saturating_sub(of_previous);
    }
}

/// Returns when, in the window that begins at `start`, no more than `room` is left of the `previous` window's tokens.
fn decayed_at(window: Window, start: u64, previous: u64, room: u64) -> u64 {
    if previous <= room {
        return start;
    }
    // previous·(length − elapsed) ≤ room·length, solved for the elapsed time. Below the length, as room < previous.
    let overlap = u128::from(room) * u128::from(window.length) / u128::from(previous);
    let elapsed = window.length - u64::try_from(overlap).unwrap_or(window.length);
    start.saturating_add(elapsed)
}
