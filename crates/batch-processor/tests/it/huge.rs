//! Settings with the largest numbers: they cost what is used, and nothing is allocated beforehand.

use std::time::Duration;

use crate::echo::{echo, entries};
use test_kit::Task;
use tidegate_batch_processor::{
    Backoff, Batcher, Blocking, Builder, ManualClock, OnError, OnFull, Policy, PushError, Wait,
};

const MOST: usize = usize::MAX;

/// Hands items through a batcher of these settings; their results must come.
fn works(builder: Builder<u32>) {
    let (log, handler) = echo();
    let (batcher, driver) = builder.clock(ManualClock::new()).build(handler).unwrap();
    let mut driver = Task::new(driver);
    let replies = [1, 2, 3].map(|item| batcher.try_submit(item).unwrap());
    let mut flush = Task::new(batcher.flush());
    assert!(flush.run().is_pending());
    assert!(driver.run().is_pending());
    assert!(flush.run().is_ready());
    assert_eq!(replies.map(|reply| reply.wait().unwrap()), [1, 2, 3]);
    batcher.try_push(4).unwrap();
    batcher.close();
    assert!(driver.run().is_ready());
    assert_eq!(entries(&log).concat(), [1, 2, 3, 4]);
}

#[test]
fn every_setting_takes_the_largest_number() {
    let max = Batcher::<u32, (), ()>::builder;
    works(max().max_items(MOST));
    works(max().max_items(MOST).capacity(MOST));
    works(max().capacity(MOST));
    works(max().max_items(1).capacity(MOST));
    works(max().max_in_flight(MOST));
    works(max().max_delay(Duration::MAX));
    works(max().max_weight(MOST, |_| 1));
    works(max().max_weight(MOST, |_| MOST / 4).max_items(MOST).on_full(OnFull::DropOldest));
    works(max().max_items(MOST).policy(Policy::Balanced { min: MOST }));
    works(max().policy(Policy::Immediate).max_items(MOST).max_in_flight(MOST));
    works(
        max()
            .retry(Backoff::fixed(Duration::MAX).jitter(0.0).max_attempts(u32::MAX))
            .on_error(OnError::Bisect),
    );
}

#[test]
fn keys_and_leaders_take_the_largest_numbers_too() {
    let (log, handler) = echo();
    let builder = Batcher::builder().max_items(MOST).capacity(MOST).max_in_flight(MOST);
    let builder = builder.clock(ManualClock::new()).keyed();
    let (batcher, driver) = builder.build(handler).unwrap();
    (0..20).for_each(|n| batcher.try_push((n % 3, n)).unwrap());
    batcher.close();
    assert!(Task::new(driver).run().is_ready());
    assert_eq!(entries(&log).concat().len(), 20);
    let builder = Batcher::builder().max_items(MOST).capacity(MOST).max_in_flight(MOST);
    let builder = builder.policy(Policy::Immediate);
    let led = builder.build_leader(Blocking::new(|items: Vec<u32>| Ok::<_, ()>(items))).unwrap();
    assert_eq!(led.submit(1).wait().unwrap(), 1);
}

#[test]
fn a_weight_above_all_is_refused_and_a_pause_without_end_ends_with_the_close() {
    let (_log, handler) = echo();
    let (batcher, _driver) =
        Batcher::builder().max_weight(MOST - 1, |weight| *weight).build(handler).unwrap();
    assert_eq!(batcher.try_push(MOST), Err(PushError::TooHeavy(MOST)));
    batcher.try_push(MOST - 1).unwrap();
    let hours = Backoff::fixed(Duration::MAX).jitter(0.0).max_attempts(u32::MAX);
    let fails = |_: Vec<u32>| Err::<Vec<u32>, _>("down");
    let builder = Batcher::builder().max_items(1).retry(hours).clock(ManualClock::new());
    let (batcher, driver) = builder.build(fails).unwrap();
    let mut driver = Task::new(driver);
    let reply = batcher.try_submit(1).unwrap();
    assert!(driver.run().is_pending());
    assert_eq!(batcher.stats().retries, 1);
    batcher.close();
    assert!(driver.run().is_ready());
    assert!(reply.wait().is_err());
}

#[test]
fn what_does_not_fit_together_is_an_error_that_names_it() {
    let build = |builder: Builder<u32>| {
        builder.build(|items: Vec<u32>| Ok::<_, ()>(items)).map(drop).unwrap_err().to_string()
    };
    let most = MOST.to_string();
    let below = build(Batcher::builder().max_items(MOST).capacity(MOST - 1));
    assert!(below.contains("capacity") && below.contains(&most), "{below}");
    let min = build(Batcher::builder().policy(Policy::Balanced { min: MOST }));
    assert!(min.contains(&most) && min.contains("from 1 to max_items, 100"), "{min}");
}
