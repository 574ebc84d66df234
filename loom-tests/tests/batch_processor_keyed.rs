//! The batch processor by key: what becomes of a key while its last batch ends, and of its size.

use std::{convert::Infallible, task::Poll};

use loom_tests::{model, poll_quietly, thread};
use tidegate_batch_processor::{Batcher, Driver, KeyedBatcher, ManualClock, Policy, Wait};

type Items = Vec<(u8, u32)>;
type Echo = fn(Items) -> Result<Items, Infallible>;
type Batches = KeyedBatcher<u8, u32, (u8, u32), Infallible, ManualClock>;
type EchoDriver = Driver<(u8, u32), tidegate_batch_processor::Blocking<Echo>, ManualClock>;

fn echo(capacity: usize) -> (Batches, EchoDriver) {
    let handler: Echo = Ok;
    let builder = Batcher::builder().max_items(1).capacity(capacity).policy(Policy::Size);
    builder.clock(ManualClock::new()).keyed().build(handler).unwrap()
}

/// The driver forgets a key as its batch ends, while a producer brings an item of that key. It
/// finds the key's place or claims a new one; either way the item is handed over.
#[test]
fn a_key_that_is_forgotten_against_a_push_of_that_key() {
    model(|| {
        let (batches, driver) = echo(2);
        let first = batches.try_submit((7, 1)).unwrap();
        let driver = thread::spawn(move || driver.wait());
        let second = batches.try_submit((7, 2)).unwrap();
        assert_eq!(first.wait().unwrap(), (7, 1));
        assert_eq!(second.wait().unwrap(), (7, 2));
        batches.close();
        driver.join().unwrap();
    });
}

/// One key's batch ends and another key takes that key's place, while a flush waits for both.
#[test]
fn a_flush_against_a_key_that_takes_the_place_of_another() {
    model(|| {
        let (batches, driver) = echo(2);
        let driver = thread::spawn(move || driver.wait());
        let producer = {
            let batches = batches.clone();
            thread::spawn(move || batches.submit((1, 1)).wait().unwrap())
        };
        let mut before = batches.try_submit((2, 2)).unwrap();
        assert_eq!(batches.flush().wait(), Ok(()));
        assert!(matches!(poll_quietly(&mut before), Poll::Ready(Ok((2, 2)))));
        assert_eq!(producer.join().unwrap(), (1, 1));
        batches.close();
        driver.join().unwrap();
        assert_eq!(batches.stats().done, 2);
    });
}

/// There is room for one item: the item of one key takes it, and that of the other waits.
#[test]
fn two_keys_against_the_room_of_one() {
    model(|| {
        let (batches, driver) = echo(1);
        let other = {
            let batches = batches.clone();
            thread::spawn(move || assert_eq!(batches.submit((1, 1)).wait().unwrap(), (1, 1)))
        };
        let driver = thread::spawn(move || driver.wait());
        assert_eq!(batches.submit((2, 2)).wait().unwrap(), (2, 2));
        other.join().unwrap();
        batches.close();
        driver.join().unwrap();
    });
}

/// The batch of a new key has the size that is set meanwhile, whichever comes first.
#[test]
fn a_smaller_size_against_a_push_of_a_new_key() {
    model(|| {
        let handler: Echo = Ok;
        let builder = Batcher::builder().max_items(2).capacity(2).policy(Policy::Size);
        let (batches, driver) = builder.clock(ManualClock::new()).keyed().build(handler).unwrap();
        let driver = thread::spawn(move || driver.wait());
        let pusher = {
            let batches = batches.clone();
            thread::spawn(move || assert_eq!(batches.submit((1, 1)).wait().unwrap(), (1, 1)))
        };
        batches.set_max_items(1).unwrap();
        pusher.join().unwrap();
        batches.close();
        driver.join().unwrap();
    });
}
