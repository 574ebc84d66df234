//! What a token bucket's word does not contain: refunds and reservations.

use tidegate_core::Timestamp;

use crate::{
    bucket_math::{BucketMath, Epoch},
    claims::Claims,
    grant::{Denied, Grant, Request},
    inherit::OldQuota,
    quota::Quota,
    refunded::Refunded,
    time_units::TimeUnits,
};

/// The part of a token bucket behind a lock.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) quota: Quota,
    // INVARIANT: the quota of the lane in which the word is.
    pub(crate) math: BucketMath,
    blocked_until: Timestamp,
    /// The position on the axis of [`Refunded`] up to which no refund restores anything.
    refund_floor: u64,
    refunded: Refunded,
    /// The latest time of a refund.
    latest_time: Timestamp,
    /// Present while tokens are reserved. Then it has the bucket's number, and the word is at the
    /// end of time.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) next_id: u64,
}

impl Ledger {
    pub(crate) const fn new(quota: Quota, math: BucketMath) -> Self {
        Self {
            quota,
            math,
            blocked_until: Timestamp::ORIGIN,
            refund_floor: 0,
            refunded: Refunded::new(),
            latest_time: Timestamp::ORIGIN,
            schedule: None,
            next_id: 0,
        }
    }

    /// Returns `now`, or the latest time of an earlier refund if that is later.
    pub(crate) fn observe(&mut self, now: Timestamp) -> Timestamp {
        self.latest_time = self.latest_time.max(now);
        self.latest_time
    }

    /// Returns how many units of `n` tokens of `grant` are still missing at `now` in a bucket that
    /// is at `full_at`. The caller moves the bucket down by them and calls
    /// [`note_refund`](Self::note_refund).
    pub(crate) fn refundable(&self, grant: &Grant, n: u32, full_at: u64, now: Timestamp) -> u64 {
        let math = &self.math;
        if full_at == TimeUnits::END {
            return 0;
        }
        if grant.epoch == 0 {
            return math.refundable_by_age(grant, n, now).min(self.above_floor(full_at));
        }
        let top = self.top(full_at);
        let is_on_axis = grant.position > self.refund_floor && grant.position <= top;
        if grant.epoch != math.epoch.id || !is_on_axis {
            return 0;
        }
        let above = (top - grant.position) - self.refunded.above(grant.position);
        let price = math.price(grant.tokens);
        let low = grant.position.saturating_sub(price);
        let left = price - self.refunded.within(low, grant.position).min(price);
        let missing = full_at.saturating_sub(above).saturating_sub(math.present(now));
        math.price(n).min(left).min(missing)
    }

    /// Returns how many units of the latest `n` tokens can be refunded to a bucket at `full_at`.
    pub(crate) fn refundable_latest(&self, n: u32, full_at: u64) -> u64 {
        if full_at == TimeUnits::END {
            return 0;
        }
        self.math.price(n).min(self.above_floor(full_at))
    }

    /// Returns how many units above the floor are taken from a bucket at `full_at`: to refund more
    /// would shorten a penalty.
    fn above_floor(&self, full_at: u64) -> u64 {
        let above = self.top(full_at).saturating_sub(self.refund_floor);
        full_at.min(above.saturating_sub(self.refunded.above(self.refund_floor)))
    }

    /// Notes that a bucket was moved down to `full_at` by `units`, which ended at `position`.
    /// Returns the sum of all refunds, which the caller publishes.
    pub(crate) fn note_refund(&mut self, position: u64, units: u64, full_at: u64) -> u64 {
        self.refunded.add(position, units);
        self.math.epoch.refunded += units;
        // Time has refilled everything below this position, whatever was refunded above.
        let missing = full_at.saturating_sub(self.math.present(self.latest_time));
        let refilled =
            self.top(full_at).saturating_sub(missing).saturating_sub(self.refunded.above(0));
        self.refunded.forget_up_to(refilled.max(self.refund_floor));
        self.math.epoch.refunded
    }

    /// Returns the position on the axis of a bucket that is at `full_at`.
    pub(crate) fn top(&self, full_at: u64) -> u64 {
        full_at + self.math.epoch.refunded
    }

    /// Notes that a bucket at `full_at` grants nothing before `time`. What was taken until now is
    /// never refunded, as that would shorten the penalty.
    pub(crate) fn note_penalty(&mut self, time: Timestamp, full_at: u64) {
        self.blocked_until = self.blocked_until.max(time);
        self.refund_floor = self.top(full_at);
    }

    /// Returns the same quota with an origin nearer to `time`, if its numbers do not cover that
    /// time.
    pub(crate) fn rebased(&self, time: Timestamp) -> Option<BucketMath> {
        (!self.math.covers(time) && time != Timestamp::NEVER)
            .then(|| self.math.around(time))
            .map(|math| self.next_epoch(math))
    }

    /// Returns the same quota in a new epoch if more units than [`TimeUnits::LONGEST`] were
    /// refunded in this one.
    pub(crate) fn epoch_used_up(&self) -> Option<BucketMath> {
        (self.math.epoch.refunded > TimeUnits::LONGEST).then(|| self.next_epoch(self.math))
    }

    fn next_epoch(&self, math: BucketMath) -> BucketMath {
        // Never zero, which stands for no axis.
        let id = self.math.epoch.id.checked_add(1).unwrap_or(1);
        BucketMath { epoch: Epoch { id, refunded: 0, ..math.epoch }, ..math }
    }

    pub(crate) fn math_of(&self, quota: &Quota, now: Timestamp) -> BucketMath {
        self.next_epoch(quota.fine_math().around(now))
    }

    pub(crate) const fn old_quota(&self) -> OldQuota {
        OldQuota { math: self.math, blocked_until: self.blocked_until }
    }

    /// Counts by another quota, in a new epoch. `convert` converts the bucket's number.
    pub(crate) fn change(&mut self, math: BucketMath, convert: impl FnOnce(u64) -> u64) {
        self.math = math;
        self.refunded = Refunded::new();
        let is_penalized = self.blocked_until > Timestamp::ORIGIN;
        self.refund_floor = if is_penalized { math.blocked_until(self.blocked_until) } else { 0 };
        if let Some(schedule) = &mut self.schedule {
            schedule.full_at = convert(schedule.full_at);
            schedule.claims.convert(&math);
        }
    }
}

/// A bucket some of whose tokens are reserved.
///
/// Reserved tokens are taken out of the bucket at their times. Until then, a newcomer gets tokens
/// that no reservation needs: those of cancelled reservations, and those that a faster quota adds.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) full_at: u64,
    pub(crate) claims: Claims,
}

impl Schedule {
    pub(crate) fn take(
        &mut self,
        math: &BucketMath,
        request: Request,
        now: Timestamp,
    ) -> Result<Grant, Denied> {
        let present = math.present(now);
        let horizon = present.saturating_add(math.depth).min(TimeUnits::END);
        let most = horizon.min(self.claims.max_before());
        let next = self.full_at.max(present).saturating_add(math.price(request.least));
        if next > most || self.full_at >= TimeUnits::END {
            return Err(self.deny_behind(math, request.least, 0, now));
        }
        let more = u32::try_from((most - next) / math.time_units.cost).unwrap_or(u32::MAX);
        let more = more.min(request.most.saturating_sub(request.least));
        self.full_at = next + math.price(more);
        let until_full = self.full_at - present;
        Ok(math.grant(request.least + more, self.full_at, until_full, most - self.full_at, now))
    }

    pub(crate) fn force_take(&mut self, math: &BucketMath, n: u32, now: Timestamp) -> Grant {
        let (next, grant) = math.force_take(self.full_at, n, now);
        self.full_at = next;
        grant
    }

    /// Denies a newcomer's `n` tokens while waiters need `queued` tokens.
    pub(crate) fn deny_behind(
        &self,
        math: &BucketMath,
        n: u32,
        queued: u64,
        now: Timestamp,
    ) -> Denied {
        Denied::behind(queued, n, math.burst, |n| self.ready_at(math, n, now))
    }

    /// Returns the earliest time by which callers can take `n` tokens in all. `n` may be above the
    /// burst.
    fn ready_at(&self, math: &BucketMath, n: u64, now: Timestamp) -> Timestamp {
        if self.full_at >= TimeUnits::END {
            return Timestamp::NEVER;
        }
        let price = math.time_units.cost.saturating_mul(n);
        let units = self.claims.ready_at(math, self.full_at, price, math.present(now));
        math.time(units).max(now)
    }

    /// Reserves `n` tokens, after all that are reserved already. Returns `None` if they are never
    /// available.
    pub(crate) fn reserve(
        &mut self,
        math: &BucketMath,
        id: u64,
        n: u32,
        now: Timestamp,
    ) -> Option<(Grant, Timestamp)> {
        let present = math.present(now);
        let next = self.claims.after(self.full_at).max(present).saturating_add(math.price(n));
        if next >= TimeUnits::END {
            return None;
        }
        let units = next.saturating_sub(math.depth).max(present);
        let ready_at = self.claims.push(math, id, n, units).max(now);
        let left = present.saturating_add(math.depth).saturating_sub(next);
        let mut grant = math.grant(n, next, next - present, left, now);
        // The position of the grant is known only at the reservation's time, so its age decides
        // what a refund restores.
        grant.epoch = 0;
        Some((grant, ready_at))
    }
}
