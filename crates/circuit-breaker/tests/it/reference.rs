//! Random steps, in which a breaker does what a sequential reference does.

use crate::paper::{Reference, Rule, Settings, Slow, Step, compare};
use proptest::prelude::*;
use tidegate_circuit_breaker::{Outcome, State};

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
    let slow = (prop::sample::select(vec![0.3, 0.5, 1.0]), 1..9_u64, any::<bool>())
        .prop_map(|(ratio, threshold, in_flight)| Slow { ratio, threshold, in_flight });
    let slow = prop::option::of(slow);
    let probe_timeout = prop::option::of(1..9_u64);
    let switches = (any::<bool>(), prop::bool::weighted(0.2));
    (rules(), slow, probe_timeout, switches, 1..4_u32, 1..4_u32).prop_map(
        |(rule, slow, probe_timeout, (exponential, predicate), probes, close_after)| Settings {
            rule,
            slow,
            predicate,
            probe_timeout,
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
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_reference_does(settings in all_settings(), steps in steps()) {
        compare(settings, Reference::new(settings), steps);
    }
}
