//! The bucket of a key that a gate holds, that a caller waits for, or that has its own quota.

use tidegate_core::{
    Timestamp,
    lock::Lock,
    primitive::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::common_quota::{Change, halves};
use crate::{
    algorithm::TokenCounter,
    bucket_math::{BucketMath, Epoch},
    gcra::{Gcra, QuotaSource},
    grant::{Denied, Grant, Request},
    live_quota::packed,
    quota::Quota,
    state::LimiterState,
    time_units::TimeUnits,
};

/// The state of a key that a gate holds, that a caller waits for, or that has its own quota.
pub(crate) type KeyState = LimiterState<KeyBucket>;

/// The bucket of one key with the quota by which it counts: a copy of the common one, or its own.
///
/// A change of the common quota marks the bucket, marks its word, writes the quota, and then the
/// word. A caller that takes reads the word, then the mark, then the quota. If the quota was
/// changed in between, the word is another one, so replacing it fails. A caller that finds the
/// bucket marked waits until the mark is gone. A word that returns to an earlier number is the ABA
/// problem of docs/decisions/0015-the-quota-in-two-lanes.md.
#[derive(Debug)]
pub struct KeyBucket {
    gcra: Gcra,
    cost: AtomicU64,
    speed: AtomicU64,
    depth: AtomicU64,
    /// The burst in the low half, the generation of the common quota in the high half.
    burst: AtomicU64,
    is_moving: AtomicBool,
    moving: Lock<()>,
    is_own: bool,
}

impl KeyBucket {
    /// Creates a bucket of the common quota that is full from `full_at` units on.
    pub(super) fn common(math: &BucketMath, full_at: u64) -> Self {
        Self {
            gcra: Gcra::new(full_at),
            cost: AtomicU64::new(math.time_units.cost),
            speed: AtomicU64::new(math.time_units.speed),
            depth: AtomicU64::new(math.depth),
            burst: AtomicU64::new(packed(math)),
            is_moving: AtomicBool::new(false),
            moving: Lock::new(()),
            is_own: false,
        }
    }

    /// Creates a bucket that keeps its quota and is full from `full_at` units on.
    pub(super) fn exception(own: &Quota, full_at: u64) -> Self {
        Self { is_own: true, ..Self::common(&own.math(), full_at) }
    }

    /// Returns the quota, and the units from which the bucket is full.
    pub(super) fn full_at(&mut self) -> (BucketMath, u64) {
        (self.math(), self.gcra.update(self, |_, full_at| (full_at, ())).0)
    }

    /// Counts by a new common quota, unless the bucket has its own or counts by the new one
    /// already.
    pub(super) fn convert(&self, change: &Change) {
        if self.is_own {
            return;
        }
        self.moving.with(|()| {
            let (old, new) = (self.math(), &change.new);
            if old.epoch.id == new.epoch.id {
                return;
            }
            // ORDERING: Relaxed: published by the swap in `convert`.
            self.is_moving.store(true, Ordering::Relaxed);
            self.gcra.convert(|full_at| {
                // ORDERING: Release: pairs with the fence in `Gcra::confirm`: a caller that has
                // read one of these finds the mark or a later word there. Callers that took by the
                // old quota have read it before the swap in `Gcra::convert`.
                self.cost.store(new.time_units.cost, Ordering::Release);
                self.speed.store(new.time_units.speed, Ordering::Release);
                self.depth.store(new.depth, Ordering::Release);
                self.burst.store(packed(new), Ordering::Release);
                change.convert_word(&old, full_at)
            });
            // ORDERING: Release: pairs with the Acquire in `lane_math`: the word is the new one.
            self.is_moving.store(false, Ordering::Release);
        });
    }

    #[inline]
    fn math(&self) -> BucketMath {
        // ORDERING: Relaxed: see `convert`.
        let [burst, id] = halves(self.burst.load(Ordering::Relaxed));
        let (cost, speed) = (self.cost.load(Ordering::Relaxed), self.speed.load(Ordering::Relaxed));
        let depth = self.depth.load(Ordering::Relaxed);
        let math = BucketMath::new(TimeUnits { cost, speed }, depth, burst, u64::MAX);
        BucketMath { epoch: Epoch { id, ..math.epoch }, ..math }
    }

    #[cold]
    #[inline(never)]
    fn wait_for_move(&self) {
        self.moving.with(|()| ());
    }
}

impl QuotaSource for KeyBucket {
    const LANES: u64 = 0;

    #[inline]
    fn lane_math(&self, _lane: usize) -> BucketMath {
        // ORDERING: Acquire: pairs with the Release in `convert`: if the mark is gone, a word that
        // was read before has been replaced, or is the new one.
        if self.is_moving.load(Ordering::Acquire) {
            self.wait_for_move();
        }
        self.math()
    }
}

impl TokenCounter for KeyBucket {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.gcra.burst(self)
    }

    #[inline]
    fn take(&self, (): &(), request: Request, now: Timestamp) -> Result<Grant, Denied> {
        self.gcra.take(self, request, now)
    }

    fn deny_behind(&self, (): &(), request: Request, queued: u64, now: Timestamp) -> Denied {
        self.gcra.deny_behind(self, request, queued, now)
    }

    fn force_take(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        // The bucket is blocked for ever, or `now` is at the end of time.
        let at_end = || {
            let math = self.lane_math(0);
            math.force_take(math.end, n, now).1
        };
        self.gcra.force_take(self, n, now).unwrap_or_else(at_end)
    }

    fn refund(&self, (): &(), n: u32) {
        self.gcra.refund(self, n);
    }

    fn refund_grant(&self, (): &(), grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        self.gcra.refund_grant(self, grant, n, now);
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.gcra.block_until(self, time);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tidegate_core::{
        Timestamp,
        primitive::atomic::{AtomicBool, Ordering},
    };

    use super::KeyBucket;
    use crate::{
        algorithm::TokenCounter as _,
        gcra::Gcra,
        grant::{Denied, Request},
        inherit::Inherit,
        keyed::common_quota::CommonQuota,
        quota::Quota,
    };

    const NOW: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

    #[test]
    fn a_bucket_that_counts_by_the_new_quota_is_not_converted_again() {
        let common = CommonQuota::new(&Quota::per_second(1));
        common.change(&Quota::per_second(2), Inherit::Reset, NOW, |lane, change| {
            let new = KeyBucket::common(&common.math(lane), 0);
            let moved = KeyBucket::common(&common.math(1 - lane), 0);
            moved.convert(change);
            for mut bucket in [new, moved] {
                bucket.take(&(), Request::exactly(2), NOW).unwrap();
                let before = bucket.full_at();
                bucket.convert(change);
                assert_eq!(bucket.full_at(), before);
            }
        });
    }

    /// The change is done by hand, as it lasts until the caller has come.
    #[test]
    fn a_caller_that_comes_within_a_change_waits_for_its_end() {
        let quota = Quota::per_second(1);
        for _ in 0..10 {
            let (bucket, comes) = (KeyBucket::common(&quota.math(), 0), AtomicBool::new(false));
            let take = || {
                comes.store(true, Ordering::Relaxed);
                bucket.take(&(), Request::exactly(1), NOW)
            };
            let taken = thread::scope(|scope| {
                let taker = bucket.moving.with(|()| {
                    bucket.is_moving.store(true, Ordering::Relaxed);
                    let mut taker = None;
                    bucket.gcra.convert(|full_at| {
                        taker = Some(scope.spawn(take));
                        while !comes.load(Ordering::Relaxed) {
                            thread::yield_now();
                        }
                        (0..10).for_each(|_| thread::yield_now());
                        full_at
                    });
                    bucket.is_moving.store(false, Ordering::Release);
                    taker.unwrap()
                });
                taker.join().unwrap()
            });
            assert!(taken.is_ok(), "{taken:?}");
        }
    }

    #[test]
    fn the_word_of_a_bucket_that_is_being_changed_is_not_that_of_one_blocked_for_ever() {
        let (gcra, quota) = (Gcra::new(0), Quota::per_second(1));
        gcra.convert(|full_at| {
            let taken = gcra.take(&quota, Request::exactly(1), NOW);
            assert!(matches!(taken, Err(Denied::Until(_))), "{taken:?}");
            full_at
        });
    }
}
