//! The arithmetic of a token bucket, without the bucket.

use tidegate_core::Timestamp;

use crate::{
    algorithm::{Ask, Denied, Due},
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
    /// The last number, which stands for the end of time.
    pub(crate) end: u64,
    /// What a grant of these terms needs besides.
    pub(crate) stand: Stand,
}

/// Where numbers begin to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Stand {
    /// The time of number zero, in nanoseconds.
    pub(crate) origin: u64,
    /// What was given back under these terms: with it, a number becomes a place on the axis of [`Returned`].
    ///
    /// [`Returned`]: crate::returned::Returned
    pub(crate) returned: u64,
    /// Differs from terms to terms of one bucket; zero where places are not known, as nothing remembers what was given back.
    pub(crate) reign: u32,
}

impl Terms {
    pub(crate) const fn new(pace: Pace, depth: u64, burst: u32, end: u64) -> Self {
        let stand = Stand { origin: 0, returned: 0, reign: 0 };
        Self { pace, depth, burst, end, stand }
    }

    #[inline(always)]
    pub(crate) fn present(&self, now: Timestamp) -> u64 {
        self.pace.units(now.as_nanos().saturating_sub(self.stand.origin))
    }

    /// As [`present`](Self::present), but out of reach of every number where `now` is before the origin.
    #[inline(always)]
    fn present_within_reach(&self, now: Timestamp) -> u64 {
        match now.as_nanos().checked_sub(self.stand.origin) {
            Some(nanos) => self.pace.units(nanos),
            None => u64::MAX,
        }
    }

    /// Returns a time at which a bucket can be asked: not before the origin.
    pub(crate) fn not_before_origin(&self, now: Timestamp) -> Timestamp {
        now.max(Timestamp::from_nanos(self.stand.origin))
    }

    /// Returns the first time at which `units` have passed.
    #[inline]
    pub(crate) fn time(&self, units: u64) -> Timestamp {
        if units >= self.end {
            return Timestamp::NEVER;
        }
        Timestamp::from_nanos(self.pace.nanos(units).saturating_add(self.stand.origin))
    }

    /// Returns whether numbers still reach as far as a bucket goes at that time.
    #[inline]
    pub(crate) fn reaches(&self, time: Timestamp) -> bool {
        self.present(time) <= self.end - self.depth
    }

    /// Returns the same terms with an origin from which numbers reach far to both sides of `time`.
    pub(crate) fn around(&self, time: Timestamp) -> Self {
        let origin = time.as_nanos().saturating_sub(Pace::LONGEST / 2);
        Self { stand: Stand { origin, ..self.stand }, ..*self }
    }

    /// Returns what a number of these terms is in the same terms with another origin, a later one as a rule. One before that origin is a
    /// full bucket.
    pub(crate) fn moved(&self, full_at: u64, to: &Self) -> u64 {
        if full_at == self.end {
            return full_at;
        }
        full_at.saturating_sub(self.pace.units(to.stand.origin.saturating_sub(self.stand.origin)))
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
        let present = self.present_within_reach(now);
        let least = self.pace.cost.wrapping_mul(u64::from(ask.least));
        let start = full_at.max(present);
        // What is missing then.
        let mut missing = start - present;
        // Only numbers of 64 bits can be so large.
        missing = if self.end == u64::MAX {
            missing.saturating_add(least)
        } else {
            missing.wrapping_add(least)
        };
        if missing > self.depth || present > self.end.wrapping_sub(self.depth) {
            return Err(if self.is_beyond(full_at, present) {
                Denied::Never
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
        let mut tokens = ask.least;
        if ask.most > ask.least {
            let more = (self.depth - missing) / self.pace.cost;
            let more = u32::try_from(more).unwrap_or(u32::MAX).min(ask.most - ask.least);
            let price = self.pace.cost.wrapping_mul(u64::from(more));
            (missing, next) = (missing.wrapping_add(price), next.wrapping_add(price));
            tokens += more;
        }
        let room = self.depth.wrapping_sub(missing);
        Ok((next, self.grant(tokens, next, missing, room, now)))
    }

    /// Returns what [`take`](Self::take) granted when it took `n` tokens out of a bucket that was at `full_at`.
    #[inline(always)]
    pub(crate) fn granted(&self, full_at: u64, n: u32, now: Timestamp) -> Grant {
        let present = self.present_within_reach(now);
        let next = full_at.max(present).wrapping_add(self.pace.cost.wrapping_mul(u64::from(n)));
        let missing = next.wrapping_sub(present);
        self.grant(n, next, missing, self.depth.wrapping_sub(missing), now)
    }

    /// Takes `n` tokens, whether they are there or not.
    pub(crate) fn owe(&self, full_at: u64, n: u32, now: Timestamp) -> (u64, Grant) {
        let present = self.present(now);
        let next = full_at.max(present).saturating_add(self.price(n)).min(self.end);
        let room = present.saturating_add(self.depth).saturating_sub(next);
        (next, self.grant(n, next, next.saturating_sub(present), room, now))
    }

    #[inline(always)]
    pub(crate) fn grant(
        &self,
        tokens: u32,
        full_at: u64,
        lacking: u64,
        room: u64,
        at: Timestamp,
    ) -> Grant {
        let stand = self.stand;
        Grant {
            at,
            tokens,
            limit: self.burst,
            room,
            lacking,
            pace: self.pace,
            place: full_at.wrapping_add(stand.returned),
            reign: stand.reign,
        }
    }

    /// Returns whether a bucket is blocked for ever, or numbers do not reach as far as it goes.
    #[inline(always)]
    fn is_beyond(&self, full_at: u64, present: u64) -> bool {
        full_at >= self.end || present > self.end.wrapping_sub(self.depth)
    }

    /// Returns when `n` tokens in all can have been taken at the earliest, `n` being as large as it likes.
    pub(crate) fn ready_at(&self, full_at: u64, n: u64, now: Timestamp) -> Timestamp {
        let price = self.pace.cost.saturating_mul(n);
        let present = self.present(now);
        if self.is_beyond(full_at, present) {
            return Timestamp::NEVER;
        }
        let next = full_at.max(present).saturating_add(price);
        self.time(next.saturating_sub(self.depth)).max(now)
    }

    /// Returns when `n` tokens in all are due, for those who ask while others want tokens.
    pub(crate) fn due(&self, full_at: u64, n: u64, wanted: u64, now: Timestamp) -> Due {
        let all = wanted.saturating_add(self.burst.into());
        Due {
            ready_at: self.ready_at(full_at, n, now),
            reset_at: self.ready_at(full_at, all, now),
            limit: self.burst,
        }
    }

    /// Returns how much of `tokens` that come back at `now` is missing still, for a bucket that does not remember what else came
    /// back.
    ///
    /// At its time a grant stood at the present or above, so it does now, whatever has been given back since.
    pub(crate) fn lacking_by_age(&self, grant: &Grant, tokens: u32, now: Timestamp) -> u64 {
        let (taken, present) = (self.present(grant.at), self.present(now));
        // When the tokens could be used: later than they were taken if they were promised.
        let used = taken.saturating_add(grant.lacking).saturating_sub(self.depth).max(taken);
        let (price, missing) = (self.price(tokens), self.price(grant.tokens).saturating_add(used));
        if used > present { 0 } else { missing.saturating_sub(present).min(price) }
    }

    /// Returns the number of a bucket in which exactly one token is there at `time`, and none before: one that has to be
    /// polite does not begin with a burst.
    pub(crate) fn blocked_until(&self, time: Timestamp) -> u64 {
        self.present(time).saturating_add(self.depth - self.pace.cost).min(self.end)
    }

    pub(crate) fn price(&self, n: u32) -> u64 {
        self.pace.cost.saturating_mul(u64::from(n))
    }
}
