//! The token bucket of a limiter: its word, and the ledger of refunds and reservations.

use core::fmt;

use tidegate_core::{Timestamp, const_fn, lock::Lock};

use crate::{
    algorithm::TokenCounter,
    bucket_math::BucketMath,
    claims::Claims,
    gcra::Gcra,
    grant::{Denied, Due, Grant, Request},
    inherit::Inherit,
    ledger::{Ledger, Schedule},
    live_quota::LiveQuota,
    quota::Quota,
    time_units::TimeUnits,
};

/// A token bucket, kept as the generic cell rate algorithm (GCRA) on one atomic word.
///
/// A grant is one compare-and-swap. Refunds, reservations, cancels, penalties and changes of the
/// quota also take a short lock, behind which a ledger remembers refunds and reservations. While
/// tokens are reserved, grants take that lock, too.
///
/// Source: ITU-T I.371 (1993), annex A, the virtual scheduling algorithm; ATM Forum, Traffic
/// Management 4.0.
///
/// # Memory ordering
///
/// A limiter does not synchronize its callers: it publishes none of their data. Two callers cannot
/// get the same token, as they change one word by compare-and-swap.
pub struct TokenBucket {
    gcra: Gcra,
    quota: LiveQuota,
    ledger: Lock<Ledger>,
}

/// Reserved tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    /// `None` if they were granted at once.
    claim: Option<u64>,
    pub(crate) ready_at: Timestamp,
    pub(crate) grant: Grant,
}

impl TokenBucket {
    const_fn! {
        /// Creates a full bucket.
        pub(crate) fn new(quota: Quota) -> Self {
            let mut math = quota.fine_math();
            math.epoch.id = 1;
            Self {
                gcra: Gcra::new(0),
                quota: LiveQuota::new(&math),
                ledger: Lock::new(Ledger::new(quota, math)),
            }
        }
    }

    pub(crate) fn quota(&self) -> Quota {
        self.ledger.with(|ledger| ledger.quota)
    }

    /// Reserves `n` tokens for the earliest possible time.
    pub(crate) fn reserve(&self, n: u32, now: Timestamp) -> Result<Reserved, Denied> {
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            if n > ledger.math.burst {
                return Err(Denied::TooMany(ledger.math.burst));
            }
            if ledger.schedule.is_none() {
                match self.gcra.take(&self.quota, Request::exactly(n), now) {
                    Ok(grant) => return Ok(Reserved { claim: None, ready_at: grant.at, grant }),
                    Err(Denied::Until(_)) => {}
                    Err(denied) => return Err(denied),
                }
                let full_at = self.gcra.swap(TimeUnits::END);
                ledger.schedule = Some(Schedule { full_at, claims: Claims::new() });
            }
            let (id, math) = (ledger.next_id, ledger.math);
            ledger.next_id += 1;
            let schedule = ledger.schedule.as_mut();
            let reserved = schedule.and_then(|schedule| schedule.reserve(&math, id, n, now));
            self.release_if_done(ledger);
            let (grant, ready_at) = reserved.ok_or(Denied::Never(math.burst))?;
            Ok(Reserved { claim: Some(id), ready_at, grant })
        })
    }

    /// Cancels a reservation. Returns how many tokens the next new reservation gains by that.
    pub(crate) fn cancel(&self, reserved: &Reserved, now: Timestamp) -> u32 {
        if now > reserved.ready_at {
            return 0;
        }
        let removed = self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let schedule = ledger.schedule.as_mut()?;
            let before = schedule.claims.after(schedule.full_at);
            let is_there = reserved.claim.is_some_and(|id| schedule.claims.remove(id));
            let units = before - schedule.claims.after(schedule.full_at).min(before);
            self.release_if_done(ledger);
            is_there.then_some((ledger.math, units))
        });
        let (math, units) = match removed {
            Some(removed) => removed,
            // Granted at once, or taken since because its time has come.
            None => self.refund_units(&reserved.grant, reserved.grant.tokens, || now),
        };
        // Times are whole nanoseconds, so the units of up to one nanosecond are missing.
        let units = units.saturating_add(math.time_units.units(1));
        u32::try_from(units / math.time_units.cost).unwrap_or(u32::MAX).min(reserved.grant.tokens)
    }

    /// Counts by another quota from `now` on.
    pub(crate) fn set_quota(&self, quota: Quota, inherit: Inherit, now: Timestamp) {
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let math = ledger.math_of(&quota, now);
            let old = ledger.old_quota();
            self.change(ledger, &math, |full_at| old.convert(full_at, &math, inherit, now));
            ledger.quota = quota;
        });
    }

    /// Converts all numbers to another quota or origin.
    fn change(&self, ledger: &mut Ledger, math: &BucketMath, convert: impl Fn(u64) -> u64) {
        self.gcra.change(|lane, full_at| {
            self.quota.fill(lane ^ 1, math);
            convert(full_at)
        });
        ledger.change(*math, convert);
    }

    /// Moves the origin if the numbers do not cover `time`.
    fn extend_to(&self, ledger: &mut Ledger, time: Timestamp) {
        if let Some(math) = ledger.rebased(time) {
            let old = ledger.math;
            self.change(ledger, &math, |full_at| old.rebase(full_at, &math));
        }
    }

    /// Brings the ledger to `now`: numbers cover that time, and claims that are due are taken.
    fn catch_up(&self, ledger: &mut Ledger, now: Timestamp) {
        self.extend_to(ledger, now);
        let math = ledger.math;
        if let Some(schedule) = &mut ledger.schedule {
            schedule.full_at = schedule.claims.settle(math.present(now), schedule.full_at);
        }
        self.release_if_done(ledger);
    }

    /// Moves the bucket's number back into the word once nothing is reserved.
    fn release_if_done(&self, ledger: &mut Ledger) {
        if let Some(schedule) = ledger.schedule.take_if(|schedule| schedule.claims.is_empty()) {
            self.gcra.swap(schedule.full_at);
        }
    }

    fn take_locked(&self, request: Request, now: Timestamp) -> Result<Grant, Denied> {
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let math = ledger.math;
            let now = math.not_before_origin(now);
            match &mut ledger.schedule {
                Some(schedule) => schedule.take(&math, request, now),
                None => self.gcra.take(&self.quota, request, now),
            }
        })
    }

    /// Refunds `n` tokens of `grant`. Returns the quota, and how many units of them were not
    /// refilled by time.
    fn refund_units<F>(&self, grant: &Grant, n: u32, now: F) -> (BucketMath, u64)
    where
        F: Fn() -> Timestamp,
    {
        loop {
            let found = self.gcra.units();
            // The time is read after the word, so that all tokens in the word were taken before it.
            let now = now();
            let done = self.ledger.with(|ledger| {
                let now = ledger.observe(now);
                self.catch_up(ledger, now);
                let full_at = ledger.schedule.as_ref().map_or(found, |schedule| schedule.full_at);
                let units = ledger.refundable(grant, n, full_at, now);
                self.lower(ledger, full_at, units, grant.position).then_some((ledger.math, units))
            });
            if let Some(done) = done {
                return done;
            }
        }
    }

    /// Moves a bucket from `full_at` down by `units` that end at `position`. Returns `false`, and
    /// changes nothing, if the bucket was not at `full_at`, or spuriously.
    fn lower(&self, ledger: &mut Ledger, full_at: u64, units: u64, position: u64) -> bool {
        let next = full_at - units;
        match &mut ledger.schedule {
            Some(schedule) => schedule.full_at = next,
            None if !self.gcra.exchange(full_at, next) => return false,
            None => {}
        }
        if units > 0 {
            self.quota.set_refunded(ledger.note_refund(position, units, next));
            if let Some(math) = ledger.epoch_used_up() {
                self.change(ledger, &math, |full_at| full_at);
            }
        }
        true
    }
}

impl TokenCounter for TokenBucket {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.quota().max_burst()
    }

    #[inline(always)]
    fn take_at_once(
        &self,
        (): &(),
        request: Request,
        now: Timestamp,
    ) -> Option<Result<Grant, Denied>> {
        match self.gcra.try_take(&self.quota, request, now) {
            // Numbers do not cover the time, tokens are reserved, or the bucket is blocked for
            // ever.
            Some(Err(Denied::Never(_))) => None,
            taken => taken,
        }
    }

    fn take(&self, (): &(), request: Request, now: Timestamp) -> Result<Grant, Denied> {
        match self.gcra.take(&self.quota, request, now) {
            Err(Denied::Never(_)) => self.take_locked(request, now),
            taken => taken,
        }
    }

    fn deny_behind(&self, (): &(), request: Request, queued: u64, now: Timestamp) -> Denied {
        match self.gcra.deny_behind(&self.quota, request, queued, now) {
            Denied::Until(Due { ready_at: Timestamp::NEVER, .. }) => self.ledger.with(|ledger| {
                self.catch_up(ledger, now);
                match &ledger.schedule {
                    Some(schedule) => {
                        schedule.deny_behind(&ledger.math, request.least, queued, now)
                    }
                    None => self.gcra.deny_behind(&self.quota, request, queued, now),
                }
            }),
            denied => denied,
        }
    }

    fn force_take(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        if let Some(grant) = self.gcra.force_take(&self.quota, n, now) {
            return grant;
        }
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let math = ledger.math;
            match &mut ledger.schedule {
                Some(schedule) => schedule.force_take(&math, n, now),
                None => {
                    let owed = self.gcra.force_take(&self.quota, n, now);
                    // The bucket is blocked for ever, or `now` is at the end of time.
                    owed.unwrap_or_else(|| math.force_take(TimeUnits::END, n, now).1)
                }
            }
        })
    }

    fn refund(&self, (): &(), n: u32) {
        let is_done = || {
            self.ledger.with(|ledger| {
                let full_at = ledger.schedule.as_ref().map_or(self.gcra.units(), |s| s.full_at);
                let units = ledger.refundable_latest(n, full_at);
                let position = ledger.top(full_at);
                self.lower(ledger, full_at, units, position)
            })
        };
        while !is_done() {}
    }

    fn refund_grant(&self, (): &(), grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        self.refund_units(grant, n, now);
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.ledger.with(|ledger| {
            self.extend_to(ledger, time);
            let number = ledger.math.blocked_until(time);
            let full_at = match &mut ledger.schedule {
                Some(schedule) => {
                    schedule.full_at = schedule.full_at.max(number);
                    schedule.full_at
                }
                None => self.gcra.raise(&self.quota, number),
            };
            ledger.note_penalty(time, full_at);
        });
    }
}

impl fmt::Debug for TokenBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBucket")
            .field("burst", &self.gcra.burst(&self.quota))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_bucket_counts_by_its_word_again_once_nothing_is_reserved() {
        let bucket = TokenBucket::new(Quota::per_second(1));
        let is_reserved = || bucket.ledger.with(|ledger| ledger.schedule.is_some());
        bucket.take(&(), Request::exactly(1), at(10)).unwrap();
        let reserved = bucket.reserve(1, at(10)).unwrap();
        assert!(is_reserved());
        assert!(bucket.take(&(), Request::exactly(1), reserved.ready_at).is_err());
        assert!(!is_reserved(), "its time has come");
        let reserved = bucket.reserve(1, at(11)).unwrap();
        assert!(is_reserved());
        bucket.cancel(&reserved, at(11));
        assert!(!is_reserved(), "it was cancelled");
        assert!(bucket.take(&(), Request::exactly(1), at(12)).is_ok());
    }
}
