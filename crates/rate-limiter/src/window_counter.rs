//! The approximate sliding window.

use crate::window::{WindowLimit, WindowRecord};

/// An approximate sliding window in constant memory: one counter for the window that began at the
/// last multiple of its length, and one for the window before it.
///
/// From both it estimates how many tokens were taken in the window that ends now. The current
/// counter counts in full, the previous one by the part of its window that still overlaps, as if
/// its tokens were spread evenly. For even traffic the estimate is exact to a token. In the worst
/// case (a full limit at the very end of one window, and the rest in the next) an interval as long
/// as the window sees less than twice the limit.
///
/// [`SlidingLog`](crate::SlidingLog) is exact, and a token bucket spreads tokens better. Use this
/// one for limits that must match a service that counts this way.
///
/// Source: the estimate is that of Cloudflare's "How we built rate limiting capable of scaling to
/// millions of domains" (2017).
#[derive(Debug, Default)]
pub struct WindowCounter {
    /// When the current window began: a multiple of the length, no later than the latest call.
    start: u64,
    // INVARIANT: neither is above the limit, except for debts and after the limit was lowered. 64
    // bits hold any sum of debts: if a part of a debt were not counted, its refund would remove
    // tokens of other callers.
    previous: u64,
    current: u64,
}

impl WindowRecord for WindowCounter {
    fn advance_to(&mut self, window: WindowLimit, now: u64) {
        let passed = (now - self.start) / window.length;
        if passed > 0 {
            self.previous = if passed == 1 { self.current } else { 0 };
            self.current = 0;
            self.start += passed * window.length;
        }
    }

    fn ready_at(&self, window: WindowLimit, now: u64, n: u32) -> u64 {
        let left = u64::from(window.limit.get().saturating_sub(n));
        let ready = match left.checked_sub(self.current) {
            Some(left) => decayed_at(window, self.start, self.previous, left),
            // The tokens do not fit in this window. In the next one, the current counter decays.
            None => {
                decayed_at(window, self.start.saturating_add(window.length), self.current, left)
            }
        };
        ready.max(now)
    }

    fn add(&mut self, _window: WindowLimit, _now: u64, n: u32) {
        self.current = self.current.saturating_add(n.into());
    }

    /// Returns the estimate, rounded up.
    fn used(&self, window: WindowLimit, now: u64) -> u32 {
        let overlap = u128::from(window.length - (now - self.start));
        let tail = (u128::from(self.previous) * overlap).div_ceil(u128::from(window.length));
        // The tail is at most `previous`.
        let tail = u64::try_from(tail).unwrap_or(self.previous);
        u32::try_from(self.current.saturating_add(tail)).unwrap_or(u32::MAX)
    }

    fn empty_at(&self, window: WindowLimit, now: u64) -> u64 {
        let windows = match (self.previous, self.current) {
            (0, 0) => return now,
            (_, 0) => 1,
            _ => 2,
        };
        self.start.saturating_add(window.length.saturating_mul(windows))
    }

    /// Removes tokens of unknown age from the previous window first, where they count less: so the
    /// limiter can only become too strict.
    fn refund(&mut self, window: WindowLimit, n: u32, taken_at: Option<u64>) {
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

/// Returns when, in the window that begins at `start`, at most `left` of the `previous` window's
/// tokens count.
fn decayed_at(window: WindowLimit, start: u64, previous: u64, left: u64) -> u64 {
    if previous <= left {
        return start;
    }
    // previous·(length − elapsed) ≤ left·length, solved for the elapsed time.
    let overlap = u128::from(left) * u128::from(window.length) / u128::from(previous);
    let elapsed = window.length - u64::try_from(overlap).unwrap_or(window.length);
    start.saturating_add(elapsed)
}
