//! A quota that may change while it is used.

use tidegate_core::{
    const_fn,
    primitive::atomic::{AtomicU64, Ordering},
};

use crate::{
    gcra::{LANE, Source},
    pace::Pace,
    terms::{Stand, Terms},
};

/// The terms of a bucket in two lanes, of which the bucket's word names the one that counts.
///
/// Changing the quota fills the other lane and then moves the word over to it, both under a lock of the caller's.
#[derive(Debug)]
pub(crate) struct LiveQuota {
    lanes: [Lane; 2],
}

/// | field | changed |
/// | --- | --- |
/// | all but `returned` | while the word is in the other lane |
/// | `returned` | the same, and after each refund while the word is in this lane; it only grows there |
#[derive(Debug)]
struct Lane {
    cost: AtomicU64,
    speed: AtomicU64,
    depth: AtomicU64,
    origin: AtomicU64,
    returned: AtomicU64,
    /// The burst below, the reign above.
    burst: AtomicU64,
}

impl Lane {
    const_fn! {
        fn new(terms: &Terms) -> Self {
            Self {
                cost: AtomicU64::new(terms.pace.cost),
                speed: AtomicU64::new(terms.pace.speed),
                depth: AtomicU64::new(terms.depth),
                origin: AtomicU64::new(terms.stand.origin),
                returned: AtomicU64::new(terms.stand.returned),
                burst: AtomicU64::new(packed(terms)),
            }
        }
    }
}

const fn packed(terms: &Terms) -> u64 {
    (terms.stand.reign as u64) << 32 | terms.burst as u64
}

impl LiveQuota {
    const_fn! {
        pub(crate) fn new(terms: &Terms) -> Self {
            Self { lanes: [Lane::new(terms), Lane::new(terms)] }
        }
    }

    /// Puts terms down in a lane in which the word is not.
    pub(crate) fn fill(&self, lane: usize, terms: &Terms) {
        let lane = &self.lanes[lane];
        // ORDERING: Release: who reads one of these and then confirms its word finds that the word has moved on. That the
        // word's present readers see them is the work of `Gcra::change`.
        lane.cost.store(terms.pace.cost, Ordering::Release);
        lane.speed.store(terms.pace.speed, Ordering::Release);
        lane.depth.store(terms.depth, Ordering::Release);
        lane.origin.store(terms.stand.origin, Ordering::Release);
        lane.returned.store(terms.stand.returned, Ordering::Release);
        lane.burst.store(packed(terms), Ordering::Release);
    }

    /// Notes how much was given back in all, after the word was moved down by it.
    ///
    /// Written in both lanes: the word is in one of them, and the other's is written by `fill`.
    pub(crate) fn set_returned(&self, returned: u64) {
        for lane in &self.lanes {
            // ORDERING: Release: pairs with the Acquire in `terms`: a grant that reads this comes after the word's step down, so
            // its place is not above the truth.
            lane.returned.store(returned, Ordering::Release);
        }
    }

    /// Returns a lane. A branch, no index: what is in the first lane is read without waiting for the word that names it.
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

impl Source for LiveQuota {
    const LANES: u64 = LANE;

    #[inline]
    fn terms(&self, lane: usize) -> Terms {
        let lane = self.lane(lane);
        // ORDERING: Relaxed: seen by the Acquire load of the word, or thrown away with it; see `Gcra`. `returned` is Acquire:
        // pairs with the Release in `set_returned`.
        let burst = lane.burst.load(Ordering::Relaxed);
        Terms {
            pace: Pace {
                cost: lane.cost.load(Ordering::Relaxed),
                speed: lane.speed.load(Ordering::Relaxed),
            },
            depth: lane.depth.load(Ordering::Relaxed),
            burst: low(burst),
            end: Pace::END,
            stand: Stand {
                origin: lane.origin.load(Ordering::Relaxed),
                returned: lane.returned.load(Ordering::Acquire),
                reign: low(burst >> 32),
            },
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the other half is not asked for")]
const fn low(word: u64) -> u32 {
    word as u32
}
