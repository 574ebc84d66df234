//! The arithmetic of a token bucket.

use tidegate_core::Timestamp;

use crate::{
    grant::{Denied, Due, Grant, Request},
    time_units::TimeUnits,
};

/// A quota in the form in which a token bucket computes with it.
///
/// A bucket is one number, `full_at`: the units of time (see [`TimeUnits`]) that will have passed
/// since the origin when it is full again. So a smaller number means a fuller bucket, and every
/// number up to the present means a full bucket.
///
/// The methods that only the fast path calls wrap around on overflow. That happens only with a mix
/// of two quotas, which a racing caller may pass, and then the result is thrown away (see
/// [`Gcra`](crate::gcra::Gcra)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BucketMath {
    pub(crate) time_units: TimeUnits,
    /// What a full bucket holds, in units: the cost of `burst` tokens. At most 2^62.
    pub(crate) depth: u64,
    pub(crate) burst: u32,
    /// The largest number, which stands for the end of time.
    pub(crate) end: u64,
    pub(crate) epoch: Epoch,
}

/// The time in which a bucket keeps its quota, its origin and its axis of refunds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Epoch {
    /// The time of number zero, in nanoseconds.
    pub(crate) origin: u64,
    /// All units refunded in this epoch. Added to a number, they make it a position on the axis of
    /// [`Refunded`](crate::refunded::Refunded).
    pub(crate) refunded: u64,
    /// Zero in a bucket that does not remember refunds, and so has no axis.
    pub(crate) id: u32,
}

impl BucketMath {
    pub(crate) const fn new(time_units: TimeUnits, depth: u64, burst: u32, end: u64) -> Self {
        let epoch = Epoch { origin: 0, refunded: 0, id: 0 };
        Self { time_units, depth, burst, end, epoch }
    }

    #[inline(always)]
    pub(crate) fn present(&self, now: Timestamp) -> u64 {
        self.time_units.units(now.as_nanos().saturating_sub(self.epoch.origin))
    }

    /// Returns the [`present`](Self::present), or a number above all others if `now` is before the
    /// origin.
    #[inline(always)]
    fn present_or_beyond(&self, now: Timestamp) -> u64 {
        match now.as_nanos().checked_sub(self.epoch.origin) {
            Some(nanos) => self.time_units.units(nanos),
            None => u64::MAX,
        }
    }

    /// Returns `now`, or the origin if that is later.
    pub(crate) fn not_before_origin(&self, now: Timestamp) -> Timestamp {
        now.max(Timestamp::from_nanos(self.epoch.origin))
    }

    /// Returns the first time at which `units` have passed; never, if they are the end of time.
    #[inline]
    pub(crate) fn time(&self, units: u64) -> Timestamp {
        if units >= self.end {
            return Timestamp::NEVER;
        }
        Timestamp::from_nanos(self.time_units.nanos(units).saturating_add(self.epoch.origin))
    }

    /// Returns whether numbers reach to `time`, and beyond it by the depth of the bucket.
    #[inline]
    pub(crate) fn covers(&self, time: Timestamp) -> bool {
        self.present(time) <= self.end - self.depth
    }

    /// Returns the same quota with an origin from which numbers reach far to both sides of `time`.
    pub(crate) fn around(&self, time: Timestamp) -> Self {
        let origin = time.as_nanos().saturating_sub(TimeUnits::LONGEST / 2);
        Self { epoch: Epoch { origin, ..self.epoch }, ..*self }
    }

    /// Converts a number to the origin of `to`, usually a later one. A number before that origin
    /// becomes zero, a full bucket.
    pub(crate) fn rebase(&self, full_at: u64, to: &Self) -> u64 {
        if full_at == self.end {
            return full_at;
        }
        let moved = to.epoch.origin.saturating_sub(self.epoch.origin);
        full_at.saturating_sub(self.time_units.units(moved))
    }

    /// Takes the requested tokens out of a bucket. Returns the new number and the grant.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        full_at: u64,
        request: Request,
        now: Timestamp,
    ) -> Result<(u64, Grant), Denied> {
        if request.least > self.burst {
            return Err(Denied::TooMany(self.burst));
        }
        let present = self.present_or_beyond(now);
        let least = self.time_units.cost.wrapping_mul(u64::from(request.least));
        let start = full_at.max(present);
        let mut missing = start - present;
        // Only numbers of 64 bits are large enough to overflow.
        missing = if self.end == u64::MAX {
            missing.saturating_add(least)
        } else {
            missing.wrapping_add(least)
        };
        if missing > self.depth || present > self.end.wrapping_sub(self.depth) {
            return Err(if self.is_out_of_range(full_at, present) {
                Denied::Never(self.burst)
            } else {
                let next = start.wrapping_add(least);
                Denied::Until(Due {
                    ready_at: self.time(next.wrapping_sub(self.depth)).max(now),
                    reset_at: self.time(start),
                    limit: self.burst,
                })
            });
        }
        let mut next = start.wrapping_add(least);
        let mut tokens = request.least;
        if request.most > request.least {
            let more = (self.depth - missing) / self.time_units.cost;
            let more = u32::try_from(more).unwrap_or(u32::MAX).min(request.most - request.least);
            let price = self.time_units.cost.wrapping_mul(u64::from(more));
            (missing, next) = (missing.wrapping_add(price), next.wrapping_add(price));
            tokens += more;
        }
        let left = self.depth.wrapping_sub(missing);
        Ok((next, self.grant(tokens, next, missing, left, now)))
    }

    /// Returns what [`take`](Self::take) granted when it took `n` tokens and returned the number
    /// `next`.
    #[inline(always)]
    pub(crate) fn granted(&self, next: u64, n: u32, now: Timestamp) -> Grant {
        let missing = next.wrapping_sub(self.present_or_beyond(now));
        self.grant(n, next, missing, self.depth.wrapping_sub(missing), now)
    }

    /// Takes `n` tokens even if they are not available.
    pub(crate) fn force_take(&self, full_at: u64, n: u32, now: Timestamp) -> (u64, Grant) {
        let present = self.present(now);
        let next = full_at.max(present).saturating_add(self.price(n)).min(self.end);
        let left = present.saturating_add(self.depth).saturating_sub(next);
        (next, self.grant(n, next, next.saturating_sub(present), left, now))
    }

    #[inline(always)]
    pub(crate) fn grant(
        &self,
        tokens: u32,
        full_at: u64,
        until_full: u64,
        left: u64,
        at: Timestamp,
    ) -> Grant {
        Grant {
            at,
            tokens,
            limit: self.burst,
            left,
            until_full,
            time_units: self.time_units,
            position: full_at.wrapping_add(self.epoch.refunded),
            epoch: self.epoch.id,
        }
    }

    /// Returns whether a bucket is blocked for ever, or numbers do not reach beyond `present` by
    /// its depth.
    #[inline(always)]
    fn is_out_of_range(&self, full_at: u64, present: u64) -> bool {
        full_at >= self.end || present > self.end.wrapping_sub(self.depth)
    }

    /// Returns the earliest time by which callers can take `n` tokens in all. `n` may be above the
    /// burst.
    pub(crate) fn ready_at(&self, full_at: u64, n: u64, now: Timestamp) -> Timestamp {
        let price = self.time_units.cost.saturating_mul(n);
        let present = self.present(now);
        if self.is_out_of_range(full_at, present) {
            return Timestamp::NEVER;
        }
        let next = full_at.max(present).saturating_add(price);
        self.time(next.saturating_sub(self.depth)).max(now)
    }

    /// Returns how many units of `tokens` tokens of `grant` are not refilled by time at `now`, for
    /// a bucket that does not remember other refunds.
    ///
    /// Assumes that the tokens lie directly above the number of the time at which they could be
    /// used. Refunds made since may have moved them down, but never below that number.
    pub(crate) fn refundable_by_age(&self, grant: &Grant, tokens: u32, now: Timestamp) -> u64 {
        let (taken, present) = (self.present(grant.at), self.present(now));
        // The number of the time at which the tokens could be used: later than they were taken if
        // they were reserved.
        let used = taken.saturating_add(grant.until_full).saturating_sub(self.depth).max(taken);
        let (price, missing) = (self.price(tokens), self.price(grant.tokens).saturating_add(used));
        if used > present { 0 } else { missing.saturating_sub(present).min(price) }
    }

    /// Returns the number of a bucket in which exactly one token is available at `time`, and none
    /// before: after a penalty a client does not begin with a burst.
    pub(crate) fn blocked_until(&self, time: Timestamp) -> u64 {
        self.present(time).saturating_add(self.depth - self.time_units.cost).min(self.end)
    }

    pub(crate) fn price(&self, n: u32) -> u64 {
        self.time_units.cost.saturating_mul(u64::from(n))
    }
}
