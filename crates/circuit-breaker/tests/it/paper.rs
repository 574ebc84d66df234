//! A sequential reference that keeps every outcome with its time and counts all of them anew: late
//! results, lost probes and their write-offs, slow calls, ended and in flight, forced states.

use core::time::Duration;

use tidegate_circuit_breaker::{
    Breaker, ManualClock, OpenFor, Outcome, Pass, RefusedReason, State, TripRule, Window,
};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    Consecutive(u32),
    LastCalls { n: u32, ratio: f64, minimum: u32 },
    LastSeconds { slices: u32, ratio: f64, minimum: u32 },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) rule: Rule,
    pub(crate) slow: Option<Slow>,
    /// Trips also when failed and slow calls are [`MANY`] together.
    pub(crate) predicate: bool,
    pub(crate) probe_timeout: Option<u64>,
    pub(crate) exponential: bool,
    pub(crate) probes: u32,
    pub(crate) close_after: u32,
}

/// A second rule, for slow calls in the same window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slow {
    pub(crate) ratio: f64,
    pub(crate) threshold: u64,
    pub(crate) in_flight: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Enter,
    /// Settles the pass with this index, modulo the number of passes in flight.
    Settle(usize, Outcome),
    FailFor(usize, u64),
    Advance(u64),
    Force(State),
}

/// A slice of the time window takes this many units of the clock.
const SLICE: u64 = 4;
const OPEN_FOR: u64 = 5;
const MAX_OPEN_FOR: u64 = 17;

const MANY: u64 = 3;
const MINIMUM_OF_SLOW: u32 = 2;

/// A pass in flight.
#[derive(Debug, Clone, Copy)]
struct Out {
    generation: u32,
    started: u64,
    is_probe: bool,
}

/// An outcome in the window.
#[derive(Debug, Clone, Copy)]
struct Seen {
    time: u64,
    failed: bool,
    slow: bool,
}

/// The sums of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    calls: u64,
    failed: u64,
    slow: u64,
    slow_in_flight: u64,
}

/// What the breaker should do, in plain sequential code.
pub(crate) struct Reference {
    pub(crate) settings: Settings,
    now: u64,
    state: State,
    open_until: u64,
    /// Trips since the breaker was closed, without those for which the server asked.
    level: u32,
    out: Vec<Out>,
    generation: u32,
    probes: u32,
    probe_successes: u32,
    streak: u32,
    /// This generation's outcomes.
    outcomes: Vec<Seen>,
    /// When the calls in flight are checked next.
    next_look: u64,
    /// Successes, failures, ignored, late, refused, trips, slow, written off.
    counts: [u64; 8],
}

impl Reference {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: 0,
            state: State::Closed,
            open_until: 0,
            level: 0,
            out: Vec::new(),
            generation: 0,
            probes: 0,
            probe_successes: 0,
            streak: 0,
            outcomes: Vec::new(),
            next_look: 0,
            counts: [0; 8],
        }
    }

    fn go(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        (self.probes, self.probe_successes, self.streak) = (0, 0, 0);
        self.outcomes.clear();
    }

    fn force(&mut self, state: State) {
        self.level = 0;
        self.go(state);
    }

    fn lets_all_through(&self) -> bool {
        matches!(self.state, State::Closed | State::ForcedClosed | State::ObserveOnly)
    }

    /// The starts of the probes in flight.
    fn probe_starts(&self) -> impl Iterator<Item = u64> + '_ {
        let probes = self.out.iter().filter(|out| out.generation == self.generation);
        probes.map(|out| out.started)
    }

    /// Trips if slow calls in flight meet the rule, or if a probe in flight is overdue.
    fn look_before_entering(&mut self) {
        if let (State::HalfOpen, Some(timeout)) = (self.state, self.settings.probe_timeout) {
            let overdue = self.probe_starts().filter(|start| start + timeout <= self.now).count();
            if overdue > 0 {
                self.counts[7] += overdue as u64;
                self.trip(None);
            }
        }
        let watches = self.settings.slow.is_some_and(|slow| slow.in_flight);
        let is_watched = matches!(self.state, State::Closed | State::ObserveOnly);
        if watches && is_watched && self.now >= self.next_look {
            self.next_look = self.now + 1;
            if self.is_met() {
                self.trip(None);
            }
        }
    }

    fn enter(&mut self) -> Result<(), (RefusedReason, Option<u64>)> {
        self.look_before_entering();
        if self.state == State::Open && self.now >= self.open_until {
            self.go(State::HalfOpen);
        }
        let refusal = match self.state {
            State::Open => Some((RefusedReason::Open, Some(self.open_until - self.now))),
            State::HalfOpen if self.probes == self.settings.probes => {
                let timeout = self.settings.probe_timeout;
                let first = self.probe_starts().min().unwrap();
                Some((RefusedReason::Probing, timeout.map(|timeout| first + timeout - self.now)))
            }
            State::ForcedOpen => Some((RefusedReason::ForcedOpen, None)),
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.counts[4] += 1;
            return Err(refusal);
        }
        let is_probe = self.state == State::HalfOpen;
        self.probes += u32::from(is_probe);
        self.out.push(Out { generation: self.generation, started: self.now, is_probe });
        Ok(())
    }

    fn settle(&mut self, place: usize, outcome: Outcome, asked: Option<u64>) {
        let out = self.out.remove(place);
        let is_late = out.generation != self.generation;
        if !is_late && self.state == State::HalfOpen {
            self.probes -= 1;
        }
        let counter = match outcome {
            Outcome::Ignored => 2,
            _ if is_late => 3,
            Outcome::Success => 0,
            Outcome::Failure => 1,
        };
        self.counts[counter] += 1;
        if is_late || outcome == Outcome::Ignored {
            return;
        }
        let failed = outcome == Outcome::Failure;
        let slow = self.settings.slow.is_some_and(|slow| self.now - out.started > slow.threshold);
        self.counts[6] += u64::from(slow);
        if self.state == State::HalfOpen {
            // With a rule for slow calls, a slow probe has failed.
            self.probe_successes += u32::from(!failed && !slow);
            if failed || slow {
                self.trip(asked);
            } else if self.probe_successes == self.settings.close_after {
                self.force(State::Closed);
            }
            return;
        }
        self.streak = if failed { self.streak + 1 } else { 0 };
        if self.state == State::ForcedClosed {
            return;
        }
        self.outcomes.push(Seen { time: self.now, failed, slow });
        let is_looked_at = failed || slow || self.settings.predicate;
        if asked.is_some() || is_looked_at && self.is_met() {
            self.trip(asked);
        }
    }

    fn trip(&mut self, asked: Option<u64>) {
        self.counts[5] += 1;
        if self.state == State::ObserveOnly {
            return self.go(State::ObserveOnly);
        }
        let own = if self.settings.exponential {
            (OPEN_FOR << self.level.min(8)).min(MAX_OPEN_FOR)
        } else {
            OPEN_FOR
        };
        self.level += u32::from(asked.is_none());
        self.open_until = self.now + asked.unwrap_or(own);
        self.go(State::Open);
    }

    fn figures(&self) -> Figures {
        let first = match self.settings.rule {
            // By default the window has the last 100 calls.
            Rule::Consecutive(_) => self.outcomes.len().saturating_sub(100),
            Rule::LastCalls { n, .. } => self.outcomes.len().saturating_sub(n as usize),
            Rule::LastSeconds { slices, .. } => {
                let oldest = (self.now / SLICE + 1).saturating_sub(u64::from(slices));
                self.outcomes.partition_point(|seen| seen.time / SLICE < oldest)
            }
        };
        let has_window =
            self.settings.slow.is_some() || !matches!(self.settings.rule, Rule::Consecutive(_));
        let window = if has_window { &self.outcomes[first..] } else { &[] };
        let slow_in_flight = match self.settings.slow {
            Some(Slow { threshold, in_flight: true, .. }) if self.lets_all_through() => {
                let current = self.out.iter().filter(|out| out.generation == self.generation);
                current.filter(|out| !out.is_probe && out.started + threshold < self.now).count()
            }
            _ => 0,
        } as u64;
        Figures {
            calls: window.len() as u64 + slow_in_flight,
            failed: window.iter().filter(|seen| seen.failed).count() as u64,
            slow: window.iter().filter(|seen| seen.slow).count() as u64 + slow_in_flight,
            slow_in_flight,
        }
    }

    fn is_met(&self) -> bool {
        let Figures { calls, failed, slow, .. } = self.figures();
        let exceeds = |part: u64, ratio, minimum: u32| {
            calls >= u64::from(minimum) && part as f64 / calls as f64 >= ratio
        };
        let by_rule = match self.settings.rule {
            Rule::Consecutive(n) => self.streak >= n,
            Rule::LastCalls { ratio, minimum, .. } | Rule::LastSeconds { ratio, minimum, .. } => {
                exceeds(failed, ratio, minimum)
            }
        };
        let by_slow = self
            .settings
            .slow
            .is_some_and(|rule| exceeds(slow, rule.ratio, minimum_of_slow(self.settings.rule)));
        by_rule || by_slow || self.settings.predicate && failed + slow >= MANY
    }
}

/// Returns the minimum of calls for the rate of slow ones; a window of one call cannot hold two.
fn minimum_of_slow(rule: Rule) -> u32 {
    match rule {
        Rule::LastCalls { n, .. } => MINIMUM_OF_SLOW.min(n),
        Rule::Consecutive(_) | Rule::LastSeconds { .. } => MINIMUM_OF_SLOW,
    }
}

fn build(settings: Settings, clock: &ManualClock) -> Breaker<ManualClock> {
    let rule = match settings.rule {
        Rule::Consecutive(n) => TripRule::consecutive(n),
        Rule::LastCalls { n, ratio, minimum } => {
            TripRule::failure_rate(ratio, Window::count(n)).minimum_calls(minimum)
        }
        Rule::LastSeconds { slices, ratio, minimum } => {
            let span = Duration::from_nanos(SLICE * u64::from(slices));
            TripRule::failure_rate(ratio, Window::time(span, slices)).minimum_calls(minimum)
        }
    };
    let rule = match settings.slow {
        None => rule,
        Some(Slow { ratio, threshold, in_flight }) => {
            let slow = TripRule::slow_rate(ratio, Duration::from_nanos(threshold))
                .minimum_calls(minimum_of_slow(settings.rule));
            rule.or(if in_flight { slow.count_inflight_slow() } else { slow })
        }
    };
    let [first, max] = [OPEN_FOR, MAX_OPEN_FOR].map(Duration::from_nanos);
    let max = if settings.exponential { max } else { first };
    let mut builder = Breaker::builder();
    if settings.predicate {
        builder = builder.trip_when(|seen| seen.failed + seen.slow >= MANY);
    }
    if let Some(timeout) = settings.probe_timeout {
        builder = builder.probe_timeout(Duration::from_nanos(timeout));
    }
    builder
        .trip_on(rule)
        .open_for(OpenFor::exponential(first, max).jitter(0.0))
        .probes(settings.probes)
        .close_after(settings.close_after)
        .clock(clock.clone())
        .build()
        .unwrap()
}

/// Takes the steps with a breaker and with the reference; panics where they differ.
pub(crate) fn compare(
    settings: Settings,
    mut reference: Reference,
    steps: impl IntoIterator<Item = Step>,
) {
    let clock = ManualClock::new();
    let breaker = build(settings, &clock);
    let mut passes: Vec<Pass<'_, ManualClock>> = Vec::new();
    for step in steps {
        match step {
            Step::Enter => {
                let entered =
                    breaker.try_enter().map(|pass| passes.push(pass)).map_err(|refused| {
                        (
                            refused.reason,
                            refused.retry_after.map(|time| u64::try_from(time.as_nanos()).unwrap()),
                        )
                    });
                assert_eq!(entered, reference.enter());
            }
            Step::Settle(place, outcome) if !passes.is_empty() => {
                let place = place % passes.len();
                passes.remove(place).settle(outcome);
                reference.settle(place, outcome, None);
            }
            Step::FailFor(place, time) if !passes.is_empty() => {
                let place = place % passes.len();
                passes.remove(place).failure_open_for(Duration::from_nanos(time));
                reference.settle(place, Outcome::Failure, Some(time));
            }
            Step::Settle(..) | Step::FailFor(..) => {}
            Step::Advance(time) => {
                clock.advance(Duration::from_nanos(time));
                reference.now += time;
            }
            Step::Force(state) => {
                match state {
                    State::ForcedOpen => breaker.force_open(),
                    State::ForcedClosed => breaker.force_closed(),
                    State::ObserveOnly => breaker.observe_only(),
                    _ => breaker.reset(),
                }
                reference.force(state);
            }
        }
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.generation), (reference.state, reference.generation));
        let counts = [
            stats.succeeded,
            stats.failed,
            stats.ignored,
            stats.late,
            stats.refused,
            stats.trips,
            stats.slow,
            stats.written_off,
        ];
        assert_eq!(counts, reference.counts);
        assert_eq!(stats.probes, reference.probes);
        let seen = stats.window;
        let figures = Figures {
            calls: seen.calls,
            failed: seen.failed,
            slow: seen.slow,
            slow_in_flight: seen.slow_in_flight,
        };
        assert_eq!(figures, reference.figures());
        let streaks = (stats.window.consecutive_failures, stats.window.probe_successes);
        assert_eq!(streaks, (reference.streak, reference.probe_successes));
    }
}
