//! The arithmetic of a token bucket, without the bucket.

use tidegate_core::Timestamp;

use crate::{
    algorithm::{Ask, Denied},
    grant::Grant,
    pace::Pace,
};

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

    #[inline(always)]
    pub(crate) fn present(&self, now: Timestamp) -> u64 {
        self.pace.units(now.as_nanos())
    }

    /// Takes what is asked for out of a bucket: returns the new number and what was granted.
    ///
    /// # Errors
    ///
    /// Why not.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        full_at: u64,
        ask: Ask,
        now: Timestamp,
    ) -> Result<(u64, Grant), Denied> {
        if ask.least > self.burst {
            return Err(Denied::Beyond(self.burst));
        }
        let present = self.present(now);
        let horizon = present.wrapping_add(self.depth);
        let least = self.pace.cost.wrapping_mul(u64::from(ask.least));
        let mut next = full_at.max(present).wrapping_add(least);
        if next > horizon || next > Pace::END {
            return Err(Denied::Until(self.paid_at(full_at, next, now)));
        }
        let horizon = horizon.min(Pace::END);
        let mut tokens = ask.least;
        if ask.most > ask.least {
            let more = (horizon - next) / self.pace.cost;
            let more = u32::try_from(more).unwrap_or(u32::MAX).min(ask.most - ask.least);
            next += self.pace.cost * u64::from(more);
            tokens += more;
        }
        Ok((next, self.grant(tokens, next, horizon - next, now)))
    }

    /// Takes `n` tokens, whether they are there or not.
    pub(crate) fn owe(&self, full_at: u64, n: u32, now: Timestamp) -> (u64, Grant) {
        let present = self.present(now);
        let next = full_at.max(present).saturating_add(self.price(n)).min(Pace::END);
        let room = present.saturating_add(self.depth).saturating_sub(next);
        (next, self.grant(n, next, room, now))
    }

    #[inline(always)]
    fn grant(&self, tokens: u32, full_at: u64, room: u64, at: Timestamp) -> Grant {
        Grant { at, tokens, limit: self.burst, room, full_at, pace: self.pace }
    }

    /// Returns when the last of the tokens is there that bring a bucket from `full_at` to `next`; not before `now`, and
    /// never if it is blocked for ever, however deep it is.
    #[inline(always)]
    pub(crate) fn paid_at(&self, full_at: u64, next: u64, now: Timestamp) -> Timestamp {
        if full_at >= Pace::END {
            return Timestamp::NEVER;
        }
        Timestamp::from_nanos(self.pace.nanos(next.saturating_sub(self.depth))).max(now)
    }

    /// Returns when `n` tokens in all can have been taken at the earliest, `n` being as large as it likes.
    pub(crate) fn ready_at(&self, full_at: u64, n: u64, now: Timestamp) -> Timestamp {
        let price = self.pace.cost.saturating_mul(n);
        self.paid_at(full_at, full_at.max(self.present(now)).saturating_add(price), now)
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
