//! Models of `core`'s tally: counting while its shards are made.

use std::sync::Arc;

use loom_tests::{model, thread};
use tidegate_core::{
    Tally,
    primitive::atomic::{AtomicBool, Ordering},
};

#[test]
fn threads_that_meet_lose_no_count() {
    model(|| {
        let tally = Arc::new(Tally::<1>::new());
        let other = {
            let tally = tally.clone();
            thread::spawn(move || {
                tally.add(0, 1);
                tally.add(0, 2);
            })
        };
        tally.add(0, 4);
        tally.add(0, 8);
        other.join().unwrap();
        assert_eq!(tally.sum(0), 15);
    });
}

#[test]
fn three_who_meet_at_once_lose_no_count() {
    model(|| {
        let tally = Arc::new(Tally::<1>::new());
        let others = [1, 2].map(|n| {
            let tally = tally.clone();
            thread::spawn(move || tally.add(0, n))
        });
        tally.add(0, 4);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(tally.sum(0), 7);
    });
}

#[test]
fn what_was_counted_before_the_reading_is_in_the_sum() {
    model(|| {
        let shared = Arc::new((Tally::<1>::new(), AtomicBool::new(false)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.0.add(0, 1);
                shared.1.store(true, Ordering::Release);
            })
        };
        shared.0.add(0, 2);
        let told = shared.1.load(Ordering::Acquire);
        let sum = shared.0.sum(0);
        assert!(sum == 3 || sum == 2 && !told, "{sum}, told: {told}");
        other.join().unwrap();
    });
}
