//! The arithmetic of a token bucket, without the bucket.

use tidegate_core::Timestamp;

use crate::{algorithm::Ask, grant::Grant, pace::Pace};

/// What a step of a token bucket needs to know of its quota.
///
/// A bucket is one number: the units (see [`Pace`]) that will have passed when it is full again. So a smaller number is a
/// fuller bucket, and any number up to the present is a full one.
///
/// The methods that only a fast path calls do not check for overflow: what they are given may be a mix of two quotas,
/// whose result is thrown away (see [`Gcra`](crate::gcra::Gcra)). Every true quota is so small that nothing overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    pub(crate) pace: Pace,
    /// What a full bucket holds, in units: the cost of `burst` tokens. At most 2^62.
    pub(crate) depth: u64,
    pub(crate) burst: u32,
}

impl Terms {
    pub(crate) const fn new(pace: Pace, burst: u32) -> Self {
        // At most four times 36 years: `Quota` has seen to it.
        Self { pace, depth: pace.cost * burst as u64, burst }
    }

    #[inline]
    pub(crate) fn present(&self, now: Timestamp) -> u64 {
        self.pace.units(now.as_nanos())
    }

    /// Takes what is asked for out of a bucket: returns the new number and what was granted; `None` if it is not there.
    #[inline]
    pub(crate) fn take(&self, full_at: u64, ask: Ask, now: Timestamp) -> Option<(u64, Grant)> {
        if ask.least > self.burst {
            return None;
        }
        let present = self.present(now);
        let horizon = present.wrapping_add(self.depth).min(Pace::END);
        let least = self.pace.cost.wrapping_mul(u64::from(ask.least));
        let mut next = full_at.max(present).wrapping_add(least);
        if next > horizon {
            return None;
        }
        let mut tokens = ask.least;
        if ask.most > ask.least {
            let more = (horizon - next) / self.pace.cost;
            let more = u32::try_from(more).unwrap_or(u32::MAX).min(ask.most - ask.least);
            next += self.pace.cost * u64::from(more);
            tokens += more;
        }
        Some((next, self.grant(tokens, next, horizon - next, now)))
    }

    /// Takes `n` tokens, whether they are there or not.
    pub(crate) fn owe(&self, full_at: u64, n: u32, now: Timestamp) -> (u64, Grant) {
        let present = self.present(now);
        let next = full_at.max(present).saturating_add(self.price(n)).min(Pace::END);
        let room = present.saturating_add(self.depth).saturating_sub(next);
        (next, self.grant(n, next, room, now))
    }

    #[inline]
    fn grant(&self, tokens: u32, full_at: u64, room: u64, at: Timestamp) -> Grant {
        Grant { at, tokens, limit: self.burst, room, full_at, pace: self.pace }
    }

    /// Returns when the last of the tokens that make the bucket full at `full_at` is there; not before `now`.
    pub(crate) fn paid_at(&self, full_at: u64, now: Timestamp) -> Timestamp {
        if full_at >= Pace::END {
            return Timestamp::NEVER;
        }
        Timestamp::from_nanos(self.pace.nanos(full_at.saturating_sub(self.depth))).max(now)
    }

    /// Returns when `n` tokens in all can have been taken at the earliest, `n` being as large as it likes.
    #[inline]
    pub(crate) fn ready_at(&self, full_at: u64, n: u64, now: Timestamp) -> Timestamp {
        let price = self.pace.cost.saturating_mul(n);
        let ready = full_at.max(self.present(now)).saturating_add(price).saturating_sub(self.depth);
        // Blocked for ever it is never ready, however deep the bucket.
        if full_at >= Pace::END {
            return Timestamp::NEVER;
        }
        Timestamp::from_nanos(self.pace.nanos(ready)).max(now)
    }

    /// Returns the number of a bucket in which exactly one token is there at `time`, and none before: one that has to be
    /// polite does not begin with a burst.
    pub(crate) fn blocked_until(&self, time: Timestamp) -> u64 {
        self.present(time).saturating_add(self.depth - self.pace.cost).min(Pace::END)
    }

    pub(crate) fn price(&self, n: u32) -> u64 {
        self.pace.cost.saturating_mul(u64::from(n))
    }
}
