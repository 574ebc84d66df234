//! A breaker against the reference of its own tests.
#![no_main]

#[path = "../../crates/circuit-breaker/tests/it/paper.rs"]
mod paper;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate::circuit_breaker::{Outcome, State};

use paper::{Reference, Rule, Settings, Slow, Step, compare};

#[derive(Debug, Arbitrary)]
struct Choice {
    rule: u8,
    n: u8,
    minimum: u8,
    ratio: u8,
    slow: Option<(u8, u8, bool)>,
    predicate: bool,
    probe_timeout: Option<u8>,
    exponential: bool,
    probes: u8,
    close_after: u8,
}

#[derive(Debug, Arbitrary)]
enum Move {
    Enter,
    Succeed(u8),
    Fail(u8),
    Ignore(u8),
    FailFor(u8, u8),
    Advance(u8),
    Force(u8),
}

const RATIOS: [f64; 4] = [0.25, 0.34, 0.5, 1.0];
const FORCED: [State; 4] =
    [State::Closed, State::ForcedOpen, State::ForcedClosed, State::ObserveOnly];

/// One of a list.
fn one_of<T: Copy>(list: [T; 4], which: u8) -> T {
    list[usize::from(which % 4)]
}

/// From 1 to `most`.
fn up_to(most: u8, choice: u8) -> u32 {
    u32::from(choice % most) + 1
}

impl Choice {
    fn rule(&self) -> Rule {
        let (ratio, minimum) = (one_of(RATIOS, self.ratio), up_to(6, self.minimum));
        match self.rule % 3 {
            0 => Rule::Consecutive(up_to(3, self.n)),
            1 => {
                let n = up_to(6, self.n);
                Rule::LastCalls { n, ratio, minimum: minimum.min(n) }
            }
            _ => Rule::LastSeconds { slices: up_to(4, self.n), ratio, minimum },
        }
    }

    fn settings(&self) -> Settings {
        let slow = self.slow.map(|(ratio, threshold, in_flight)| Slow {
            ratio: one_of(RATIOS, ratio),
            threshold: up_to(8, threshold).into(),
            in_flight,
        });
        Settings {
            rule: self.rule(),
            slow,
            predicate: self.predicate,
            probe_timeout: self.probe_timeout.map(|timeout| up_to(8, timeout).into()),
            exponential: self.exponential,
            probes: up_to(3, self.probes),
            close_after: up_to(3, self.close_after),
        }
    }
}

impl Move {
    fn step(self) -> Step {
        match self {
            Move::Enter => Step::Enter,
            Move::Succeed(which) => Step::Settle(which.into(), Outcome::Success),
            Move::Fail(which) => Step::Settle(which.into(), Outcome::Failure),
            Move::Ignore(which) => Step::Settle(which.into(), Outcome::Ignored),
            Move::FailFor(which, time) => Step::FailFor(which.into(), u64::from(time % 20)),
            Move::Advance(time) => Step::Advance(u64::from(time % 9)),
            Move::Force(state) => Step::Force(one_of(FORCED, state)),
        }
    }
}

fuzz_target!(|input: (Choice, Vec<Move>)| {
    let (choice, moves) = input;
    let settings = choice.settings();
    let mut reference = Reference::new(settings);
    reference.settings.close_after += u32::from(cfg!(feature = "wrong"));
    compare(settings, reference, moves.into_iter().map(Move::step));
});
