//! A quota that may change while it is used.

use tidegate_core::{
    const_fn,
    primitive::atomic::{AtomicU64, Ordering},
};

use crate::{
    bucket_math::{BucketMath, Epoch},
    gcra::{LANE, QuotaSource},
    time_units::TimeUnits,
};

/// The quota of a bucket in two lanes. The bucket's word names the lane that counts.
///
/// To change the quota, the caller fills the other lane and then moves the word over to it, both
/// under one lock.
#[derive(Debug)]
pub(crate) struct LiveQuota {
    lanes: [Lane; 2],
}

/// | field | changed |
/// | --- | --- |
/// | all but `refunded` | while the word is in the other lane |
/// | `refunded` | likewise, and after each refund; it only grows while the word is in this lane |
#[derive(Debug)]
struct Lane {
    cost: AtomicU64,
    speed: AtomicU64,
    depth: AtomicU64,
    origin: AtomicU64,
    refunded: AtomicU64,
    /// The burst in the low half, the id of the epoch in the high half.
    burst: AtomicU64,
}

impl Lane {
    const_fn! {
        fn new(math: &BucketMath) -> Self {
            Self {
                cost: AtomicU64::new(math.time_units.cost),
                speed: AtomicU64::new(math.time_units.speed),
                depth: AtomicU64::new(math.depth),
                origin: AtomicU64::new(math.epoch.origin),
                refunded: AtomicU64::new(math.epoch.refunded),
                burst: AtomicU64::new(packed(math)),
            }
        }
    }
}

/// Returns the burst in the low half and the id of the epoch in the high half.
pub(crate) const fn packed(math: &BucketMath) -> u64 {
    (math.epoch.id as u64) << 32 | math.burst as u64
}

impl LiveQuota {
    const_fn! {
        pub(crate) fn new(math: &BucketMath) -> Self {
            Self { lanes: [Lane::new(math), Lane::new(math)] }
        }
    }

    /// Writes a quota to the lane in which the word is not.
    pub(crate) fn fill(&self, lane: usize, math: &BucketMath) {
        let lane = &self.lanes[lane];
        // ORDERING: Release: pairs with the fence in `Gcra::confirm`: a caller that has read one of
        // these finds there that the word has moved on. `Gcra::change` publishes them to the
        // readers of the new word.
        lane.cost.store(math.time_units.cost, Ordering::Release);
        lane.speed.store(math.time_units.speed, Ordering::Release);
        lane.depth.store(math.depth, Ordering::Release);
        lane.origin.store(math.epoch.origin, Ordering::Release);
        lane.refunded.store(math.epoch.refunded, Ordering::Release);
        lane.burst.store(packed(math), Ordering::Release);
    }

    /// Publishes the sum of all refunds, after the word was moved down by them. Writes both lanes,
    /// as the word may be in either.
    pub(crate) fn set_refunded(&self, refunded: u64) {
        for lane in &self.lanes {
            // ORDERING: Release: pairs with the Acquire in `lane_math`: a grant that reads this
            // comes after the word was moved down, so its position is not too high.
            lane.refunded.store(refunded, Ordering::Release);
        }
    }

    /// Returns a lane, by a branch, so that the processor reads the first lane without waiting for
    /// the word.
    #[inline]
    fn lane(&self, lane: usize) -> &Lane {
        if lane == 0 { &self.lanes[0] } else { self.second() }
    }

    #[cold]
    #[inline(never)]
    const fn second(&self) -> &Lane {
        &self.lanes[1]
    }
}

impl QuotaSource for LiveQuota {
    const LANES: u64 = LANE;

    #[inline]
    fn lane_math(&self, lane: usize) -> BucketMath {
        let lane = self.lane(lane);
        // ORDERING: Relaxed: published by the Acquire load of the word, or else thrown away; see
        // `Gcra`. `refunded` is Acquire: pairs with the Release in `set_refunded`.
        let burst = lane.burst.load(Ordering::Relaxed);
        BucketMath {
            time_units: TimeUnits {
                cost: lane.cost.load(Ordering::Relaxed),
                speed: lane.speed.load(Ordering::Relaxed),
            },
            depth: lane.depth.load(Ordering::Relaxed),
            burst: low(burst),
            end: TimeUnits::END,
            epoch: Epoch {
                origin: lane.origin.load(Ordering::Relaxed),
                refunded: lane.refunded.load(Ordering::Acquire),
                id: low(burst >> 32),
            },
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "only the low half is wanted")]
const fn low(word: u64) -> u32 {
    word as u32
}
