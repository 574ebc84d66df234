//! A quota that may change while it is used.

use tidegate_core::{
    const_fn,
    primitive::atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::{gcra::Source, pace::Pace, quota::Quota, terms::Terms};

/// The terms of a bucket in two lanes, of which the bucket's word names the one that counts.
///
/// Changing the quota fills the other lane and then moves the word over to it, both under a lock of the caller's.
#[derive(Debug)]
pub(crate) struct LiveQuota {
    lanes: [Lane; 2],
}

/// | field | changed |
/// | --- | --- |
/// | `cost`, `speed`, `depth`, `burst` | while the word is in the other lane |
/// | `floor` | the same, and by reservations while the word is in this lane |
#[derive(Debug)]
struct Lane {
    cost: AtomicU64,
    speed: AtomicU64,
    depth: AtomicU64,
    burst: AtomicU32,
    // INVARIANT: what is promised to reservations: the word, in its units, is not to be brought below.
    floor: AtomicU64,
}

impl Lane {
    const_fn! {
        fn new(quota: &Quota) -> Self {
            let terms = quota.terms;
            Self {
                cost: AtomicU64::new(terms.pace.cost),
                speed: AtomicU64::new(terms.pace.speed),
                depth: AtomicU64::new(terms.depth),
                burst: AtomicU32::new(terms.burst),
                floor: AtomicU64::new(0),
            }
        }
    }
}

impl LiveQuota {
    const_fn! {
        pub(crate) fn new(quota: &Quota) -> Self {
            Self { lanes: [Lane::new(quota), Lane::new(quota)] }
        }
    }

    /// Puts terms and a floor down in a lane in which the word is not.
    pub(crate) fn fill(&self, lane: usize, terms: &Terms, floor: u64) {
        let lane = &self.lanes[lane];
        // ORDERING: Release, all but the floor: who reads one of these and then confirms its word finds that the word has
        // moved on. Who reads a floor replaces the word, which never succeeds by an old one. That the word's present readers
        // see them is the work of `Gcra::change`.
        lane.cost.store(terms.pace.cost, Ordering::Release);
        lane.speed.store(terms.pace.speed, Ordering::Release);
        lane.depth.store(terms.depth, Ordering::Release);
        lane.burst.store(terms.burst, Ordering::Release);
        lane.floor.store(floor, Ordering::Relaxed);
    }

    /// Raises or lowers the floor of both lanes: the word is in one of them, and the other's is written by `fill`.
    pub(crate) fn set_floor(&self, floor: u64) {
        for lane in &self.lanes {
            // ORDERING: Relaxed: what makes a floor binding is the reservation's step on the word, whose Release
            // publishes it.
            lane.floor.store(floor, Ordering::Relaxed);
        }
    }
}

impl LiveQuota {
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
    #[inline]
    fn terms(&self, lane: usize) -> Terms {
        let lane = self.lane(lane);
        // ORDERING: Relaxed: seen by the Acquire load of the word, or thrown away with it; see `Gcra`.
        Terms {
            pace: Pace {
                cost: lane.cost.load(Ordering::Relaxed),
                speed: lane.speed.load(Ordering::Relaxed),
            },
            depth: lane.depth.load(Ordering::Relaxed),
            burst: lane.burst.load(Ordering::Relaxed),
        }
    }

    fn floor(&self, lane: usize) -> u64 {
        // ORDERING: Relaxed: as in `terms`.
        self.lanes[lane].floor.load(Ordering::Relaxed)
    }
}
