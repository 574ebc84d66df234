//! Equal items share a result.

use std::{
    sync::{Arc, Mutex},
    task::Poll,
};

use crate::echo::{Log, entries};
use proptest::prelude::*;
use test_kit::Task;
use tidegate_batch_processor::{BatchError, Batcher, Blocking, Handler, ManualClock, OnError};

type Item = (u8, u32);

/// A handler that numbers its items, returns `surplus` results too many (too few, if negative), and
/// fails a batch with the key 13. Items with equal keys are equal.
fn numbered(
    log: &Log<Item>,
    surplus: i32,
) -> impl Handler<Item, Output = usize, Error = u8> + use<> {
    let log = log.clone();
    let number = move |items: Vec<Item>| {
        let mut log = log.lock().unwrap();
        log.push(items.clone());
        let first = log[..log.len() - 1].iter().map(Vec::len).sum::<usize>();
        match items.iter().find(|(key, _)| *key == 13) {
            Some((poison, _)) => Err(*poison),
            None => {
                Ok((first..).take(items.len().saturating_add_signed(surplus as isize)).collect())
            }
        }
    };
    Blocking::new(number).dedupe_by_key(|(key, _): &Item| *key)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn equal_items_of_a_batch_share_the_result_of_the_first(
        keys in prop::collection::vec(0_u8..6, 1..40),
        max_items in 1_usize..12,
    ) {
        let log = Log::default();
        let builder = Batcher::builder().max_items(max_items).clock(ManualClock::new());
        let (batcher, driver) = builder.capacity(40).build_with(numbered(&log, 0)).unwrap();
        let items: Vec<Item> = keys.into_iter().zip(0..).collect();
        let replies: Vec<_> = items.iter().map(|item| batcher.try_submit(*item).unwrap()).collect();
        batcher.close();
        prop_assert!(Task::new(driver).run().is_ready());
        let results = replies.into_iter().map(|reply| match Task::new(reply).poll() {
            Poll::Ready(Ok(number)) => number,
            other => panic!("{other:?}"),
        });
        let results: Vec<_> = results.collect();
        let mut sent = Vec::new();
        for (batch, results) in items.chunks(max_items).zip(results.chunks(max_items)) {
            let before = sent.len();
            for (item, result) in batch.iter().zip(results) {
                let first = sent[before..].iter().position(|(key, _): &Item| *key == item.0);
                let number = first.map_or(sent.len(), |place| before + place);
                if first.is_none() {
                    sent.push(*item);
                }
                prop_assert_eq!(*result, number);
            }
        }
        prop_assert_eq!(entries(&log).concat(), sent);
    }
}

#[test]
fn a_wrong_number_of_results_stays_wrong() {
    for (surplus, number) in [(1, 4), (-1, 2)] {
        let builder = Batcher::builder().max_items(3).clock(ManualClock::new());
        let (batcher, driver) = builder.build_with(numbered(&Log::default(), surplus)).unwrap();
        // The handler gets only two of these three items, so it must return two results.
        let replies = [(1, 0), (2, 0), (1, 1)].map(|item| batcher.try_submit(item).unwrap());
        assert!(Task::new(driver).run().is_pending());
        for reply in replies {
            match Task::new(reply).poll() {
                Poll::Ready(Err(BatchError::WrongLength { sent: 3, got })) => {
                    assert_eq!(got, number)
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn equal_items_share_an_error_and_are_bisected_with_their_batch() {
    let log = Log::default();
    let builder = Batcher::builder().max_items(4).on_error(OnError::Bisect);
    let (batcher, driver) =
        builder.clock(ManualClock::new()).build_with(numbered(&log, 0)).unwrap();
    let replies = [(13, 0), (1, 0), (13, 1), (1, 1)].map(|item| batcher.try_submit(item).unwrap());
    assert!(Task::new(driver).run().is_pending());
    let failed = replies.map(|reply| matches!(Task::new(reply).poll(), Poll::Ready(Err(_))));
    assert_eq!(failed, [true, false, true, false]);
}

/// Counts its clones.
#[derive(Debug)]
struct Counted(Arc<Mutex<u32>>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        *self.0.lock().unwrap() += 1;
        Self(self.0.clone())
    }
}

#[test]
fn results_of_different_items_are_not_cloned() {
    let clones = Arc::new(Mutex::new(0));
    let results = {
        let clones = clones.clone();
        move |items: Vec<u32>| Ok::<_, ()>(items.iter().map(|_| Counted(clones.clone())).collect())
    };
    let handler = Blocking::new(results).dedupe_by_key(|item: &u32| *item);
    let builder = Batcher::builder().max_items(2).clock(ManualClock::new());
    let (batcher, driver) = builder.build_with(handler).unwrap();
    let replies = [1, 2].map(|item| batcher.try_submit(item).unwrap());
    assert!(Task::new(driver).run().is_pending());
    assert!(replies.into_iter().all(|reply| Task::new(reply).poll().is_ready()));
    assert_eq!(*clones.lock().unwrap(), 0);
}
