//! Trees of tokens, and their deadlines.

use tidegate_core::{CancelToken, ManualClock, Reason, Timestamp};

const fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

#[test]
fn a_childs_deadline_is_the_earlier_of_its_own_and_its_parents() {
    let clock = ManualClock::new();
    let parent = CancelToken::new().child_with_deadline(&clock, at(5));
    let [earlier, later] = [3, 7].map(|nanos| parent.child_with_deadline(&clock, at(nanos)));
    let tokens = [&parent.child(), &earlier, &earlier.child(), &later, &later.child()];
    let deadlines = tokens.map(|token| token.deadline().map(|deadline| deadline.as_nanos()));
    assert_eq!(deadlines, [5, 3, 3, 5, 5].map(Some));
    for (now, cancelled) in [(2, false), (3, true)] {
        clock.advance_to(at(now));
        assert_eq!(earlier.is_cancelled(), cancelled);
    }
    for (now, reason) in [(4, None), (5, Some(Reason::DeadlineExceeded))] {
        clock.advance_to(at(now));
        assert_eq!((parent.reason(), later.reason()), (reason.clone(), reason));
    }
}
