//! What counts as a failure, set once for a breaker.

use core::num::NonZeroUsize;
use std::sync::Arc;

use tidegate_circuit_breaker::{
    Breaker, ByResult, Classifier, Gate, KeyedBreaker, Outcome, Stats, TripRule, Wait,
};

use crate::fuse::{quietly, unwind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Error {
    Refused,
    NotFound,
    NotModified,
}

const fn judge(error: &Error) -> Outcome {
    match error {
        Error::Refused => Outcome::Failure,
        Error::NotFound => Outcome::Ignored,
        Error::NotModified => Outcome::Success,
    }
}

const ALL: [Result<u32, Error>; 4] =
    [Ok(7), Err(Error::Refused), Err(Error::NotFound), Err(Error::NotModified)];

#[track_caller]
fn expect(stats: Stats, rounds: u64) {
    let counts = (stats.succeeded, stats.failed, stats.ignored);
    assert_eq!(counts, (2 * rounds, rounds, rounds));
}

#[test]
fn a_classifier_judges_whatever_way_a_call_goes() {
    let builder = Breaker::builder().trip_on(TripRule::never());
    let breaker = builder.classify_errors(judge).build().unwrap();
    let owned = Arc::new(breaker);
    let breaker = &*owned;
    for result in ALL {
        assert_eq!(breaker.call(|| result), Ok(result));
        assert_eq!(breaker.call_or_else(|| result, |_| panic!("closed")), result);
        assert_eq!(breaker.run(|| result), Ok(result));
        // The name of the trait's method does the same.
        assert_eq!(breaker.run_or_else(|| result, |_| panic!("closed")), result);
        assert_eq!(breaker.call_async(async { result }).wait(), Ok(result));
        assert_eq!(breaker.run_async(async { result }).wait(), Ok(result));
        assert_eq!(owned.clone().call_async_owned(async { result }).wait(), Ok(result));
        assert_eq!((breaker, breaker).run(|| result).unwrap(), result);
    }
    // The row passes the breaker twice.
    expect(breaker.stats(), 9);
    // A result of another type, with the same type of error.
    assert_eq!(breaker.call(|| Err::<String, _>(Error::Refused)).unwrap(), Err(Error::Refused));
    assert_eq!(breaker.stats().failed, 10);
}

#[test]
fn all_breakers_of_a_registry_have_its_classifier() {
    let builder = Breaker::builder().classify(|code: &u32| match code {
        0 => Outcome::Success,
        1 => Outcome::Failure,
        _ => Outcome::Ignored,
    });
    let hosts = KeyedBreaker::<u32, _, _, _>::new(NonZeroUsize::new(2).unwrap(), builder).unwrap();
    for host in [1, 2] {
        let gate = hosts.gate(&host).unwrap();
        for code in [0, 1, 2, 0] {
            assert_eq!(gate.call(|| code), Ok(code));
        }
        expect(gate.stats(), 1);
    }
}

/// A classifier that is a type of its own, for results of every type.
struct Never;

impl<R> Classifier<R> for Never {
    fn outcome(&self, _: &R) -> Outcome {
        Outcome::Ignored
    }
}

#[test]
fn a_refused_call_is_not_judged() {
    let breaker = Breaker::builder().classifier(Never).build().unwrap();
    breaker.call(|| 7).unwrap();
    breaker.call(|| "seven").unwrap();
    assert_eq!(breaker.stats().ignored, 2);
    breaker.force_open();
    breaker.call(|| -> u32 { unreachable!("it is open") }).unwrap_err();
    assert_eq!(breaker.call_or_else(|| 7, |_| 8), 8);
    assert_eq!((breaker.stats().ignored, breaker.stats().refused), (2, 2));
}

#[test]
fn without_one_a_result_says_itself_how_it_went() {
    let breaker: Breaker<_, (), ByResult> = Breaker::new();
    breaker.call(|| Err::<(), _>(7)).unwrap().unwrap_err();
    breaker.call(|| ()).unwrap();
    assert_eq!((breaker.stats().failed, breaker.stats().succeeded), (1, 1));
}

#[test]
fn a_classifier_that_panics_in_a_row_is_a_failure_of_its_own_breaker_alone() {
    let fragile = Breaker::builder().classify(|_: &u32| -> Outcome { unwind() }).build().unwrap();
    let other = Breaker::builder().classify(|_: &u32| Outcome::Success).build().unwrap();
    let (fragile, other) = (Arc::new(fragile), Arc::new(other));
    assert!(quietly(|| (&*fragile, other.fail_fast()).run(|| 7)).is_none());
    assert!(quietly(|| (other.clone(), fragile.clone()).run(|| 7)).is_none());
    assert!(quietly(|| (&fragile, &other).run_async(async { 7 }).wait()).is_none());
    let (fragile, other) = (fragile.stats(), other.stats());
    assert_eq!((fragile.failed, fragile.calls()), (3, 3));
    assert_eq!((other.succeeded, other.calls()), (3, 3));
}
