//! Random histories, in which a semaphore does what a sequential reference does.

use proptest::prelude::*;

use crate::paper::{Reference, Step, live_through};

fn step() -> impl Strategy<Value = Step> {
    let (amount, place) = (0..5_usize, 0..8_usize);
    prop_oneof![
        4 => amount.clone().prop_map(Step::Try),
        8 => amount.clone().prop_map(Step::Ask),
        4 => (amount.clone(), amount.clone()).prop_map(|(n, more)| Step::AskUpTo(n, more)),
        4 => place.clone().prop_map(Step::Poll),
        3 => place.clone().prop_map(Step::Cancel),
        8 => place.clone().prop_map(Step::Release),
        1 => place.clone().prop_map(Step::Forget),
        2 => (place, amount.clone()).prop_map(|(place, n)| Step::Split(place, n)),
        1 => amount.clone().prop_map(Step::Add),
        1 => amount.clone().prop_map(Step::ForgetFree),
        2 => amount.prop_map(Step::SetCapacity),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_history_conserves_permits_and_order(
        permits in 0..6_usize,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        live_through(permits, Reference::new(permits), steps);
    }
}
