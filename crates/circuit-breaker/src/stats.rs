//! What a breaker has seen.

use crate::State;

/// The figures that trip rules judge by, at one moment of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls in the window, without the ignored ones; 0 for a rule without a window.
    pub calls: u64,
    /// Calls in the window that failed.
    pub failures: u64,
    /// Failures since the last success, at most 16383; 0 while half-open.
    pub consecutive_failures: u32,
    /// Probes that have succeeded; 0 unless half-open.
    pub probe_successes: u32,
}

impl Snapshot {
    /// Returns the share of the window's calls that failed, 0 to 1; 0 for an empty window.
    pub fn failure_rate(&self) -> f64 {
        if self.calls == 0 {
            return 0.0;
        }
        // A quotient is rounded as a literal is: 7 of 100 is not below 0.07, as it would be were 0.07 multiplied.
        self.failures as f64 / self.calls as f64
    }
}

/// What a breaker has done since it was made. A snapshot; its counts are not of one instant, and wrap.
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
/// assert_eq!((stats.calls(), stats.failures, stats.ignored), (2, 1, 1));
/// assert_eq!(stats.window.consecutive_failures, 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The state.
    pub state: State,
    /// How often the state has changed, modulo 2³².
    pub generation: u32,
    /// Calls settled as a success.
    pub successes: u64,
    /// Calls settled as a failure.
    pub failures: u64,
    /// Calls that said nothing: ignored, cancelled, dropped unsettled.
    pub ignored: u64,
    /// Successes and failures of calls that began before the latest change of state. They change nothing.
    pub late: u64,
    /// Callers that were turned away. Waiting in `enter` is not being turned away.
    pub refused: u64,
    /// How often it has tripped, also when a probe failed and when observing only.
    pub trips: u64,
    /// Probes in flight; 0 unless half-open.
    pub probes: u32,
    /// The figures that the trip rule judges by.
    pub window: Snapshot,
}

impl Stats {
    /// Returns the number of passes that were settled.
    pub fn calls(&self) -> u64 {
        [self.failures, self.ignored, self.late].into_iter().fold(self.successes, u64::wrapping_add)
    }
}
