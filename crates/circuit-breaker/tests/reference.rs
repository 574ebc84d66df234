//! The breaker against a sequential reference that keeps every outcome with its time and looks at all of them.

use core::time::Duration;

use proptest::prelude::*;
use tidegate_circuit_breaker::{
    Breaker, ManualClock, OpenFor, Outcome, Pass, RefusedReason, State, TripRule, Window,
};

#[derive(Debug, Clone, Copy)]
enum Rule {
    Consecutive(u32),
    LastCalls { n: u32, ratio: f64, minimum: u32 },
    LastSeconds { slices: u32, ratio: f64, minimum: u32 },
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    rule: Rule,
    exponential: bool,
    probes: u32,
    close_after: u32,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter,
    /// Settles the pass at this place, modulo how many are out.
    Settle(usize, Outcome),
    FailFor(usize, u64),
    Advance(u64),
    Force(State),
}

/// A slice of the time window takes this many units of the clock.
const SLICE: u64 = 4;
const OPEN_FOR: u64 = 5;
const MAX_OPEN_FOR: u64 = 17;

/// What the breaker should do, written for reading.
struct Reference {
    settings: Settings,
    now: u64,
    state: State,
    open_until: u64,
    /// Trips of its own since it was closed.
    level: u32,
    /// Passes out: the generation each began in.
    out: Vec<u32>,
    generation: u32,
    probes: u32,
    probe_successes: u32,
    streak: u32,
    /// This generation's outcomes: when, and whether failed.
    outcomes: Vec<(u64, bool)>,
    /// Successes, failures, ignored, late, refused, trips.
    counts: [u64; 6],
}

impl Reference {
    fn new(settings: Settings) -> Self {
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
            counts: [0; 6],
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

    fn enter(&mut self) -> Result<(), (RefusedReason, Option<u64>)> {
        if self.state == State::Open && self.now >= self.open_until {
            self.go(State::HalfOpen);
        }
        let refusal = match self.state {
            State::Open => Some((RefusedReason::Open, Some(self.open_until - self.now))),
            State::HalfOpen if self.probes == self.settings.probes => {
                Some((RefusedReason::Probing, None))
            }
            State::ForcedOpen => Some((RefusedReason::ForcedOpen, None)),
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.counts[4] += 1;
            return Err(refusal);
        }
        self.probes += u32::from(self.state == State::HalfOpen);
        self.out.push(self.generation);
        Ok(())
    }

    fn settle(&mut self, place: usize, outcome: Outcome, asked: Option<u64>) {
        let is_late = self.out.remove(place) != self.generation;
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
        if self.state == State::HalfOpen {
            self.probe_successes += u32::from(!failed);
            if failed {
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
        self.outcomes.push((self.now, failed));
        if failed && (asked.is_some() || self.is_met()) {
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

    /// Calls and failures in the window.
    fn window(&self) -> (u64, u64) {
        let first = match self.settings.rule {
            Rule::Consecutive(_) => self.outcomes.len(),
            Rule::LastCalls { n, .. } => self.outcomes.len().saturating_sub(n as usize),
            Rule::LastSeconds { slices, .. } => {
                let oldest = (self.now / SLICE + 1).saturating_sub(u64::from(slices));
                self.outcomes.partition_point(|(time, _)| time / SLICE < oldest)
            }
        };
        let window = &self.outcomes[first..];
        (window.len() as u64, window.iter().filter(|(_, failed)| *failed).count() as u64)
    }

    fn is_met(&self) -> bool {
        let (calls, failures) = self.window();
        match self.settings.rule {
            Rule::Consecutive(n) => self.streak >= n,
            Rule::LastCalls { ratio, minimum, .. } | Rule::LastSeconds { ratio, minimum, .. } => {
                calls >= u64::from(minimum) && failures as f64 / calls as f64 >= ratio
            }
        }
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
    let [first, max] = [OPEN_FOR, MAX_OPEN_FOR].map(Duration::from_nanos);
    let max = if settings.exponential { max } else { first };
    Breaker::builder()
        .trip_on(rule)
        .open_for(OpenFor::exponential(first, max).jitter(0.0))
        .probes(settings.probes)
        .close_after(settings.close_after)
        .clock(clock.clone())
        .build()
        .unwrap()
}

fn rules() -> impl Strategy<Value = Rule> {
    let ratio = prop::sample::select(vec![0.25, 0.34, 0.5, 1.0]);
    prop_oneof![
        (1..4_u32).prop_map(Rule::Consecutive),
        (1..7_u32, ratio.clone(), 1..7_u32).prop_map(|(n, ratio, minimum)| Rule::LastCalls {
            n,
            ratio,
            minimum: minimum.min(n)
        }),
        (1..5_u32, ratio, 1..4_u32).prop_map(|(slices, ratio, minimum)| Rule::LastSeconds {
            slices,
            ratio,
            minimum
        }),
    ]
}

fn all_settings() -> impl Strategy<Value = Settings> {
    (rules(), any::<bool>(), 1..4_u32, 1..4_u32).prop_map(
        |(rule, exponential, probes, close_after)| Settings {
            rule,
            exponential,
            probes,
            close_after,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Outcome::{Failure, Ignored, Success};
    let outcome = prop::sample::select(vec![Success, Success, Failure, Failure, Failure, Ignored]);
    let forced = [State::Closed, State::ForcedOpen, State::ForcedClosed, State::ObserveOnly];
    let step = prop_oneof![
        10 => Just(Step::Enter),
        10 => (any::<usize>(), outcome).prop_map(|(place, outcome)| Step::Settle(place, outcome)),
        1 => (any::<usize>(), 0..20_u64).prop_map(|(place, time)| Step::FailFor(place, time)),
        4 => (0..9_u64).prop_map(Step::Advance),
        1 => prop::sample::select(forced.to_vec()).prop_map(Step::Force),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_reference_does(settings in all_settings(), steps in steps()) {
        let clock = ManualClock::new();
        let breaker = build(settings, &clock);
        let mut reference = Reference::new(settings);
        let mut passes: Vec<Pass<'_, ManualClock>> = Vec::new();
        for step in steps {
            match step {
                Step::Enter => {
                    let entered = breaker.try_enter().map(|pass| passes.push(pass)).map_err(|refused| {
                        (refused.reason, refused.retry_after.map(|time| u64::try_from(time.as_nanos()).unwrap()))
                    });
                    prop_assert_eq!(entered, reference.enter());
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
            prop_assert_eq!((stats.state, stats.generation), (reference.state, reference.generation));
            let counts = [stats.successes, stats.failures, stats.ignored, stats.late, stats.refused, stats.trips];
            prop_assert_eq!(counts, reference.counts);
            prop_assert_eq!(stats.probes, reference.probes);
            let window = (stats.window.calls, stats.window.failures);
            prop_assert_eq!(window, reference.window());
            let streaks = (stats.window.consecutive_failures, stats.window.probe_successes);
            prop_assert_eq!(streaks, (reference.streak, reference.probe_successes));
        }
    }
}
