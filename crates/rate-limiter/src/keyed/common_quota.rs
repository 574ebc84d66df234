//! The quota of all keys that have none of their own. It may change while they are used.

use core::num::NonZeroU32;

use tidegate_core::{
    Timestamp,
    lock::Lock,
    primitive::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

use crate::{
    bucket_math::{BucketMath, Epoch},
    inherit::{Inherit, OldQuota},
    quota::Quota,
    time_units::TimeUnits,
};

/// The common quota in two lanes. The entry of each key names the lane by which it counts.
///
/// A change fills the other lane, and then moves all entries over, one shard at a time. A lane is
/// filled again only by the next change, when no entry is in it. So a caller that holds the lock of
/// an entry's shard reads a lane that does not change.
pub(super) struct CommonQuota {
    lanes: [Lane; 2],
    /// How often the quota was changed. The lowest bit names the lane of new entries.
    generation: AtomicU32,
    /// The burst of that lane, for a first check without any lock.
    burst: AtomicU32,
    // INVARIANT: all entries are in the lane of new ones.
    change: Lock<()>,
}

/// The number of a lane, which takes no room in an entry.
pub(super) type LaneIndex = u8;

#[derive(Default)]
struct Lane {
    cost: AtomicU64,
    speed: AtomicU64,
    depth: AtomicU64,
    burst: AtomicU32,
    generation: AtomicU32,
    tokens: AtomicU32,
    period: AtomicU64,
}

/// The quota of a lane in as few words as possible, as each request carries it out of its critical
/// section. It has no generation: no grant of a plain bucket is refunded by its age.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LaneMath {
    time_units: TimeUnits,
    depth: u64,
    burst: u32,
}

impl LaneMath {
    pub(super) const fn new(math: &BucketMath) -> Self {
        Self { time_units: math.time_units, depth: math.depth, burst: math.burst }
    }

    #[inline(always)]
    pub(super) const fn math(self) -> BucketMath {
        BucketMath::new(self.time_units, self.depth, self.burst, u64::MAX)
    }
}

/// A change of the common quota at `now`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) new: BucketMath,
    inherit: Inherit,
    now: Timestamp,
}

impl CommonQuota {
    pub(super) fn new(quota: &Quota) -> Self {
        let (generation, burst) = (AtomicU32::new(0), AtomicU32::new(quota.max_burst()));
        let lanes = [Lane::default(), Lane::default()];
        lanes[0].fill(quota, 0);
        Self { lanes, generation, burst, change: Lock::new(()) }
    }

    /// Returns the largest number of tokens that a key can get at once. A snapshot.
    #[inline]
    pub(super) fn max_burst(&self) -> u32 {
        // ORDERING: Relaxed: a snapshot. The take checks again, by the quota of the key's entry.
        self.burst.load(Ordering::Relaxed)
    }

    /// Returns the quota, for a caller without a lock.
    pub(super) fn quota(&self) -> Quota {
        loop {
            // ORDERING: Acquire: pairs with the Release in `change`, so the lane is filled. The
            // fence pairs with the Release stores to a lane: a caller that has read one of a later
            // change finds another generation here.
            let generation = self.generation.load(Ordering::Acquire);
            let quota = self.lane_at(lane_of(generation)).quota();
            fence(Ordering::Acquire);
            if self.generation.load(Ordering::Acquire) == generation {
                return quota;
            }
        }
    }

    /// Returns the lane of a new entry. For a caller that holds the lock of the entry's shard.
    pub(super) fn lane(&self) -> LaneIndex {
        // ORDERING: the fence pairs with that in `change`. The shard may be a new one: either the
        // change is seen here, or the change finds the shard when it moves all entries, and waits
        // for its lock. Acquire: as in `quota`.
        fence(Ordering::SeqCst);
        lane_of(self.generation.load(Ordering::Acquire))
    }

    /// Returns the quota of an entry. For a caller that holds the lock of its shard.
    #[inline]
    pub(super) fn math(&self, lane: LaneIndex) -> BucketMath {
        let math = self.lane_math(lane).math();
        let id = self.lane_at(lane).generation.load(Ordering::Relaxed);
        BucketMath { epoch: Epoch { id, ..math.epoch }, ..math }
    }

    /// Returns the quota of an entry. For a caller that holds the lock of its shard.
    #[inline]
    pub(super) fn lane_math(&self, lane: LaneIndex) -> LaneMath {
        self.lane_at(lane).math()
    }

    /// Counts by another quota: new entries at once, and all others once `move_all` has moved them.
    pub(super) fn change(
        &self,
        quota: &Quota,
        inherit: Inherit,
        now: Timestamp,
        move_all: impl FnOnce(LaneIndex, &Change),
    ) {
        self.change.with(|()| {
            // ORDERING: Relaxed: written in this section only.
            let generation = self.generation.load(Ordering::Relaxed).wrapping_add(1);
            let lane = lane_of(generation);
            self.lane_at(lane).fill(quota, generation);
            // ORDERING: Release: pairs with the Acquire in `lane` and `quota`.
            self.generation.store(generation, Ordering::Release);
            // ORDERING: see `lane`.
            fence(Ordering::SeqCst);
            self.burst.store(quota.max_burst(), Ordering::Relaxed);
            move_all(lane, &Change { new: self.math(lane), inherit, now });
        });
    }

    /// Returns a lane, by a branch, so that the processor reads the first lane without waiting for
    /// the entry.
    #[inline]
    fn lane_at(&self, lane: LaneIndex) -> &Lane {
        if lane == 0 { &self.lanes[0] } else { self.second() }
    }

    #[cold]
    #[inline(never)]
    const fn second(&self) -> &Lane {
        &self.lanes[1]
    }
}

const fn lane_of(generation: u32) -> LaneIndex {
    (generation & 1) as LaneIndex
}

impl Lane {
    fn fill(&self, quota: &Quota, generation: u32) {
        let math = quota.math();
        // ORDERING: Release: pairs with the fence in `quota`. Callers with the lock of a shard read
        // the lane after the change has published it, and before another change fills it.
        self.cost.store(math.time_units.cost, Ordering::Release);
        self.speed.store(math.time_units.speed, Ordering::Release);
        self.depth.store(math.depth, Ordering::Release);
        self.burst.store(math.burst, Ordering::Release);
        self.generation.store(generation, Ordering::Release);
        self.tokens.store(quota.tokens(), Ordering::Release);
        self.period.store(quota.period_nanos(), Ordering::Release);
    }

    // ORDERING: Relaxed, here and in `quota`: see `fill`.
    #[inline]
    fn math(&self) -> LaneMath {
        let (cost, speed) = (self.cost.load(Ordering::Relaxed), self.speed.load(Ordering::Relaxed));
        let time_units = TimeUnits { cost, speed };
        let (depth, burst) =
            (self.depth.load(Ordering::Relaxed), self.burst.load(Ordering::Relaxed));
        LaneMath { time_units, depth, burst }
    }

    fn quota(&self) -> Quota {
        let math = self.math();
        let [tokens, burst] = [self.tokens.load(Ordering::Relaxed), math.burst]
            .map(|n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        let period = self.period.load(Ordering::Relaxed);
        Quota::of_parts(tokens, period, burst, math.time_units, math.depth)
    }
}

/// Splits a word into its low and its high half.
#[allow(clippy::cast_possible_truncation, reason = "the halves are wanted")]
pub(super) const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

impl Change {
    /// Converts the number of a key's bucket.
    ///
    /// A full bucket counts as one never seen, and stays full. A bucket that is less than empty has
    /// a debt or a penalty, which it does not tell apart: its next token keeps its time.
    pub(super) fn convert(&self, old: &BucketMath, full_at: u64) -> u64 {
        let (new, present) = (&self.new, old.present(self.now));
        if full_at == old.end {
            return new.end;
        }
        if full_at <= present {
            return new.present(self.now);
        }
        if full_at - present > old.depth {
            let next_token = full_at - (old.depth - old.time_units.cost);
            return new.blocked_until(old.time(next_token));
        }
        let old = OldQuota { math: *old, blocked_until: Timestamp::ORIGIN };
        old.convert(full_at, new, self.inherit, self.now)
    }

    /// Does what [`convert`](Self::convert) does, for a word that a caller may be about to replace.
    /// If the number stayed the same, that caller would succeed, and take by the old quota. So the
    /// number differs by one unit, unless such a take has the same effect as before the change.
    pub(super) fn convert_word(&self, old: &BucketMath, full_at: u64) -> u64 {
        let (new, next) = (&self.new, self.convert(old, full_at));
        if next != full_at || next == new.end {
            return next;
        }
        if next <= new.present(self.now) {
            return next.saturating_sub(1);
        }
        let is_linear = match self.inherit {
            Inherit::Proportional => old.depth == new.depth,
            _ => old.time_units == new.time_units,
        };
        next + u64::from(!is_linear)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_core::Timestamp;

    use super::Change;
    use crate::{bucket_math::BucketMath, grant::Request, inherit::Inherit, quota::Quota};

    const NOW: Timestamp = Timestamp::from_nanos(1_000_000_000_000);
    const ALL: [Inherit; 4] =
        [Inherit::AsIs, Inherit::Proportional, Inherit::Additive, Inherit::Reset];

    /// Returns a word after a change of a quota, by a caller that may be about to replace it.
    fn converted(old: &BucketMath, new: &Quota, inherit: Inherit, full_at: u64) -> u64 {
        Change { new: new.math(), inherit, now: NOW }.convert_word(old, full_at)
    }

    /// A bucket of `old` with `spent` tokens missing.
    fn spent(old: &BucketMath, spent: u32) -> u64 {
        old.present(NOW) + old.price(spent)
    }

    #[test]
    fn a_word_that_would_stay_the_same_moves_by_one_unit() {
        // After one token a second has been spent, both buckets are full a second later.
        let (old, new) = (Quota::per_second(1).burst(2).math(), Quota::per_second(2).burst(3));
        let word = spent(&old, 1);
        assert_eq!(converted(&old, &new, Inherit::AsIs, word), word + 1);
        // A full bucket stays full.
        let full = spent(&old, 0);
        assert_eq!(ALL.map(|inherit| converted(&old, &new, inherit, full)), [full - 1; 4]);
    }

    #[test]
    fn a_word_stays_the_same_where_a_take_by_the_old_quota_is_right_after_the_change() {
        let old = Quota::per_second(1).burst(2).math();
        let word = spent(&old, 1);
        let like = Quota::per_second(2).burst(4);
        assert_eq!(converted(&old, &like, Inherit::Proportional, word), word);
        let deeper = Quota::per_second(1).burst(3);
        assert_eq!(converted(&old, &deeper, Inherit::Additive, word), word);
        assert_eq!(ALL.map(|inherit| converted(&old, &like, inherit, old.end)), [old.end; 4]);
    }

    /// Quotas that count in units of different length have the same word by chance.
    #[test]
    fn a_part_of_a_deeper_bucket_is_not_the_same_word() {
        let (old, new) = (Quota::per_second(1).burst(2).math(), Quota::per_second(3).burst(7));
        let full = spent(&old, 0);
        let change = Change { new: new.math(), inherit: Inherit::Proportional, now: NOW };
        let is_same = |word: &u64| change.convert(&old, *word) == *word;
        let word = (full + 1..full + 10_000).find(is_same).unwrap();
        assert_eq!(change.convert_word(&old, word), word + 1);
    }

    proptest! {
        /// The caller has read the word and the quota before the change.
        #[test]
        fn a_take_that_succeeds_across_a_change_comes_before_it(
            old in (0..4_u32, 1..=6_u32),
            new in (0..4_u32, 1..=6_u32),
            missing in 0..=6_u32,
            n in 1..=6_u32,
            inherit in 0..4_usize,
        ) {
            let [old, new] = [old, new].map(|(n, burst)| Quota::per_second(1 << n).burst(burst));
            let (old, inherit) = (old.math(), ALL[inherit]);
            let word = spent(&old, missing);
            if let Ok((next, _)) = old.take(word, Request::exactly(n), NOW) {
                let change = Change { new: new.math(), inherit, now: NOW };
                let is_same = change.convert_word(&old, word) == word;
                prop_assert!(!is_same || change.convert(&old, next) == next);
            }
        }
    }
}
