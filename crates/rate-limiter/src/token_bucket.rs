//! The token bucket of a limiter, with what was promised and what was changed.

use alloc::vec::Vec;

use tidegate_core::{Timestamp, const_fn, lock::Lock};

use crate::{
    algorithm::{Ask, Count, Denied},
    gcra::Gcra,
    grant::Grant,
    inherit::{Inherit, Past},
    live_quota::LiveQuota,
    pace::Pace,
    quota::Quota,
};

/// A token bucket, kept as the generic cell rate algorithm (GCRA) on one atomic word.
///
/// Taking is one compare-and-swap. Reserving, cancelling, penalties and changes of the quota take a short lock besides:
/// they keep a ledger of what was promised.
///
/// Source: ITU-T I.371 (1993), annex A, the virtual scheduling algorithm; ATM Forum, Traffic Management 4.0.
///
/// # Memory ordering
///
/// The word is the whole state, and counts: nothing of the caller's is published through it. What keeps two callers from
/// getting the same token is that they change one word by compare-and-swap.
#[derive(Debug)]
pub struct TokenBucket {
    gcra: Gcra,
    quota: LiveQuota,
    ledger: Lock<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    // INVARIANT: the terms of the lane in which the word is.
    quota: Quota,
    blocked_until: Timestamp,
    // INVARIANT: in the order of their times.
    claims: Vec<Claim>,
    next_id: u64,
}

/// Tokens that were promised for a time.
#[derive(Debug, Clone, Copy)]
struct Claim {
    id: u64,
    tokens: u32,
    ready_at: Timestamp,
}

impl Claim {
    /// Takes the claim's tokens, at its time, out of a bucket.
    fn take(&self, full_at: u64, quota: &Quota) -> u64 {
        let terms = &quota.terms;
        full_at.max(terms.present(self.ready_at)).saturating_add(terms.price(self.tokens))
    }
}

impl Ledger {
    /// Returns the number below which the bucket must not be: that of a bucket which was full, and out of which all claims,
    /// and `one_more`, were taken at their times.
    ///
    /// A request moves the word by its price, and a cancelled one moves it back; that alone would let what comes later in
    /// the word come earlier in time, and be granted together with a claim in less time than both may take.
    fn floor(&self, quota: &Quota, one_more: Option<Claim>) -> u64 {
        let ready_at = one_more.map_or(Timestamp::NEVER, |claim| claim.ready_at);
        let split = self.claims.partition_point(|claim| claim.ready_at <= ready_at);
        let (before, after) = self.claims.split_at(split);
        let in_order = before.iter().chain(&one_more).chain(after);
        in_order.fold(0, |full_at, claim| claim.take(full_at, quota)).min(Pace::END)
    }
}

/// What a reservation got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) id: u64,
    pub(crate) ready_at: Timestamp,
    pub(crate) grant: Grant,
}

impl TokenBucket {
    const_fn! {
        /// Creates a full bucket.
        pub(crate) fn new(quota: Quota) -> Self {
            Self {
                gcra: Gcra::new(0),
                quota: LiveQuota::new(&quota),
                ledger: Lock::new(Ledger {
                    quota,
                    blocked_until: Timestamp::ORIGIN,
                    claims: Vec::new(),
                    next_id: 0,
                }),
            }
        }
    }

    pub(crate) fn quota(&self) -> Quota {
        self.ledger.with(|ledger| ledger.quota)
    }

    /// Takes `n` tokens now, and says when they are there.
    pub(crate) fn reserve(&self, n: u32, now: Timestamp) -> Result<Promise, Denied> {
        self.ledger.with(|ledger| {
            let quota = ledger.quota;
            if n > quota.max_burst() {
                return Err(Denied::Beyond(quota.max_burst()));
            }
            // One in the past binds nobody: no bucket is fuller than full.
            ledger.claims.retain(|claim| claim.take(0, &quota) > quota.terms.present(now));
            // Each try puts the floor down before it moves the word: who sees the word sees the floor.
            let id = ledger.next_id;
            let (_, (claim, grant)) = self.gcra.update(&self.quota, |terms, full_at| {
                let (next, grant) = terms.owe(full_at, n, now);
                let claim = Claim { id, tokens: n, ready_at: terms.paid_at(next, next, now) };
                self.quota.set_floor(ledger.floor(&quota, Some(claim)));
                (next, (claim, grant))
            });
            let index = ledger.claims.partition_point(|other| other.ready_at <= claim.ready_at);
            ledger.claims.insert(index, claim);
            ledger.next_id += 1;
            Ok(Promise { id, ready_at: claim.ready_at, grant })
        })
    }

    /// Takes the tokens of a reservation back, as far as others were not promised what builds on them; returns how many.
    pub(crate) fn cancel(&self, id: u64, now: Timestamp) -> u32 {
        self.ledger.with(|ledger| {
            let Some(index) = ledger.claims.iter().position(|claim| claim.id == id) else {
                return 0;
            };
            let claim = ledger.claims[index];
            if now > claim.ready_at {
                return 0;
            }
            ledger.claims.remove(index);
            self.quota.set_floor(ledger.floor(&ledger.quota, None));
            let (terms, units) = self.gcra.give_back(&self.quota, claim.tokens);
            // A floor is up to a nanosecond too high, as times are whole ones.
            let units = units.saturating_add(terms.pace.units(1));
            u32::try_from(units / terms.pace.cost).unwrap_or(u32::MAX).min(claim.tokens)
        })
    }

    /// Counts by another quota from `now` on.
    pub(crate) fn set_quota(&self, quota: Quota, inherit: Inherit, now: Timestamp) {
        self.ledger.with(|ledger| {
            let past = Past { quota: ledger.quota, blocked_until: ledger.blocked_until };
            let floor = ledger.floor(&quota, None);
            self.gcra.change(|lane, full_at| {
                self.quota.fill(lane ^ 1, &quota.terms, floor);
                past.convert(full_at, &quota, inherit, now).max(floor)
            });
            ledger.quota = quota;
        });
    }
}

impl Count for TokenBucket {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.quota().max_burst()
    }

    #[inline(always)]
    fn take(&self, (): &(), ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        self.gcra.take(&self.quota, ask, now)
    }

    fn behind(&self, (): &(), ask: Ask, wanted: u64, now: Timestamp) -> Denied {
        self.gcra.behind(&self.quota, ask, wanted, now)
    }

    fn owe(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        self.gcra.owe(&self.quota, n, now)
    }

    fn give_back(&self, (): &(), n: u32, _taken_at: Option<Timestamp>) {
        self.gcra.give_back(&self.quota, n);
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.ledger.with(|ledger| {
            ledger.blocked_until = ledger.blocked_until.max(time);
            self.gcra.block_until(&self.quota, time);
        });
    }

    fn is_idle(&self, (): &(), now: Timestamp) -> bool {
        self.gcra.is_idle(&self.quota, now)
    }
}
