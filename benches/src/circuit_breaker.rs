//! Calls through a breaker: closed, in one step and in two, from two threads, and refused.

mod loops;
mod subject;

use std::time::Duration;

use failsafe::{Config, backoff, failure_policy};
use nobreak::builder as nobreak;
use recloser::Recloser;
use tidegate_circuit_breaker::{Breaker, Builder, OpenFor, TripRule, Window};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use self::loops::*;
use crate::{
    clocks::{CACHED, INSTANT, QUANTA, Quanta, cached},
    workload::{Contender, Workload, ours, rival},
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload { name: "circuit-breaker/closed, call", unit: "call", contenders: closed_calls },
    Workload {
        name: "circuit-breaker/closed, enter and succeed",
        unit: "call",
        contenders: closed_steps,
    },
    Workload {
        name: "circuit-breaker/closed, call, 2 threads",
        unit: "call",
        contenders: closed_calls_by_two,
    },
    Workload { name: "circuit-breaker/open, refused", unit: "call", contenders: refusals },
];

/// Trips at so many failures in a row.
const IN_A_ROW: &str = "in a row";

/// Trips at a share of failures, in a window.
const RATE: &str = "rate";

/// Longer than any run, so that an open breaker stays open.
const OPEN: Duration = Duration::from_secs(3600);

fn tidegate() -> Builder {
    Breaker::builder().open_for(OpenFor::fixed(OPEN))
}

/// A failure rate of one half over the last 100 calls, as recloser and tower-resilience have.
fn by_rate() -> TripRule {
    TripRule::failure_rate(0.5, Window::count(100))
}

/// Failsafe with the rule that is our default.
fn failsafe_in_a_row()
-> failsafe::StateMachine<failure_policy::ConsecutiveFailures<backoff::Constant>, ()> {
    Config::new()
        .failure_policy(failure_policy::consecutive_failures(5, backoff::constant(OPEN)))
        .build()
}

fn closed_calls() -> Vec<Contender> {
    vec![
        ours("tidegate", IN_A_ROW, closed(tidegate().build().unwrap())),
        ours("tidegate, rate", RATE, closed(tidegate().trip_on(by_rate()).build().unwrap())),
        rival("failsafe", RATE, closed(Config::new().build())),
        rival("failsafe, in a row", IN_A_ROW, closed(failsafe_in_a_row())),
        rival("nobreak", IN_A_ROW, closed(nobreak().build())),
        rival("recloser", RATE, closed(Recloser::custom().build())),
        rival("tower-resilience", RATE, closed_service(CircuitBreakerLayer::builder())),
        rival(
            "tower-resilience, in a row",
            IN_A_ROW,
            closed_service(CircuitBreakerLayer::builder().consecutive_failures(5)),
        ),
    ]
}

/// Of the rivals only failsafe has the two steps.
fn closed_steps() -> Vec<Contender> {
    vec![
        ours("tidegate", IN_A_ROW, closed_in_steps(tidegate().build().unwrap())),
        ours(
            "tidegate, rate",
            RATE,
            closed_in_steps(tidegate().trip_on(by_rate()).build().unwrap()),
        ),
        rival("failsafe", RATE, closed_in_steps(Config::new().build())),
        rival("failsafe, in a row", IN_A_ROW, closed_in_steps(failsafe_in_a_row())),
    ]
}

fn closed_calls_by_two() -> Vec<Contender> {
    vec![
        ours("tidegate", IN_A_ROW, closed_by_two(tidegate().build().unwrap())),
        ours("tidegate, rate", RATE, closed_by_two(tidegate().trip_on(by_rate()).build().unwrap())),
        rival("failsafe", RATE, closed_by_two(Config::new().build())),
        rival("failsafe, in a row", IN_A_ROW, closed_by_two(failsafe_in_a_row())),
        rival("nobreak", IN_A_ROW, closed_by_two(nobreak().build())),
        rival("recloser", RATE, closed_by_two(Recloser::custom().build())),
        rival("tower-resilience", RATE, closed_service_by_two(CircuitBreakerLayer::builder())),
        rival(
            "tower-resilience, in a row",
            IN_A_ROW,
            closed_service_by_two(CircuitBreakerLayer::builder().consecutive_failures(5)),
        ),
    ]
}

/// An open breaker only asks its clock: `std::time::Instant`, unless the name says another.
fn refusals() -> Vec<Contender> {
    let open_service =
        CircuitBreakerLayer::builder().consecutive_failures(5).wait_duration_in_open(OPEN);
    vec![
        ours("tidegate", INSTANT, refused(tidegate().build().unwrap())),
        ours(
            "tidegate, quanta",
            QUANTA,
            refused(tidegate().clock(Quanta::default()).build().unwrap()),
        ),
        ours("tidegate, cached", CACHED, refused(tidegate().clock(cached()).build().unwrap())),
        rival("failsafe", INSTANT, refused(failsafe_in_a_row())),
        rival("nobreak", INSTANT, refused(nobreak().with_open_duration(OPEN).build())),
        rival("recloser", INSTANT, refused(Recloser::custom().open_wait(OPEN).build())),
        rival("tower-resilience", INSTANT, refused_service(open_service)),
    ]
}
