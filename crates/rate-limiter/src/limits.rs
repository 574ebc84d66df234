//! Several limits at once.

use tidegate_core::{Timestamp, lock::Lock};

use crate::{
    algorithm::{Ask, Count, Denied},
    grant::Grant,
    pace::Pace,
    quota::Quota,
};

/// Several token buckets that are taken from together or not at all, behind a short lock; see [`Limits`](crate::Limits).
///
/// A request waits for the slowest of them. [`Grant`] tells of the one with the fewest tokens left.
#[derive(Debug)]
pub struct AllOf<const N: usize> {
    quotas: [Quota; N],
    /// When each bucket will be full, in the units of its quota.
    full_at: Lock<[u64; N]>,
}

impl<const N: usize> AllOf<N> {
    pub(crate) fn new(quotas: [Quota; N]) -> Self {
        const { assert!(N > 0, "no limit is no limiter") };
        Self { quotas, full_at: Lock::new([0; N]) }
    }

    pub(crate) fn quotas(&self) -> [Quota; N] {
        self.quotas
    }

    /// Runs `step` on each bucket.
    fn each(&self, mut step: impl FnMut(&Quota, &mut u64)) {
        self.full_at.with(|full_at| self.quotas.iter().zip(full_at).for_each(|(q, f)| step(q, f)));
    }

    fn denied(&self, full_at: &[u64; N], ask: Ask, wanted: u64, now: Timestamp) -> Denied {
        if ask.least > self.limit(&()) {
            return Denied::Beyond(self.limit(&()));
        }
        let n = wanted.saturating_add(ask.least.into());
        let ready = self.quotas.iter().zip(full_at).map(|(q, &f)| q.terms.ready_at(f, n, now));
        Denied::Until(ready.max().unwrap_or(now))
    }
}

/// Returns the one of two grants that leaves fewer tokens.
fn tighter(a: Option<Grant>, b: Grant) -> Option<Grant> {
    Some(a.filter(|a| a.remaining() <= b.remaining()).unwrap_or(b))
}

impl<const N: usize> Count for AllOf<N> {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.quotas.iter().map(Quota::max_burst).min().unwrap_or(u32::MAX)
    }

    fn take(&self, (): &(), ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        self.full_at.with(|full_at| {
            let buckets = || self.quotas.iter().zip(full_at.iter());
            // The most that each of them has; then as much from all.
            let granted = buckets().try_fold(ask.most, |most, (quota, &full_at)| {
                let taken = quota.terms.take(full_at, Ask { most, ..ask }, now);
                taken.ok().map(|(_, grant)| grant.tokens)
            });
            let Some(tokens) = granted else { return Err(self.denied(full_at, ask, 0, now)) };
            let mut tightest = None;
            for (quota, full_at) in self.quotas.iter().zip(full_at) {
                let (next, grant) = quota.terms.owe(*full_at, tokens, now);
                *full_at = next;
                tightest = tighter(tightest, grant);
            }
            tightest.ok_or(Denied::Beyond(0))
        })
    }

    fn behind(&self, (): &(), ask: Ask, wanted: u64, now: Timestamp) -> Denied {
        self.full_at.with(|full_at| self.denied(full_at, ask, wanted, now))
    }

    fn owe(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        let mut tightest = None;
        self.each(|quota, full_at| {
            let (next, grant) = quota.terms.owe(*full_at, n, now);
            *full_at = next;
            tightest = tighter(tightest, grant);
        });
        tightest.expect("there is at least one limit")
    }

    fn give_back(&self, (): &(), n: u32, _taken_at: Option<Timestamp>) {
        self.each(|quota, full_at| {
            if *full_at != Pace::END {
                *full_at = full_at.saturating_sub(quota.terms.price(n));
            }
        });
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.each(|quota, full_at| *full_at = (*full_at).max(quota.terms.blocked_until(time)));
    }

    fn is_idle(&self, (): &(), now: Timestamp) -> bool {
        self.full_at.with(|full_at| {
            self.quotas.iter().zip(full_at).all(|(q, f)| *f <= q.terms.present(now))
        })
    }
}
