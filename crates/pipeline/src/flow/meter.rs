//! Measures one stage.

use core::time::Duration;

use tidegate_core::primitive::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::stats::StageStats;

/// One call in [`SAMPLE`] is timed; after a call shorter than [`SHORT`], for which reading the
/// clock is expensive, one in [`SAMPLE_OF_SHORT`].
const SAMPLE: u64 = 32;
const SAMPLE_OF_SHORT: u64 = 256;
const SHORT: Duration = Duration::from_micros(1);

/// Keeps counts and times in plain fields. [`StageStats`] says how times are counted.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) stats: StageStats,
    /// Whether the stage waits for room for its output (true) or for input (false) if it is below
    /// its capacity while the flow sleeps.
    pub(crate) is_blocked: bool,
    /// How much of the stage's capacity is in use.
    slots: usize,
    /// Whether the time of the stage's work is measured elsewhere, and comes by
    /// [`measured`](Self::measured).
    is_measured: bool,
    /// Items that the stage skipped; for a source, the polls that gave no item.
    pub(crate) skipped: u64,
    /// How `received` and `emitted` follow from the number of calls.
    pub(crate) counting: Counting,
    calls: u64,
    /// The call to be timed next.
    next_sample: u64,
    sampled_calls: u64,
    sampled: Duration,
    /// Second and later attempts, counted by the stage's futures; `None` unless it retries or
    /// hedges.
    retries: Option<Arc<AtomicU64>>,
}

/// What a call of a stage's code says about its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Counting {
    /// Nothing: the stage counts what it receives and emits.
    #[default]
    Own,
    /// Each call received an item, which was emitted unless it failed or was skipped.
    Calls,
    /// Each call emitted an item, unless it failed or was skipped: if the source had no item, the
    /// call counts as skipped.
    Asked,
}

impl Meter {
    pub(crate) fn new(name: &'static str, capacity: usize) -> Self {
        let stats = StageStats { name, capacity, ..StageStats::default() };
        Self { stats, next_sample: 1, ..Self::default() }
    }

    /// Returns the counter of retries.
    pub(crate) fn retries(&mut self) -> Arc<AtomicU64> {
        self.retries.get_or_insert_default().clone()
    }

    /// Sets how many items the stage works on, and how much of its capacity they use.
    pub(crate) fn set_in_flight(&mut self, items: usize, slots: usize) {
        self.stats.in_flight = items;
        self.slots = slots;
    }

    /// Counts the time of work done on other threads.
    pub(crate) fn measured(&mut self, time: Duration) {
        self.is_measured = true;
        self.stats.busy = self.stats.busy.saturating_add(time);
    }

    /// Counts a call of the stage's code. Returns whether to time it.
    pub(crate) fn call(&mut self) -> bool {
        self.calls += 1;
        self.calls == self.next_sample
    }

    /// Counts the time of a call.
    pub(crate) fn sample(&mut self, time: Duration) {
        self.sampled += time;
        self.sampled_calls += 1;
        self.next_sample = self.calls + if time < SHORT { SAMPLE_OF_SHORT } else { SAMPLE };
    }

    /// Counts a time in which the flow slept.
    pub(crate) fn slept(&mut self, time: Duration) {
        let stats = &mut self.stats;
        if !self.is_measured {
            let slots = u32::try_from(self.slots).unwrap_or(u32::MAX);
            stats.busy = stats.busy.saturating_add(time.saturating_mul(slots));
        }
        if self.slots < stats.capacity {
            match self.is_blocked {
                true => stats.waiting_on_output += time,
                false => stats.waiting_on_input += time,
            }
        }
    }

    /// Returns the statistics as users see them.
    pub(crate) fn stats(&self) -> StageStats {
        let mut stats = self.stats;
        if self.counting != Counting::Own {
            let lost = self.skipped + stats.failed;
            stats.received = self.calls - if self.counting == Counting::Asked { lost } else { 0 };
            stats.emitted = self.calls - lost;
        }
        if self.sampled_calls > 0 {
            let nanos =
                self.sampled.as_nanos() * u128::from(self.calls) / u128::from(self.sampled_calls);
            stats.busy += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        // ORDERING: Relaxed: counted by futures that the flow itself polls.
        stats.retried = self.retries.as_ref().map_or(0, |retries| retries.load(Ordering::Relaxed));
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// Returns after how many calls one is to be timed.
    fn calls_until_a_sample(meter: &mut Meter) -> usize {
        1 + (0..1000).take_while(|_| !meter.call()).count()
    }

    #[test]
    fn after_a_short_call_fewer_are_timed() {
        let mut meter = Meter::new("stage", 1);
        assert_eq!(calls_until_a_sample(&mut meter), 1);
        meter.sample(SHORT - Duration::from_nanos(1));
        assert_eq!(calls_until_a_sample(&mut meter), 256);
        meter.sample(SHORT);
        assert_eq!(calls_until_a_sample(&mut meter), 32);
        meter.sample(micros(5));
        assert_eq!(calls_until_a_sample(&mut meter), 32);
    }

    #[test]
    fn calls_that_are_not_timed_count_as_those_that_are() {
        let mut meter = Meter::new("stage", 1);
        (0..10).for_each(|_| _ = meter.call());
        meter.sample(micros(2));
        meter.sample(micros(4));
        assert_eq!(meter.stats().busy, micros(30));
    }

    #[test]
    fn what_a_call_says_about_items_depends_on_who_is_called() {
        let counts = |counting| {
            let mut meter = Meter { counting, skipped: 2, ..Meter::new("stage", 1) };
            meter.stats.failed = 1;
            (0..10).for_each(|_| _ = meter.call());
            let stats = meter.stats();
            (stats.received, stats.emitted)
        };
        assert_eq!(counts(Counting::Own), (0, 0));
        assert_eq!(counts(Counting::Calls), (10, 7));
        assert_eq!(counts(Counting::Asked), (7, 7));
    }

    /// Time that threads of a pool measure is not measured again by the sleep of the flow.
    #[test]
    fn work_that_is_measured_elsewhere_is_counted_once() {
        let mut meter = Meter::new("stage", 4);
        meter.set_in_flight(6, 3);
        meter.slept(micros(10));
        assert_eq!(meter.stats().busy, micros(30));
        meter.measured(micros(7));
        meter.slept(micros(10));
        assert_eq!(meter.stats().busy, micros(37));
    }
}
