//! What a token bucket's word does not say: what came back, and what was promised.

use tidegate_core::Timestamp;

use crate::{
    algorithm::{Ask, Denied, Due},
    claims::Claims,
    grant::Grant,
    inherit::Past,
    pace::Pace,
    quota::Quota,
    returned::Returned,
    terms::{Stand, Terms},
};

/// The part of a token bucket behind a lock.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) quota: Quota,
    // INVARIANT: those of the lane in which the word is.
    pub(crate) terms: Terms,
    blocked_until: Timestamp,
    /// The place on the axis up to which nothing comes back.
    fence: u64,
    returned: Returned,
    /// The latest time at which the lock was entered with one.
    latest: Timestamp,
    /// There while tokens are promised for later; then the word is held at the end of time, and the bucket's number is here.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) next_id: u64,
}

impl Ledger {
    pub(crate) const fn new(quota: Quota, terms: Terms) -> Self {
        Self {
            quota,
            terms,
            blocked_until: Timestamp::ORIGIN,
            fence: 0,
            returned: Returned::new(),
            latest: Timestamp::ORIGIN,
            schedule: None,
            next_id: 0,
        }
    }

    /// Returns the later of `now` and the latest time before.
    pub(crate) fn see(&mut self, now: Timestamp) -> Timestamp {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Takes `tokens` of `grant` off a bucket that is at `full_at`, as far as they are still missing at `now`; returns how many units that is.
    ///
    /// The caller moves the bucket down by that, and then calls [`strike`](Self::strike).
    pub(crate) fn lacking(&self, grant: &Grant, tokens: u32, full_at: u64, now: Timestamp) -> u64 {
        let terms = &self.terms;
        if full_at == Pace::END {
            return 0;
        }
        if grant.reign == 0 {
            return terms.lacking_by_age(grant, tokens, now).min(full_at);
        }
        let top = self.top(full_at);
        if grant.reign != terms.stand.reign || grant.place <= self.fence || grant.place > top {
            return 0;
        }
        let above = (top - grant.place) - self.returned.above(grant.place);
        let price = terms.price(grant.tokens);
        let low = grant.place.saturating_sub(price);
        let left = price - self.returned.within(low, grant.place).min(price);
        let missing = full_at.saturating_sub(above).saturating_sub(terms.present(now));
        terms.price(tokens).min(left).min(missing)
    }

    /// Returns how many units of the latest `n` tokens can be taken off a bucket that is at `full_at`.
    pub(crate) fn latest(&self, n: u32, full_at: u64) -> u64 {
        if full_at == Pace::END {
            return 0;
        }
        self.terms.price(n).min(full_at).min(self.top(full_at).saturating_sub(self.fence))
    }

    /// Notes that a bucket was moved down to `full_at` by `units`, which ended at `place`, and the caller publishes what is
    /// returned then.
    pub(crate) fn strike(&mut self, place: u64, units: u64, full_at: u64) -> u64 {
        self.returned.strike(place, units);
        self.terms.stand.returned += units;
        // Below, everything has been refilled, whatever came back above.
        let missing = full_at.saturating_sub(self.terms.present(self.latest));
        let refilled =
            self.top(full_at).saturating_sub(missing).saturating_sub(self.returned.above(0));
        self.returned.forget_up_to(refilled.max(self.fence));
        self.terms.stand.returned
    }

    /// Returns the place of a bucket that is at `full_at`.
    pub(crate) fn top(&self, full_at: u64) -> u64 {
        full_at + self.terms.stand.returned
    }

    /// Grants nothing before `time`: what was taken before comes back no more, as it would make the time shorter.
    pub(crate) fn block_until(&mut self, time: Timestamp) -> u64 {
        self.blocked_until = self.blocked_until.max(time);
        let number = self.terms.blocked_until(time);
        self.fence = self.fence.max(self.top(number));
        number
    }

    /// Returns terms that reach as far as a bucket goes at `time`, if those that count do not.
    pub(crate) fn out_of_reach(&self, time: Timestamp) -> Option<Terms> {
        (!self.terms.reaches(time) && time != Timestamp::NEVER)
            .then(|| self.terms.around(time))
            .map(|terms| self.anew(terms))
    }

    /// Returns the same terms under a new reign if much has come back.
    pub(crate) fn worn_out(&self) -> Option<Terms> {
        (self.terms.stand.returned > Pace::LONGEST).then(|| self.anew(self.terms))
    }

    fn anew(&self, terms: Terms) -> Terms {
        // Zero is left out: it has no axis.
        let reign = self.terms.stand.reign.checked_add(1).unwrap_or(1);
        Terms { stand: Stand { reign, returned: 0, ..terms.stand }, ..terms }
    }

    /// Returns the terms of a new quota.
    pub(crate) fn terms_of(&self, quota: &Quota, now: Timestamp) -> Terms {
        self.anew(quota.fine_terms().around(now))
    }

    /// Returns what a change of the quota takes over.
    pub(crate) const fn past(&self) -> Past {
        Past { terms: self.terms, blocked_until: self.blocked_until }
    }

    /// Counts by new terms, of whose axis nothing has come back. `convert` is what becomes of the bucket's number.
    pub(crate) fn change(&mut self, terms: Terms, convert: impl FnOnce(u64) -> u64) {
        self.terms = terms;
        self.returned = Returned::new();
        let is_penalized = self.blocked_until > Timestamp::ORIGIN;
        self.fence = if is_penalized { terms.blocked_until(self.blocked_until) } else { 0 };
        if let Some(schedule) = &mut self.schedule {
            schedule.full_at = convert(schedule.full_at);
            schedule.claims.convert(&terms);
        }
    }
}

/// A bucket of which tokens are promised for later.
///
/// Claims are taken out of the bucket at their times. Before, a newcomer gets what breaks no promise: in the order of
/// reservations there is nothing before the last of them, but there is where one was cancelled, and where the quota has become faster.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) full_at: u64,
    pub(crate) claims: Claims,
}

impl Schedule {
    pub(crate) fn take(
        &mut self,
        terms: &Terms,
        ask: Ask,
        now: Timestamp,
    ) -> Result<Grant, Denied> {
        if ask.least > terms.burst {
            return Err(Denied::Beyond(terms.burst));
        }
        let present = terms.present(now);
        let horizon = present.saturating_add(terms.depth).min(Pace::END);
        let most = horizon.min(self.claims.room());
        let next = self.full_at.max(present).saturating_add(terms.price(ask.least));
        if next > most || self.full_at >= Pace::END {
            return Err(Denied::Until(self.due(terms, ask.least.into(), 0, now)));
        }
        let more = u32::try_from((most - next) / terms.pace.cost).unwrap_or(u32::MAX);
        let more = more.min(ask.most.saturating_sub(ask.least));
        self.full_at = next + terms.price(more);
        let lacking = self.full_at - present;
        Ok(terms.grant(ask.least + more, self.full_at, lacking, most - self.full_at, now))
    }

    pub(crate) fn owe(&mut self, terms: &Terms, n: u32, now: Timestamp) -> Grant {
        let (next, grant) = terms.owe(self.full_at, n, now);
        self.full_at = next;
        grant
    }

    /// Returns when `n` tokens in all are due, for those who ask while others want tokens.
    pub(crate) fn due(&self, terms: &Terms, n: u64, wanted: u64, now: Timestamp) -> Due {
        let all = wanted.saturating_add(terms.burst.into());
        Due {
            ready_at: self.ready_at(terms, n, now),
            reset_at: self.ready_at(terms, all, now),
            limit: terms.burst,
        }
    }

    /// Returns when `n` tokens, as many as they are, can have been taken at the earliest.
    fn ready_at(&self, terms: &Terms, n: u64, now: Timestamp) -> Timestamp {
        if self.full_at >= Pace::END {
            return Timestamp::NEVER;
        }
        let price = terms.pace.cost.saturating_mul(n);
        let units = self.claims.ready_at(terms, self.full_at, price, terms.present(now));
        terms.time(units).max(now)
    }

    /// Promises `n` tokens, behind everything that was promised before.
    pub(crate) fn promise(
        &mut self,
        terms: &Terms,
        id: u64,
        n: u32,
        now: Timestamp,
    ) -> Option<(Grant, Timestamp)> {
        let present = terms.present(now);
        let next = self.claims.after(self.full_at).max(present).saturating_add(terms.price(n));
        if next >= Pace::END {
            return None;
        }
        let units = next.saturating_sub(terms.depth).max(present);
        let ready_at = self.claims.push(terms, id, n, units).max(now);
        let room = present.saturating_add(terms.depth).saturating_sub(next);
        let mut grant = terms.grant(n, next, next - present, room, now);
        // Its place is known at its time only, so it is given back by its age.
        grant.reign = 0;
        Some((grant, ready_at))
    }
}
