//! The token bucket of a limiter, with what was promised and what was changed.

use core::fmt;

use tidegate_core::{Timestamp, const_fn, lock::Lock};

use crate::{
    algorithm::{Ask, Count, Denied, Due},
    claims::Claims,
    gcra::Gcra,
    grant::Grant,
    inherit::Inherit,
    ledger::{Ledger, Schedule},
    live_quota::LiveQuota,
    pace::Pace,
    quota::Quota,
    terms::Terms,
};

/// A token bucket, kept as the generic cell rate algorithm (GCRA) on one atomic word.
///
/// Taking is one compare-and-swap. Giving back, reserving, cancelling, penalties and changes of the quota take a short lock
/// besides: they keep a ledger of what came back and what was promised. While tokens are promised for later, taking enters that lock, too.
///
/// Source: ITU-T I.371 (1993), annex A, the virtual scheduling algorithm; ATM Forum, Traffic Management 4.0.
///
/// # Memory ordering
///
/// The word is the whole state, and counts: nothing of the caller's is published through it. What keeps two callers from
/// getting the same token is that they change one word by compare-and-swap.
pub struct TokenBucket {
    gcra: Gcra,
    quota: LiveQuota,
    ledger: Lock<Ledger>,
}

/// What a reservation got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    /// `None` if it was granted at once.
    claim: Option<u64>,
    pub(crate) ready_at: Timestamp,
    pub(crate) grant: Grant,
}

impl TokenBucket {
    const_fn! {
        /// Creates a full bucket.
        pub(crate) fn new(quota: Quota) -> Self {
            let mut terms = quota.fine_terms();
            terms.stand.reign = 1;
            Self {
                gcra: Gcra::new(0),
                quota: LiveQuota::new(&terms),
                ledger: Lock::new(Ledger::new(quota, terms)),
            }
        }
    }

    pub(crate) fn quota(&self) -> Quota {
        self.ledger.with(|ledger| ledger.quota)
    }

    /// Takes `n` tokens now, and says when they are there.
    pub(crate) fn reserve(&self, n: u32, now: Timestamp) -> Result<Promise, Denied> {
        let reserved = self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            if n > ledger.terms.burst {
                return Err(Denied::Beyond(ledger.terms.burst));
            }
            if ledger.schedule.is_none() {
                match self.gcra.take(&self.quota, Ask::exactly(n), now) {
                    Ok(grant) => return Ok(Promise { claim: None, ready_at: grant.at, grant }),
                    Err(Denied::Until(_)) => {}
                    Err(denied) => return Err(denied),
                }
                let full_at = self.gcra.put(Pace::END);
                ledger.schedule = Some(Schedule { full_at, claims: Claims::new() });
            }
            let (id, terms) = (ledger.next_id, ledger.terms);
            ledger.next_id += 1;
            let promise =
                ledger.schedule.as_mut().and_then(|schedule| schedule.promise(&terms, id, n, now));
            self.release_if_done(ledger);
            let (grant, ready_at) = promise.ok_or(Denied::Never)?;
            Ok(Promise { claim: Some(id), ready_at, grant })
        });
        reserved.map_err(|denied| denied.timed(|| self.limit(&())))
    }

    /// Takes the tokens of a reservation back; returns how many of them are there again behind what was promised later.
    pub(crate) fn cancel(&self, promise: &Promise, now: Timestamp) -> u32 {
        if now > promise.ready_at {
            return 0;
        }
        let removed = self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let schedule = ledger.schedule.as_mut()?;
            let before = schedule.claims.after(schedule.full_at);
            let is_there = promise.claim.is_some_and(|id| schedule.claims.remove(id));
            let units = before - schedule.claims.after(schedule.full_at).min(before);
            self.release_if_done(ledger);
            is_there.then_some((ledger.terms, units))
        });
        let (terms, units) = match removed {
            Some(removed) => removed,
            // Granted at once, or due in this very nanosecond.
            None => self.take_back(&promise.grant, promise.grant.tokens, || now),
        };
        // Times are whole nanoseconds: up to one is missing.
        let units = units.saturating_add(terms.pace.units(1));
        u32::try_from(units / terms.pace.cost).unwrap_or(u32::MAX).min(promise.grant.tokens)
    }

    /// Counts by another quota from `now` on.
    pub(crate) fn set_quota(&self, quota: Quota, inherit: Inherit, now: Timestamp) {
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let terms = ledger.terms_of(&quota, now);
            let past = ledger.past();
            self.change(ledger, &terms, |full_at| past.convert(full_at, &terms, inherit, now));
            ledger.quota = quota;
        });
    }

    /// Lets all numbers count by new terms.
    fn change(&self, ledger: &mut Ledger, terms: &Terms, convert: impl Fn(u64) -> u64) {
        self.gcra.change(|lane, full_at| {
            self.quota.fill(lane ^ 1, terms);
            convert(full_at)
        });
        ledger.change(*terms, convert);
    }

    /// Moves the numbers on if they do not reach as far as `time`.
    fn reach(&self, ledger: &mut Ledger, time: Timestamp) {
        if let Some(terms) = ledger.out_of_reach(time) {
            let old = ledger.terms;
            self.change(ledger, &terms, |full_at| old.moved(full_at, &terms));
        }
    }

    /// Makes the ledger that of `now`: numbers reach there, and what was promised for before was taken.
    fn catch_up(&self, ledger: &mut Ledger, now: Timestamp) {
        self.reach(ledger, now);
        let terms = ledger.terms;
        if let Some(schedule) = &mut ledger.schedule {
            schedule.full_at = schedule.claims.settle(terms.present(now), schedule.full_at);
        }
        self.release_if_done(ledger);
    }

    /// Lets the word count again once nothing is promised.
    fn release_if_done(&self, ledger: &mut Ledger) {
        if let Some(schedule) = ledger.schedule.take_if(|schedule| schedule.claims.is_empty()) {
            self.gcra.put(schedule.full_at);
        }
    }

    fn take_locked(&self, ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let terms = ledger.terms;
            let now = terms.not_before_origin(now);
            match &mut ledger.schedule {
                Some(schedule) => schedule.take(&terms, ask, now),
                None => self.gcra.take(&self.quota, ask, now),
            }
        })
    }

    /// Takes `tokens` of `grant` back; returns how many units of them were still missing.
    fn take_back(&self, grant: &Grant, tokens: u32, now: impl Fn() -> Timestamp) -> (Terms, u64) {
        loop {
            let found = self.gcra.units();
            // When the word is known: whatever is in it was taken before this.
            let now = now();
            let done = self.ledger.with(|ledger| {
                let now = ledger.see(now);
                self.catch_up(ledger, now);
                let full_at = ledger.schedule.as_ref().map_or(found, |schedule| schedule.full_at);
                let units = ledger.lacking(grant, tokens, full_at, now);
                self.lower(ledger, full_at, units, grant.place).then_some((ledger.terms, units))
            });
            if let Some(done) = done {
                return done;
            }
        }
    }

    /// Moves a bucket that is at `full_at` down by `units` that end at `place`; returns whether it was there.
    fn lower(&self, ledger: &mut Ledger, full_at: u64, units: u64, place: u64) -> bool {
        let next = full_at - units;
        match &mut ledger.schedule {
            Some(schedule) => schedule.full_at = next,
            None if !self.gcra.exchange(full_at, next) => return false,
            None => {}
        }
        if units > 0 {
            self.quota.set_returned(ledger.strike(place, units, next));
            if let Some(terms) = ledger.worn_out() {
                self.change(ledger, &terms, |full_at| full_at);
            }
        }
        true
    }
}

impl Count for TokenBucket {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.quota().max_burst()
    }

    #[inline(always)]
    fn take_at_once(&self, (): &(), ask: Ask, now: Timestamp) -> Option<Result<Grant, Denied>> {
        match self.gcra.take_once(&self.quota, ask, now) {
            // Numbers do not reach, or tokens are promised.
            Some(Err(Denied::Never)) => None,
            taken => taken,
        }
    }

    fn take(&self, (): &(), ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        match self.gcra.take(&self.quota, ask, now) {
            Err(Denied::Never) => {
                self.take_locked(ask, now).map_err(|denied| denied.timed(|| self.limit(&())))
            }
            taken => taken,
        }
    }

    fn behind(&self, (): &(), ask: Ask, wanted: u64, now: Timestamp) -> Denied {
        match self.gcra.behind(&self.quota, ask, wanted, now) {
            Denied::Until(Due { ready_at: Timestamp::NEVER, .. }) => self.ledger.with(|ledger| {
                self.catch_up(ledger, now);
                let n = wanted.saturating_add(ask.least.into());
                match &ledger.schedule {
                    Some(schedule) => Denied::Until(schedule.due(&ledger.terms, n, wanted, now)),
                    None => self.gcra.behind(&self.quota, ask, wanted, now),
                }
            }),
            denied => denied,
        }
    }

    fn owe(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        if let Some(grant) = self.gcra.owe(&self.quota, n, now) {
            return grant;
        }
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            let terms = ledger.terms;
            match &mut ledger.schedule {
                Some(schedule) => schedule.owe(&terms, n, now),
                None => {
                    let owed = self.gcra.owe(&self.quota, n, now);
                    // Blocked for ever, or at the end of time.
                    owed.unwrap_or_else(|| terms.owe(Pace::END, n, now).1)
                }
            }
        })
    }

    fn give_back(&self, (): &(), n: u32) {
        let is_done = || {
            self.ledger.with(|ledger| {
                let full_at = ledger.schedule.as_ref().map_or(self.gcra.units(), |s| s.full_at);
                let units = ledger.latest(n, full_at);
                let place = if full_at == Pace::END { 0 } else { ledger.top(full_at) };
                self.lower(ledger, full_at, units, place)
            })
        };
        while !is_done() {}
    }

    fn give_back_of(&self, (): &(), grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        self.take_back(grant, n, now);
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.ledger.with(|ledger| {
            self.reach(ledger, time);
            let number = ledger.block_until(time);
            match &mut ledger.schedule {
                Some(schedule) => schedule.full_at = schedule.full_at.max(number),
                None => self.gcra.raise(&self.quota, number),
            }
        });
    }

    fn is_idle(&self, (): &(), now: Timestamp) -> bool {
        self.ledger.with(|ledger| {
            self.catch_up(ledger, now);
            ledger.schedule.is_none() && self.gcra.is_idle(&self.quota, now)
        })
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
    fn a_bucket_counts_by_its_word_again_once_nothing_is_promised() {
        let bucket = TokenBucket::new(Quota::per_second(1).unwrap());
        let is_promised = || bucket.ledger.with(|ledger| ledger.schedule.is_some());
        bucket.take(&(), Ask::exactly(1), at(10)).unwrap();
        let promise = bucket.reserve(1, at(10)).unwrap();
        assert!(is_promised());
        assert!(bucket.take(&(), Ask::exactly(1), promise.ready_at).is_err());
        assert!(!is_promised(), "its time has come");
        let promise = bucket.reserve(1, at(11)).unwrap();
        assert!(is_promised());
        bucket.cancel(&promise, at(11));
        assert!(!is_promised(), "it was taken back");
        assert!(bucket.take(&(), Ask::exactly(1), at(12)).is_ok());
    }
}
