//! One stage's stats in the making.

use core::time::Duration;

use tidegate_core::primitive::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::stats::StageStats;

/// One call of a stage's code in so many is timed, if they take long, and if they take less than [`SHORT`], for which
/// looking at the clock is dear.
const SAMPLE: u64 = 32;
const SAMPLE_OF_SHORT: u64 = 256;
const SHORT: Duration = Duration::from_micros(1);

/// Counts, and charges times, in plain fields. [`StageStats`] says how.
pub(crate) struct Meter {
    pub(crate) stats: StageStats,
    /// What it waits for when it sleeps with slots free: room for its output, or input.
    pub(crate) is_blocked: bool,
    /// Places in use, of the stage's width.
    slots: usize,
    /// Whether it is told how long its work takes.
    is_measured: bool,
    /// Items it left out on purpose.
    pub(crate) skipped: u64,
    /// How taken and given follow from the calls; nothing else is counted for each item then.
    pub(crate) counting: Counting,
    calls: u64,
    /// The call to be timed next.
    next_sample: u64,
    sampled_calls: u64,
    sampled: Duration,
    /// Counted by futures in flight, where attempts are repeated.
    retries: Option<Arc<AtomicU64>>,
}

/// What a call of a stage's code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Nothing: taken and given are counted by themselves.
    Own,
    /// An item was taken, and is given unless it fails or is left out.
    Calls,
    /// What the source is asked for it gives, unless it has to wait or ends.
    Asked,
}

impl Meter {
    pub(crate) fn new(name: &'static str, width: usize) -> Self {
        Self {
            stats: StageStats::new(name, width),
            is_blocked: false,
            slots: 0,
            is_measured: false,
            skipped: 0,
            counting: Counting::Own,
            calls: 0,
            next_sample: 1,
            sampled_calls: 0,
            sampled: Duration::ZERO,
            retries: None,
        }
    }

    /// Returns where repeated attempts are counted.
    pub(crate) fn retries(&mut self) -> Arc<AtomicU64> {
        self.retries.get_or_insert_default().clone()
    }

    /// Sets how many items it works on, in how many of its slots.
    pub(crate) fn set_in_flight(&mut self, items: usize, slots: usize) {
        self.stats.in_flight = items;
        self.slots = slots;
    }

    /// Enters the time of work done elsewhere.
    pub(crate) fn measured(&mut self, time: Duration) {
        self.is_measured = true;
        self.stats.busy = self.stats.busy.saturating_add(time);
    }

    /// Counts a call of the stage's code; returns whether it is one to be timed.
    pub(crate) fn call(&mut self) -> bool {
        self.calls += 1;
        self.calls == self.next_sample
    }

    /// Enters the time of a call.
    pub(crate) fn sample(&mut self, time: Duration) {
        self.sampled += time;
        self.sampled_calls += 1;
        self.next_sample = self.calls + if time < SHORT { SAMPLE_OF_SHORT } else { SAMPLE };
    }

    /// Enters a time in which the flow slept.
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

    /// Returns the stats for others to see.
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
        // ORDERING: Relaxed: counted by futures that the flow polls itself.
        stats.retried = self.retries.as_ref().map_or(0, |retries| retries.load(Ordering::Relaxed));
        stats
    }
}
