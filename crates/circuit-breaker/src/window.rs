//! The latest calls, and how many of them failed or were slow: the rates of a rule are computed
//! from these.

mod count;
#[cfg(feature = "serde")]
mod serde;
mod time;

use core::time::Duration;

use alloc::format;

use tidegate_core::{Shards, Timestamp, lock::Lock};

use self::{count::CountRing, time::TimeRing};
use tidegate_core::BuildError;

/// The latest calls of a breaker, by number or by time. Both kinds slide: old calls leave as new
/// ones come, or as time passes.
///
/// | window | holds | costs a call |
/// | --- | --- | --- |
/// | `count(n)` | exactly the last `n` outcomes | a lock that all threads share: one order for all outcomes |
/// | `time(span, slices)` | the current slice and the `slices - 1` before it | a clock read and the lock of the thread's own shard |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Count(u32),
    Time { span: Duration, slices: u32 },
}

impl Window {
    /// Creates a window of the last `n` calls; `n` is 1 to 1000000. It takes 2 `n` bits.
    pub const fn count(n: u32) -> Self {
        Self { kind: Kind::Count(n) }
    }

    /// Creates a window of the calls of the last `span`, counted in `slices` parts of it, 1 to 3600
    /// of them. `span` has at least `slices` nanoseconds.
    ///
    /// The window moves on by a slice at a time, so it covers at most `span`, and at least `span`
    /// less a slice: the more slices, the smoother it slides. Each slice takes 24 bytes for each
    /// thread that can run at once.
    pub const fn time(span: Duration, slices: u32) -> Self {
        Self { kind: Kind::Time { span, slices } }
    }

    pub(crate) fn check(self) -> Result<(), BuildError> {
        match self.kind {
            Kind::Count(n) if !(1..=1_000_000).contains(&n) => {
                Err(BuildError::new("window.count", n, "in 1..=1000000"))
            }
            Kind::Time { slices, .. } if !(1..=3600).contains(&slices) => {
                Err(BuildError::new("window.slices", slices, "in 1..=3600"))
            }
            Kind::Time { span, slices } if span.as_nanos() < u128::from(slices) => {
                Err(BuildError::new("window.span", span, format!("at least {slices}ns")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the most calls that the window can hold.
    pub(crate) const fn most_calls(self) -> u32 {
        match self.kind {
            Kind::Count(n) => n,
            Kind::Time { .. } => u32::MAX,
        }
    }
}

/// The sums of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) slow: u64,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.slow += other.slow;
    }

    fn remove(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failed -= other.failed;
        self.slow -= other.slow;
    }
}

/// How a call went, as far as a window is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

impl From<Call> for Totals {
    fn from(call: Call) -> Self {
        Self { calls: 1, failed: u64::from(call.failed), slow: u64::from(call.slow) }
    }
}

/// The outcomes in a window, each belonging to the generation in which its call began.
#[derive(Debug)]
pub(crate) enum Outcomes {
    Count(PerGeneration<CountRing>),
    Time { shards: Shards<PerGeneration<TimeRing>>, slice_nanos: u64 },
}

impl Outcomes {
    /// Creates an empty window. The settings in `window` have been checked.
    pub(crate) fn new(window: Window) -> Self {
        match window.kind {
            Kind::Count(n) => Self::Count(PerGeneration::new(CountRing::new(n))),
            Kind::Time { span, slices } => {
                let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
                Self::Time {
                    shards: Shards::per_thread(|_| PerGeneration::new(TimeRing::new(slices))),
                    slice_nanos: nanos / u64::from(slices),
                }
            }
        }
    }

    /// Returns whether what the window holds depends on the time.
    pub(crate) const fn needs_time(&self) -> bool {
        matches!(self, Self::Time { .. })
    }

    /// Counts an outcome, unless the ring already holds a later generation.
    pub(crate) fn record(&self, generation: u32, call: Call, now: Timestamp) {
        match self {
            Self::Count(ring) => ring.with(generation, |ring| ring.record(call)),
            Self::Time { shards, slice_nanos } => {
                let slice = now.as_nanos() / slice_nanos;
                shards.by_thread().with(generation, |ring| ring.record(slice, call))
            }
        };
    }

    /// Returns the sums of a generation's outcomes in the window; zeros if the ring already holds a
    /// later generation.
    pub(crate) fn totals(&self, generation: u32, now: Timestamp) -> Totals {
        match self {
            Self::Count(ring) => ring.with(generation, |ring| ring.totals()),
            Self::Time { shards, slice_nanos } => {
                let slice = now.as_nanos() / slice_nanos;
                let mut sum = Totals::default();
                for shard in shards.iter() {
                    let part = shard.with(generation, |ring| ring.totals(slice));
                    sum.add(part.unwrap_or_default());
                }
                Some(sum)
            }
        }
        .unwrap_or_default()
    }
}

/// Outcomes that can be forgotten.
pub(crate) trait Ring {
    fn clear(&mut self);
}

/// A ring behind a lock, and the generation its outcomes belong to.
///
/// A change of state does not touch the windows: the first call of the new generation clears the
/// ring, and a late call of an old generation finds that the ring is not its own.
#[derive(Debug)]
pub(crate) struct PerGeneration<R> {
    current: Lock<(u32, R)>,
}

impl<R: Ring> PerGeneration<R> {
    pub(crate) fn new(ring: R) -> Self {
        Self { current: Lock::new((0, ring)) }
    }

    /// Runs `f` on the ring, which is cleared first if its generation is an earlier one; `None` if
    /// the ring already holds a later generation.
    pub(crate) fn with<T>(&self, generation: u32, f: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.current.with(|(current, ring)| {
            let ahead = generation.wrapping_sub(*current);
            // Generations wrap: a difference in the upper half means an earlier generation.
            if ahead > u32::MAX / 2 {
                return None;
            }
            if ahead > 0 {
                *current = generation;
                ring.clear();
            }
            Some(f(ring))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_outcome_finds_the_ring_of_another_generation() {
        let outcomes = Outcomes::new(Window::count(3));
        let never = Timestamp::NEVER;
        let failure = Call { failed: true, slow: false };
        outcomes.record(u32::MAX, failure, never);
        assert_eq!(outcomes.totals(u32::MAX, never), Totals::default(), "behind generation 0");
        outcomes.record(1, failure, never);
        assert_eq!(outcomes.totals(1, never), failure.into());
        outcomes.record(0, failure, never);
        assert_eq!(outcomes.totals(1, never), failure.into());
        assert_eq!(outcomes.totals(2, never), Totals::default());
    }
}
