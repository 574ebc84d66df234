//! The token bucket on one word.

use tidegate_core::{
    Timestamp, const_fn,
    primitive::atomic::{AtomicU64, Ordering},
};

use crate::{algorithm::Count, grant::Grant, quota::Quota};

/// A token bucket, kept as the generic cell rate algorithm (GCRA) on one atomic word.
///
/// The bucket is not filled by anybody. Its word is the *theoretical arrival time*: when the bucket would be full again
/// if nobody took more. Taking tokens moves it into the future by their cost; a request that would move it further than
/// a full bucket's worth beyond the present is refused.
///
/// ```text
///        now        word                now + depth
/// ────────┼──────────┼────────────────────────┼─────▶ time
///         └─ spent ──┴──────── left ──────────┘        idle: word ≤ now, everything is left
/// ```
///
/// Source: ITU-T I.371 (1993), annex A, the virtual scheduling algorithm; ATM Forum, Traffic Management 4.0.
///
/// # Memory ordering
///
/// The word is the whole state, and counts: nothing else is published through it. So every access is Relaxed, and what
/// keeps two callers from getting the same token is that they change one word by compare-and-swap.
#[derive(Debug, Default)]
pub struct TokenBucket {
    /// | value, in units of the quota's pace | meaning | changed by |
    /// | --- | --- | --- |
    /// | at most now | full; as good as new | nobody |
    /// | above | when it will be full | CAS to take; `fetch_max` to block; CAS to give back, the only way down |
    /// | `u64::MAX` | blocked for ever | nobody |
    full_at: AtomicU64,
}

impl TokenBucket {
    const_fn! {
        /// Creates a full bucket.
        pub fn new() -> Self {
            Self { full_at: AtomicU64::new(0) }
        }
    }

    /// Creates a bucket that is full at `time` and was not before.
    pub(crate) fn full_at(quota: &Quota, time: Timestamp) -> Self {
        Self { full_at: AtomicU64::new(quota.pace.units(time.as_nanos())) }
    }
}

impl Count for TokenBucket {
    type Rule = Quota;

    fn limit(quota: &Quota) -> u32 {
        quota.max_burst()
    }

    #[inline]
    fn take(&self, quota: &Quota, n: u32, now: Timestamp) -> Result<Grant, Timestamp> {
        let present = quota.pace.units(now.as_nanos());
        let horizon = present.saturating_add(quota.depth);
        // Not more than the depth, as `n` is not above the burst.
        let price = quota.pace.cost * u64::from(n);
        // ORDERING: Relaxed, here and below: see the type.
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(present).checked_add(price).filter(|next| *next <= horizon);
            let Some(next) = next else { return Err(self.ready_at(quota, u64::from(n), now)) };
            match self.full_at.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let (limit, pace) = (quota.max_burst(), quota.pace);
                    return Ok(Grant { at: now, limit, room: horizon - next, full_at: next, pace });
                }
                Err(found) => full_at = found,
            }
        }
    }

    #[cold]
    fn ready_at(&self, quota: &Quota, n: u64, now: Timestamp) -> Timestamp {
        let present = quota.pace.units(now.as_nanos());
        let full_at = self.full_at.load(Ordering::Relaxed).max(present);
        if full_at == u64::MAX {
            return Timestamp::NEVER;
        }
        let next = u128::from(full_at) + u128::from(n) * u128::from(quota.pace.cost);
        let ready = u64::try_from(next.saturating_sub(u128::from(quota.depth)));
        Timestamp::from_nanos(quota.pace.nanos(ready.unwrap_or(u64::MAX))).max(now)
    }

    fn give_back(&self, quota: &Quota, n: u32, _taken_at: Option<Timestamp>) {
        let price = quota.pace.cost.saturating_mul(u64::from(n));
        // A word that falls behind the present means a full bucket, however far: a refund cannot overfill it. One that
        // is blocked for ever stays so.
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            (full_at != u64::MAX).then(|| full_at.saturating_sub(price))
        });
    }

    fn block_until(&self, quota: &Quota, time: Timestamp) {
        // Such that exactly one token is there at `time`: a bucket that has to be polite does not begin with a burst.
        let one_left = quota.depth - quota.pace.cost;
        let full_at = quota.pace.units(time.as_nanos()).saturating_add(one_left);
        self.full_at.fetch_max(full_at, Ordering::Relaxed);
    }

    fn is_idle(&self, quota: &Quota, now: Timestamp) -> bool {
        self.full_at.load(Ordering::Relaxed) <= quota.pace.units(now.as_nanos())
    }
}
