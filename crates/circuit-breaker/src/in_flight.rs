//! Calls in flight, by the time they began: which of them are slow already.
//!
//! ```text
//!            threshold
//!      ◀───────────────────▶ now
//! old │ s │ s │ s │ s │ … │ s │      a call that began in a slice wholly before the threshold is slow
//! ```

use core::time::Duration;

use tidegate_core::{Shards, Timestamp, primitive::thread_number};

use crate::{
    check_interval::CheckInterval,
    window::{PerGeneration, Ring},
    word::COUNT_MAX,
};

/// Slices that a threshold is cut into.
const SLICES_OF_THRESHOLD: u64 = 8;

/// Slots for slices. There are so many that, when a slot is reused, its old slice is older than the
/// threshold.
const SLOTS: usize = 16;

/// Counts the calls in flight by the shard of the thread, and the slice of time, in which they
/// began.
#[derive(Debug)]
pub(crate) struct InFlight {
    shards: Shards<PerGeneration<StartRing>>,
    threshold: Duration,
    slice_nanos: u64,
    slow_checks: CheckInterval,
}

impl InFlight {
    pub(crate) fn new(threshold: Duration) -> Self {
        let nanos = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX);
        let slice_nanos = (nanos / SLICES_OF_THRESHOLD).max(1);
        Self {
            shards: Shards::per_thread(|_| PerGeneration::new(StartRing::default())),
            threshold,
            slice_nanos,
            slow_checks: CheckInterval::new(slice_nanos),
        }
    }

    /// Counts a call in and returns its shard and its start, which is not before the latest slice
    /// in that shard. Counts nothing if the shard already holds a later generation.
    pub(crate) fn enter(&self, generation: u32, now: Timestamp) -> (u32, Timestamp) {
        let shard = self.own_shard();
        let enter = |ring: &mut StartRing| ring.enter(self.slice(now));
        let slice = self.ring(shard).and_then(|ring| ring.with(generation, enter));
        // Time that goes backward stands still: the call counts as begun in the latest slice.
        let start = slice.map_or(now, |slice| now.max(self.start_of(slice)));
        (shard, start)
    }

    /// Stops counting a call that [`enter`](Self::enter) has counted.
    pub(crate) fn leave(&self, generation: u32, shard: u32, started: Timestamp) {
        let leave = |ring: &mut StartRing| ring.leave(self.slice(started));
        self.ring(shard).and_then(|ring| ring.with(generation, leave));
    }

    /// Returns how many calls of a generation are slow already.
    pub(crate) fn slow(&self, generation: u32, now: Timestamp) -> u64 {
        let slow_in = |ring: &mut StartRing| {
            let now = now.max(self.start_of(ring.latest));
            ring.before(self.slice(now - self.threshold))
        };
        self.shards.iter().filter_map(|shard| shard.with(generation, slow_in)).sum()
    }

    /// Returns whether a check is due: `true` for only one caller in a slice of time.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.slow_checks.is_due(now)
    }

    fn slice(&self, time: Timestamp) -> u64 {
        time.as_nanos() / self.slice_nanos
    }

    fn start_of(&self, slice: u64) -> Timestamp {
        Timestamp::from_nanos(slice * self.slice_nanos)
    }

    #[allow(clippy::cast_possible_truncation, reason = "at most COUNT_MAX")]
    fn own_shard(&self) -> u32 {
        // The number has to fit a stamp.
        let mask = (self.shards.len() - 1).min(COUNT_MAX as usize);
        (thread_number().unwrap_or(0) & mask) as u32
    }

    fn ring(&self, shard: u32) -> Option<&PerGeneration<StartRing>> {
        self.shards.get(shard as usize)
    }
}

/// Counts calls by the slice in which they began. Slice number `s` is in slot `s % SLOTS`.
#[derive(Debug, Default)]
struct StartRing {
    slots: [Slot; SLOTS],
    /// Calls whose slice has lost its slot to a later one.
    old: u64,
    /// The latest slice in which a call has begun.
    latest: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Slot {
    slice: u64,
    calls: u64,
}

impl StartRing {
    /// Counts a call in `slice`, or in the latest slice if that one is later; returns the slice
    /// that counts it.
    fn enter(&mut self, slice: u64) -> u64 {
        self.latest = self.latest.max(slice);
        let slot = &mut self.slots[Self::at(self.latest)];
        if slot.slice < self.latest {
            self.old += core::mem::take(&mut slot.calls);
            slot.slice = self.latest;
        }
        slot.calls += 1;
        self.latest
    }

    fn leave(&mut self, slice: u64) {
        let count = self.count_of(slice);
        // A call that entered under earlier settings is not counted here.
        *count = count.saturating_sub(1);
    }

    /// Returns the count that now includes the calls of `slice`. When the next call enters, they
    /// may move to `old`.
    fn count_of(&mut self, slice: u64) -> &mut u64 {
        let slot = &mut self.slots[Self::at(slice)];
        if slot.slice == slice { &mut slot.calls } else { &mut self.old }
    }

    fn before(&self, slice: u64) -> u64 {
        let slow = self.slots.iter().filter(|slot| slot.slice < slice);
        slow.map(|slot| slot.calls).sum::<u64>() + self.old
    }

    #[allow(clippy::cast_possible_truncation, reason = "a remainder of a usize")]
    fn at(slice: u64) -> usize {
        (slice % SLOTS as u64) as usize
    }
}

impl Ring for StartRing {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_call_is_slow_within_an_eighth_after_the_threshold_and_never_before() {
        for started in 0..40 {
            let calls = InFlight::new(Duration::from_nanos(80));
            let (shard, _) = calls.enter(0, at(started));
            for now in started..400 {
                let (age, slow) = (now - started, calls.slow(0, at(now)));
                assert!(age > 80 || slow == 0, "{started} {now}");
                assert!(age < 90 || slow == 1, "{started} {now}");
            }
            calls.leave(0, shard, at(started));
            assert_eq!(calls.slow(0, at(400)), 0);
        }
    }

    #[test]
    fn a_slice_that_has_lost_its_slot_still_counts_and_is_left() {
        let calls = InFlight::new(Duration::from_nanos(80));
        let times = [5, 165, 325, 1000];
        let shards = times.map(|time| calls.enter(0, at(time)).0);
        assert_eq!(calls.slow(0, at(1000)), 3);
        for (time, shard) in times.into_iter().zip(shards) {
            calls.leave(0, shard, at(time));
        }
        assert_eq!(calls.slow(0, at(9999)), 0);
    }

    #[test]
    fn a_call_of_an_earlier_generation_is_not_counted() {
        let calls = InFlight::new(Duration::from_nanos(80));
        let (shard, _) = calls.enter(0, at(0));
        assert_eq!(calls.slow(1, at(1000)), 0);
        calls.enter(1, at(0));
        calls.leave(0, shard, at(0));
        assert_eq!(calls.slow(1, at(1000)), 1);
    }

    #[test]
    fn time_that_goes_backward_stands_still() {
        let calls = InFlight::new(Duration::from_nanos(80));
        let (first, began) = calls.enter(0, at(1000));
        assert_eq!(began, at(1000));
        // So far back that its slice has lost its slot.
        let (second, began) = calls.enter(0, at(10));
        assert_eq!(began, at(1000));
        assert_eq!(
            (calls.slow(0, at(10)), calls.slow(0, at(1080)), calls.slow(0, at(1091))),
            (0, 0, 2)
        );
        calls.leave(0, first, at(1000));
        assert_eq!(calls.slow(0, at(2000)), 1);
        calls.leave(0, second, began);
        assert_eq!(calls.slow(0, Timestamp::NEVER), 0);
    }

    #[test]
    fn the_end_of_time_is_a_time() {
        for threshold in [Duration::from_nanos(1), Duration::from_nanos(80), Duration::MAX] {
            let calls = InFlight::new(threshold);
            let (shard, began) = calls.enter(0, Timestamp::NEVER);
            assert_eq!(calls.slow(0, Timestamp::NEVER), 0, "{threshold:?}");
            calls.leave(0, shard, began);
        }
    }
}
