//! Several limits at once.

use core::fmt;

use tidegate_core::{Timestamp, lock::Lock};

use crate::{
    algorithm::{Ask, Count, Denied, Due},
    grant::Grant,
    quota::Quota,
    returned::Returned,
    terms::Terms,
};

/// Several token buckets that are taken from together or not at all, behind a short lock; see [`Limits`](crate::Limits).
///
/// A request waits for the slowest of them. [`Grant`] tells of the one with the fewest tokens left.
pub struct AllOf<const N: usize> {
    quotas: [Quota; N],
    state: Lock<State<N>>,
}

/// The buckets. As they are taken from together, one axis is enough for all of them: that of the tokens.
#[derive(Debug)]
struct State<const N: usize> {
    buckets: [Bucket; N],
    /// How many tokens were taken: the top of the axis.
    taken: u64,
    /// Which of them came back.
    returned: Returned,
    /// The latest time seen.
    now: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    terms: Terms,
    /// When it will be full.
    full_at: u64,
    /// The token up to which nothing is missing any more, as the bucket has been full since, or was penalized.
    refilled: u64,
}

impl Bucket {
    const fn new(quota: &Quota) -> Self {
        Self { terms: quota.fine_terms(), full_at: 0, refilled: 0 }
    }

    /// Moves the numbers on if they do not reach as far as `time`.
    fn reach(&mut self, time: Timestamp) {
        if !self.terms.reaches(time) && time != Timestamp::NEVER {
            let terms = self.terms.around(time);
            self.full_at = self.terms.moved(self.full_at, &terms);
            self.terms = terms;
        }
    }

    /// Takes `n` tokens out, whether they are there or not. `before` have been taken before them.
    fn owe(&mut self, n: u32, before: u64, now: Timestamp) -> Grant {
        if self.full_at <= self.terms.present(now) {
            self.refilled = before;
        }
        let (next, mut grant) = self.terms.owe(self.full_at, n, now);
        self.full_at = next;
        (grant.place, grant.reign) = (before + u64::from(n), 1);
        grant
    }

    /// Takes `n` tokens back, of which the last is the token `place`, while `above` were taken later and not given back.
    fn give_back(&mut self, place: u64, n: u64, above: u64, now: Timestamp) {
        if self.full_at == self.terms.end || place <= self.refilled {
            return;
        }
        let price = |n: u64| self.terms.pace.cost.saturating_mul(n);
        let number = self.full_at.saturating_sub(price(above));
        let missing = number.saturating_sub(self.terms.present(now));
        if missing >= price(n) {
            self.full_at -= price(n);
        } else {
            // A part has been refilled, and so has all that was taken before.
            self.full_at -= missing;
            self.refilled = place;
        }
    }
}

impl<const N: usize> State<N> {
    fn reach(&mut self, time: Timestamp) {
        self.buckets.iter_mut().for_each(|bucket| bucket.reach(time));
    }

    fn see(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.reach(now);
    }

    fn denied(&self, ask: Ask, limit: u32, wanted: u64, now: Timestamp) -> Denied {
        if ask.least > limit {
            return Denied::Beyond(limit);
        }
        let ready_at = |n: u32| {
            let n = wanted.saturating_add(n.into());
            let ready = self.buckets.iter().map(|it| it.terms.ready_at(it.full_at, n, now));
            ready.max().unwrap_or(now)
        };
        Denied::Until(Due { ready_at: ready_at(ask.least), reset_at: ready_at(limit), limit })
    }

    fn owe(&mut self, n: u32, now: Timestamp) -> Option<Grant> {
        let before = self.taken;
        self.taken += u64::from(n);
        let mut tightest: Option<Grant> = None;
        for bucket in &mut self.buckets {
            let grant = bucket.owe(n, before, now);
            let tighter = tightest.filter(|other| other.remaining() <= grant.remaining());
            tightest = Some(tighter.unwrap_or(grant));
        }
        tightest
    }

    /// Takes `n` of the tokens up to `place` back, the latest of those that were not given back before.
    fn give_back(&mut self, place: u64, n: u64) {
        let above = (self.taken - place) - self.returned.above(place);
        let now = self.now;
        self.buckets.iter_mut().for_each(|bucket| bucket.give_back(place, n, above, now));
        self.returned.strike(place, n);
        let refilled = self.buckets.iter().map(|bucket| bucket.refilled).min();
        self.returned.forget_up_to(refilled.unwrap_or(0));
    }
}

impl<const N: usize> AllOf<N> {
    pub(crate) fn new(quotas: [Quota; N]) -> Self {
        const { assert!(N > 0, "no limit is no limiter") };
        let buckets = quotas.map(|quota| Bucket::new(&quota));
        let returned = Returned::new();
        let state = State { buckets, taken: 0, returned, now: Timestamp::ORIGIN };
        Self { quotas, state: Lock::new(state) }
    }

    pub(crate) fn quotas(&self) -> [Quota; N] {
        self.quotas
    }
}

impl<const N: usize> Count for AllOf<N> {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.quotas.iter().map(Quota::max_burst).min().unwrap_or(u32::MAX)
    }

    fn take(&self, (): &(), ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        let limit = self.limit(&());
        self.state.with(|state| {
            state.see(now);
            // The most that each of them has; then as much from all.
            let granted = state.buckets.iter().try_fold(ask.most, |most, bucket| {
                let taken = bucket.terms.take(bucket.full_at, Ask { most, ..ask }, now);
                taken.ok().map(|(_, grant)| grant.tokens)
            });
            let grant = granted.and_then(|tokens| state.owe(tokens, now));
            grant.ok_or_else(|| state.denied(ask, limit, 0, now))
        })
    }

    fn behind(&self, (): &(), ask: Ask, wanted: u64, now: Timestamp) -> Denied {
        let limit = self.limit(&());
        self.state.with(|state| {
            state.see(now);
            state.denied(ask, limit, wanted, now)
        })
    }

    fn owe(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        let owed = self.state.with(|state| {
            state.see(now);
            state.owe(n, now)
        });
        owed.expect("there is at least one limit")
    }

    fn give_back(&self, (): &(), n: u32) {
        self.state.with(|state| {
            // Without a time: as if no time had passed.
            let now = core::mem::replace(&mut state.now, Timestamp::ORIGIN);
            state.give_back(state.taken, n.into());
            state.now = now;
        });
    }

    fn give_back_of(&self, (): &(), grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        let now = now();
        self.state.with(|state| {
            state.see(now);
            if grant.place <= state.taken {
                let low = grant.place.saturating_sub(grant.tokens.into());
                let left = u64::from(grant.tokens) - state.returned.within(low, grant.place);
                state.give_back(grant.place, left.min(n.into()));
            }
        });
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.state.with(|state| {
            state.reach(time);
            for bucket in &mut state.buckets {
                let number = bucket.terms.blocked_until(time);
                if number > bucket.full_at {
                    (bucket.full_at, bucket.refilled) = (number, state.taken);
                }
            }
        });
    }

    fn is_idle(&self, (): &(), now: Timestamp) -> bool {
        self.state.with(|state| {
            state.see(now);
            let mut buckets = state.buckets.iter();
            buckets.all(|bucket| bucket.full_at <= bucket.terms.present(now))
        })
    }
}

impl<const N: usize> fmt::Debug for AllOf<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllOf").field("quotas", &self.quotas).finish_non_exhaustive()
    }
}
