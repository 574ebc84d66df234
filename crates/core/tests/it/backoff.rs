//! How long pauses are, and how many there may be.

use std::time::Duration;

use tidegate_core::{Backoff, backoff::Retries, random::Random};

const MILLI: Duration = Duration::from_millis(1);

fn noise(draw: u64) -> u64 {
    Random::new(draw).next_u64()
}

#[test]
fn jitter_stays_within_its_ratio_and_fills_it() {
    let backoff = Backoff::fixed(Duration::from_secs(100)).jitter(0.3);
    let seconds = (0..1000).map(|draw| backoff.pause(1, noise(draw)).as_secs());
    let (low, high) =
        seconds.fold((u64::MAX, 0), |(low, high), next| (low.min(next), high.max(next)));
    assert!((70..=72).contains(&low) && (127..=130).contains(&high), "{low} to {high}");
}

#[test]
fn the_maximum_is_one_before_the_spread() {
    let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(100));
    let longest = backoff.jitter(0.3).pause(u32::MAX, u64::MAX);
    assert!((129..=130).contains(&longest.as_secs()), "{longest:?}");
}

#[test]
fn pauses_double_until_they_are_the_maximum() {
    let max = Duration::from_secs(1 << 33);
    let backoff = Backoff::exponential(Duration::from_nanos(1), max).jitter(0.0);
    for failures in 1..64 {
        assert_eq!(backoff.pause(failures, 0), Duration::from_nanos(1 << (failures - 1)));
    }
    assert_eq!([64, 65, 129, u32::MAX].map(|failures| backoff.pause(failures, 0)), [max; 4]);
}

#[test]
fn the_longest_pauses_saturate() {
    let backoff = Backoff::exponential(Duration::from_secs(1), Duration::MAX);
    assert_eq!(backoff.jitter(0.0).pause(32, 0), Duration::from_secs(1 << 31));
    for jitter in [0.0, 1.0] {
        let longest = backoff.jitter(jitter).pause(u32::MAX, u64::MAX);
        assert_eq!(longest, Duration::from_nanos(u64::MAX));
    }
}

#[test]
fn the_seed_repeats_the_pauses() {
    let pauses = |seed| {
        let backoff = Backoff::fixed(8 * MILLI).jitter(1.0).max_attempts(2).seed(seed);
        let retries = Retries::new(backoff);
        [(); 100].map(|()| retries.pause(1).unwrap())
    };
    assert!(pauses(1).iter().all(|pause| *pause <= 16 * MILLI));
    // On both sides of the middle.
    assert!((20..80).contains(&pauses(1).iter().filter(|pause| **pause < 8 * MILLI).count()));
    assert_eq!(pauses(1), pauses(1));
    assert_ne!(pauses(1), pauses(2));
}

#[test]
fn each_use_has_a_seed_of_its_own() {
    let pauses = || {
        let retries = Retries::new(Backoff::fixed(Duration::from_secs(1)).jitter(1.0));
        [(); 4].map(|()| retries.pause(1).unwrap())
    };
    assert_ne!(pauses(), pauses());
}

#[test]
fn an_error_names_the_setting() {
    let backoff = Backoff::exponential(2 * MILLI, MILLI);
    let error = backoff.check("retry").unwrap_err();
    assert_eq!(error.to_string(), "retry is 2ms, but must be at most its maximum of 1ms");
    let error = Backoff::fixed(MILLI).jitter(f64::NAN).check("retry").unwrap_err();
    assert_eq!(error.to_string(), "jitter is NaN, but must be in 0..=1");
    let error = Backoff::fixed(MILLI).max_attempts(0).check("retry").unwrap_err();
    assert_eq!(error.to_string(), "max_attempts is 0, but must be at least 1");
    assert_eq!(Backoff::fixed(Duration::ZERO).check("retry"), Ok(()));
}

#[test]
fn racing_calls_share_one_budget() {
    let retries = Retries::new(Backoff::fixed(MILLI).max_attempts(u32::MAX).budget(0));
    let granted: usize = std::thread::scope(|scope| {
        let threads = [(); 4]
            .map(|()| scope.spawn(|| (0..10).filter(|_| retries.pause(1).is_some()).count()));
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(granted, 10);
}
