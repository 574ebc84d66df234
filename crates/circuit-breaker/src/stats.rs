//! The statistics of a breaker.

use crate::{state::State, word::Word};

/// The statistics that trip rules check, at one moment of one generation.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, TripRule, Window};
///
/// let rule = TripRule::failure_rate(0.5, Window::count(20));
/// let breaker = Breaker::builder().trip_on(rule).build()?;
/// for outcome in [Ok(()), Err(()), Ok(()), Ok(())] {
///     let _ = breaker.call(|| outcome);
/// }
/// let seen = breaker.stats().window;
/// assert_eq!((seen.calls, seen.failed, seen.failure_rate()), (4, 1, 0.25));
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls in the window, without the ignored ones; 0 for a rule without a window.
    pub calls: u64,
    /// Calls in the window that failed.
    pub failed: u64,
    /// Calls in the window that took longer than the threshold, failed or not; 0 for a rule without
    /// a threshold.
    pub slow: u64,
    /// How many of `calls`, and of `slow`, are still in flight; 0 unless the rule [counts
    /// them](crate::TripRule::count_inflight_slow).
    pub slow_in_flight: u64,
    /// Failures since the last success, at most 8191; 0 while half-open.
    pub consecutive_failures: u32,
    /// Probes that have succeeded; 0 unless half-open.
    pub probe_successes: u32,
}

impl Snapshot {
    /// Returns the share of the window's calls that failed, 0 to 1; 0 for an empty window.
    pub fn failure_rate(&self) -> f64 {
        self.share(self.failed)
    }

    /// Returns the share of the window's calls that were slow, 0 to 1; 0 for an empty window.
    pub fn slow_rate(&self) -> f64 {
        self.share(self.slow)
    }

    /// Takes the streak from `word`.
    pub(crate) fn set_streak(&mut self, word: Word) {
        (self.consecutive_failures, self.probe_successes) = match word.state() {
            State::HalfOpen => (0, word.streak()),
            _ => (word.streak(), 0),
        };
    }

    fn share(&self, part: u64) -> f64 {
        if self.calls == 0 {
            return 0.0;
        }
        // A quotient is rounded as a literal is, so 7 of 100 reaches a ratio of 0.07. In floating
        // point 7 does not reach the product of 0.07 and 100.
        part as f64 / self.calls as f64
    }
}

/// What a breaker has done since it was made. A snapshot; its counts are not taken at one instant,
/// and they wrap.
///
/// Every pass is counted once when it is settled: as a success, a failure, ignored or late.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::Breaker;
///
/// let breaker = Breaker::new();
/// breaker.call(|| Err::<(), _>("no route")).unwrap().unwrap_err();
/// drop(breaker.try_enter().unwrap());
///
/// let stats = breaker.stats();
/// assert_eq!((stats.calls(), stats.failed, stats.ignored), (2, 1, 1));
/// assert_eq!(stats.window.consecutive_failures, 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The state.
    pub state: State,
    /// How many transitions there were, modulo 2³²: changes of state, resets, forced states, and
    /// trips that were only observed.
    pub generation: u32,
    /// Calls settled as a success.
    pub succeeded: u64,
    /// Calls settled as a failure.
    pub failed: u64,
    /// How many of the successes and failures took longer than the rule's threshold; 0 if it has
    /// none.
    pub slow: u64,
    /// Calls that say nothing about the server: settled as ignored, cancelled, or dropped
    /// unsettled.
    pub ignored: u64,
    /// Successes and failures of calls that began in an earlier generation. They have no other
    /// effect.
    pub late: u64,
    /// Probes that were written off because they did not end in time. If such a probe succeeds or
    /// fails after all, it also counts as late.
    pub written_off: u64,
    /// Callers that were refused. Waiting in `enter` is not a refusal.
    pub refused: u64,
    /// How often the breaker has tripped, including trips by a failed probe and trips that were
    /// only observed.
    pub trips: u64,
    /// Probes in flight; 0 unless half-open.
    pub probes: u32,
    /// The statistics that the trip rule checks.
    pub window: Snapshot,
}

impl Stats {
    /// Returns the number of passes that were settled.
    pub fn calls(&self) -> u64 {
        [self.failed, self.ignored, self.late].into_iter().fold(self.succeeded, u64::wrapping_add)
    }
}
