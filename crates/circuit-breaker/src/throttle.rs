//! A client that throttles itself.

use core::{fmt, mem::ManuallyDrop, time::Duration};

use tidegate_core::{
    BuildError, Clock, Gate, Outcome, SystemClock, Tally, Timestamp,
    gate::{self, Classify, OwnedGate, SettleBy, TryEnter},
    primitive::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    random::Random,
};

use crate::{
    check_interval::CheckInterval,
    unwind::{contain_if_unwinding, finally_with},
    window::{Call, Outcomes, Window},
};

/// Refuses a growing share of the calls as more of them fail, and never all of them: a breaker
/// without states.
///
/// Use it for one overloaded server that still answers some calls, where a breaker would swing
/// between all and nothing. Use a [`Breaker`](crate::Breaker) for a server that is either down or
/// up, or where the caller wants to wait: a throttle never waits.
///
/// Each call is refused with the probability max(0, (requests − *K* · accepts) / (requests + 1)),
/// over a sliding window in which accepts are successes, and requests are successes, failures and
/// refusals. So with *K* = 2 the throttle begins to refuse when more than half of the requests
/// fail, and lets about twice as many calls through as succeed. One caller computes the probability
/// anew in every hundredth of the window.
///
/// The algorithm is the adaptive throttling of "Site Reliability Engineering" (Beyer and others,
/// 2016), chapter 21.
///
/// A call that is let in costs two clock reads and a lock of its thread's shard, a refusal one of
/// each. While the probability is above zero, every caller also adds to a shared counter.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_circuit_breaker::{Gate, ManualClock, Throttle};
///
/// let clock = ManualClock::new();
/// let throttle = Throttle::with_clock(2.0, Duration::from_secs(100), clock.clone())?;
/// for _ in 0..1000 {
///     clock.advance(Duration::from_millis(10));
///     // The server is overloaded and takes nothing.
///     let _ = throttle.run_or_else(|| Err("overloaded"), |_refused| Ok(()));
/// }
/// let stats = throttle.stats();
/// assert!(stats.refused > 700, "most are not even sent");
/// assert!(stats.failed > 10, "some are: else its recovery would go unnoticed");
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
pub struct Throttle<C = SystemClock> {
    factor: f64,
    window: Outcomes,
    /// The bits of the probability to refuse, as computed last.
    probability: AtomicU64,
    probability_checks: CheckInterval,
    draws: AtomicU64,
    tally: Tally<4>,
    clock: C,
}

/// How many slices the window has; it moves on by one slice at a time.
const SLICES: u32 = 20;

const SUCCESSES: usize = 0;
const FAILURES: usize = 1;
const IGNORED: usize = 2;
const REFUSED: usize = 3;

/// The one generation of a throttle's window.
const GENERATION: u32 = 0;

#[cfg(feature = "std")]
impl Throttle {
    /// Creates a throttle that lets about `factor` times as many calls through as succeed. It
    /// judges by the last `span`, at least 100 ns (in the book two minutes). `factor` is the book's
    /// *K*, finite and at least 1, usually 2.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `factor` or `span` is out of range.
    pub fn new(factor: f64, span: Duration) -> Result<Self, BuildError> {
        Self::with_clock(factor, span, SystemClock)
    }
}

impl<C: Clock> Throttle<C> {
    /// Creates a throttle that reads `clock`; otherwise as `new`.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `factor` or `span` is out of range.
    pub fn with_clock(factor: f64, span: Duration, clock: C) -> Result<Self, BuildError> {
        // NaN is in no range.
        if !(factor >= 1.0 && factor.is_finite()) {
            return Err(BuildError::new("factor", factor, "at least 1 and finite"));
        }
        if span < Duration::from_nanos(100) {
            return Err(BuildError::new("span", span, "at least 100ns"));
        }
        let every = u64::try_from(span.as_nanos() / 100).unwrap_or(u64::MAX);
        Ok(Self {
            factor,
            window: Outcomes::new(Window::time(span, SLICES)),
            probability: AtomicU64::new(0.0_f64.to_bits()),
            probability_checks: CheckInterval::new(every),
            draws: AtomicU64::new(0),
            tally: Tally::new(),
            clock,
        })
    }

    /// Lets the caller in, or refuses it at random.
    ///
    /// # Errors
    ///
    /// [`ThrottleRefused`] with the probability of a refusal.
    pub fn try_enter(&self) -> Result<ThrottlePass<'_, C>, ThrottleRefused> {
        self.admit().map(|()| ThrottlePass { throttle: self })
    }

    fn admit(&self) -> Result<(), ThrottleRefused> {
        let now = self.clock.now();
        let probability = self.probability(now);
        if probability > 0.0 && self.draw(now) < probability {
            self.record(true, now);
            self.tally.add(REFUSED, 1);
            return Err(ThrottleRefused { probability });
        }
        Ok(())
    }

    /// Returns the statistics.
    pub fn stats(&self) -> ThrottleStats {
        let counts = self.tally.snapshot();
        ThrottleStats {
            succeeded: counts[SUCCESSES],
            failed: counts[FAILURES],
            ignored: counts[IGNORED],
            refused: counts[REFUSED],
            probability: self.find_probability(self.clock.now()),
        }
    }

    fn probability(&self, now: Timestamp) -> f64 {
        if !self.probability_checks.is_due(now) {
            // ORDERING: Relaxed: only the number itself matters.
            return f64::from_bits(self.probability.load(Ordering::Relaxed));
        }
        let probability = self.find_probability(now);
        // ORDERING: Relaxed: as above.
        self.probability.store(probability.to_bits(), Ordering::Relaxed);
        probability
    }

    fn find_probability(&self, now: Timestamp) -> f64 {
        let totals = self.window.totals(GENERATION, now);
        let (requests, accepts) = (totals.calls as f64, (totals.calls - totals.failed) as f64);
        ((requests - self.factor * accepts) / (requests + 1.0)).max(0.0)
    }

    /// Returns a random number, at least 0 and below 1.
    fn draw(&self, now: Timestamp) -> f64 {
        // ORDERING: Relaxed: it matters only that the numbers differ.
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        // The time is part of the seed, so that the clients of one server do not draw the same
        // numbers.
        let noise = Random::new(Random::new(now.as_nanos()).next_u64() ^ draw).next_u64();
        (noise >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn record(&self, failed: bool, now: Timestamp) {
        self.window.record(GENERATION, Call { failed, slow: false }, now);
    }

    fn settle(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.tally.add(SUCCESSES, 1),
            Outcome::Failure => self.tally.add(FAILURES, 1),
            Outcome::Ignored => return self.tally.add(IGNORED, 1),
        }
        // If the clock panics, the outcome is recorded all the same, in the latest slice. A call
        // that panics is settled while its thread unwinds.
        contain_if_unwinding(|| {
            let record = |now| self.record(outcome == Outcome::Failure, now);
            finally_with(|| self.clock.now(), Timestamp::ORIGIN, record);
        });
    }
}

impl<C> fmt::Debug for Throttle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.tally.snapshot();
        f.debug_struct("Throttle")
            .field("factor", &self.factor)
            .field("succeeded", &counts[SUCCESSES])
            .field("failed", &counts[FAILURES])
            .field("ignored", &counts[IGNORED])
            .field("refused", &counts[REFUSED])
            .finish_non_exhaustive()
    }
}

impl<'a, C: Clock> Gate for &'a Throttle<C> {
    type Pass = ThrottlePass<'a, C>;
    type Refused = ThrottleRefused;
    type Enter = TryEnter<Self>;

    fn try_enter(self) -> Result<ThrottlePass<'a, C>, ThrottleRefused> {
        Throttle::try_enter(self)
    }

    fn enter(self) -> Self::Enter {
        TryEnter::new(self)
    }
}

/// Lets callers in with passes that keep the throttle alive.
impl<C: Clock> OwnedGate for Throttle<C> {
    type Pass = OwnedThrottlePass<C>;
    type Refused = ThrottleRefused;
    type Enter = TryEnter<Arc<Self>>;

    fn try_enter_owned(throttle: Arc<Self>) -> Result<OwnedThrottlePass<C>, ThrottleRefused> {
        throttle.admit()?;
        Ok(OwnedThrottlePass { throttle: Some(throttle) })
    }

    fn enter_owned(throttle: Arc<Self>) -> Self::Enter {
        TryEnter::new(throttle)
    }
}

/// The right to make one call, to be settled by how the call went. If the pass is dropped
/// unsettled, the call counts as ignored.
#[must_use = "dropping it unsettled says nothing about the call"]
pub struct ThrottlePass<'a, C: Clock> {
    throttle: &'a Throttle<C>,
}

impl<C: Clock> gate::Pass for ThrottlePass<'_, C> {
    type Refused = ThrottleRefused;

    fn settle(self, outcome: Outcome) {
        // It is not dropped, since the drop would settle it again.
        ManuallyDrop::new(self).throttle.settle(outcome);
    }
}

/// The result says how the call went.
impl<R: Classify + ?Sized, C: Clock> SettleBy<R> for ThrottlePass<'_, C> {
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

impl<C: Clock> Drop for ThrottlePass<'_, C> {
    fn drop(&mut self) {
        self.throttle.settle(Outcome::Ignored);
    }
}

impl<C: Clock> fmt::Debug for ThrottlePass<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottlePass").finish_non_exhaustive()
    }
}

/// A [`ThrottlePass`] that keeps its throttle alive and borrows nothing: the pass of an
/// `Arc<Throttle>`.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use std::{sync::Arc, thread};
/// use tidegate_circuit_breaker::{Gate, ManualClock, Throttle};
///
/// let throttle = Throttle::with_clock(2.0, Duration::from_secs(100), ManualClock::new())?;
/// let throttle = Arc::new(throttle);
/// let gate = throttle.clone();
/// thread::spawn(|| gate.run(|| Err::<(), _>("overloaded"))).join().unwrap().unwrap().unwrap_err();
/// assert_eq!(throttle.stats().failed, 1);
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[must_use = "dropping it unsettled says nothing about the call"]
pub struct OwnedThrottlePass<C: Clock> {
    // `None` once it is settled.
    throttle: Option<Arc<Throttle<C>>>,
}

impl<C: Clock> OwnedThrottlePass<C> {
    fn settle_once(&mut self, outcome: Outcome) {
        // The throttle may be taken out first: it counts the outcome whatever panics on the way.
        if let Some(throttle) = self.throttle.take() {
            throttle.settle(outcome);
        }
    }
}

impl<C: Clock> gate::Pass for OwnedThrottlePass<C> {
    type Refused = ThrottleRefused;

    fn settle(mut self, outcome: Outcome) {
        self.settle_once(outcome);
    }
}

/// The result says how the call went.
impl<R: Classify + ?Sized, C: Clock> SettleBy<R> for OwnedThrottlePass<C> {
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

impl<C: Clock> Drop for OwnedThrottlePass<C> {
    fn drop(&mut self) {
        self.settle_once(Outcome::Ignored);
    }
}

impl<C: Clock> fmt::Debug for OwnedThrottlePass<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedThrottlePass").finish_non_exhaustive()
    }
}

/// A throttle did not let the call through.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ThrottleRefused {
    /// The probability with which it was refused, above 0 and below 1.
    pub probability: f64,
}

impl fmt::Display for ThrottleRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "throttled, as {:.0} of 100 calls are", self.probability * 100.0)
    }
}

impl core::error::Error for ThrottleRefused {}

/// What a [`Throttle`] has done since it was made. A snapshot; its counts are not taken at one
/// instant, and they wrap.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct ThrottleStats {
    /// Calls settled as a success.
    pub succeeded: u64,
    /// Calls settled as a failure.
    pub failed: u64,
    /// Calls that say nothing about the server: settled as ignored, or dropped unsettled.
    pub ignored: u64,
    /// Callers that were refused.
    pub refused: u64,
    /// The probability of a refusal, at least 0 and below 1.
    pub probability: f64,
}
