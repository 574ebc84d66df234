//! Streams in batches.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::still::Still;
use futures_core::Stream;
use proptest::prelude::*;
use test_kit::CountingWaker;
use tidegate_batch_processor::{Batcher, IntoBatches, ManualClock, Policy, future::Batches};

const DELAY: Duration = Duration::from_millis(10);

/// A stream whose polls are scripted: it is pending for each `None`, and then ends.
struct Script<T>(VecDeque<Option<T>>);

impl<T: Unpin> Stream for Script<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(None) => Poll::Pending,
            Some(item) => Poll::Ready(item),
        }
    }
}

fn script<T>(items: impl IntoIterator<Item = Option<T>>) -> Script<T> {
    Script(items.into_iter().collect())
}

fn next<T: Unpin>(
    batches: &mut Batches<Script<T>, ManualClock>,
    waker: &Waker,
) -> Poll<Option<Vec<T>>> {
    Pin::new(batches).poll_next(&mut Context::from_waker(waker))
}

#[test]
fn a_batch_that_is_not_full_goes_when_its_first_item_has_waited() {
    let clock = ManualClock::new();
    let settings = Batcher::builder().max_items(3).max_delay(DELAY).clock(clock.clone());
    let stream = script([Some(1), None, Some(2), None, None, Some(3)]);
    let mut batches = stream.batches(settings).unwrap();
    let count = Arc::new(CountingWaker::default());
    let waker = count.clone().into();
    assert_eq!(next(&mut batches, &waker), Poll::Pending);
    clock.advance(DELAY / 2);
    assert_eq!(next(&mut batches, &waker), Poll::Pending);
    let before = count.count();
    clock.advance(DELAY / 2);
    assert!(count.count() > before, "it has a timer");
    assert_eq!(next(&mut batches, &waker), Poll::Ready(Some(vec![1, 2])));
    assert_eq!(next(&mut batches, &waker), Poll::Ready(Some(vec![3])));
    assert_eq!(next(&mut batches, &waker), Poll::Ready(None));
    assert_eq!(next(&mut batches, &waker), Poll::Ready(None));
}

#[test]
fn immediate_batches_are_what_is_there() {
    let settings = Batcher::builder().max_items(3).policy(Policy::Immediate);
    let stream = script([1, 2, 0, 3, 4, 5, 6].map(|n| (n > 0).then_some(n)));
    let mut batches = stream.batches(settings.clock(ManualClock::new())).unwrap();
    for expected in [Some(vec![1, 2]), Some(vec![3, 4, 5]), Some(vec![6]), None] {
        assert_eq!(next(&mut batches, Waker::noop()), Poll::Ready(expected));
    }
}

#[test]
fn an_item_too_heavy_for_a_batch_is_one_of_its_own_in_its_place() {
    let settings = Batcher::builder().max_items(9).max_weight(10, |weight: &usize| *weight);
    let stream = script([6, 3, 11, 12, 4, 7].map(Some));
    let mut batches = stream.batches(settings.clock(ManualClock::new())).unwrap();
    for expected in [vec![6, 3], vec![11], vec![12], vec![4], vec![7]] {
        assert_eq!(next(&mut batches, Waker::noop()), Poll::Ready(Some(expected)));
    }
    assert_eq!(next(&mut batches, Waker::noop()), Poll::Ready(None));
}

#[test]
fn the_remainder_is_kept_and_given_back() {
    let settings = Batcher::builder().max_items(2).clock(ManualClock::new());
    let mut batches =
        script([1, 2, 3, 0, 4].map(|n| (n > 0).then_some(n))).batches(settings).unwrap();
    assert_eq!(next(&mut batches, Waker::noop()), Poll::Ready(Some(vec![1, 2])));
    assert_eq!(next(&mut batches, Waker::noop()), Poll::Pending);
    let (stream, rest) = batches.into_remainder();
    assert_eq!((rest, stream.0), (vec![3], [Some(4)].into()));
}

#[test]
fn nothing_is_taken_from_the_stream_while_a_full_batch_is_there() {
    let settings = Batcher::builder().max_items(2).clock(ManualClock::new());
    let mut batches = script((0..5).map(Some)).batches(settings).unwrap();
    assert_eq!(next(&mut batches, Waker::noop()), Poll::Ready(Some(vec![0, 1])));
    assert!(batches.into_remainder().1.is_empty());

    let items = ['a', 'b', 'b', 'a', 'a'].map(|key| Some((key, ())));
    let settings = Batcher::builder().max_items(2).clock(ManualClock::new());
    let mut batches = script(items).batches(settings.keyed()).unwrap();
    assert_eq!(next(&mut batches, Waker::noop()), Poll::Ready(Some(vec![('b', ()); 2])));
    assert_eq!(batches.into_remainder().1, [('a', ())]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_is_lost_and_each_key_keeps_its_order(
        items in prop::collection::vec(prop::option::weighted(0.8, (0_u8..3, 0_usize..7)), 0..60),
        policy in prop::sample::select(vec![Policy::Size, Policy::Delay, Policy::Immediate]),
        stop_after in prop::option::of(0_usize..20),
        by_key: bool,
    ) {
        let clock = ManualClock::new();
        let settings = Batcher::builder()
            .max_items(3)
            .max_weight(5, |(_, (_, weight)): &(u8, (usize, usize))| *weight)
            .capacity(4)
            .policy(policy)
            .max_delay(DELAY)
            .clock(clock.clone());
        let settings = if by_key { settings.keyed() } else { settings };
        let numbered = items.into_iter().enumerate();
        let numbered = numbered.map(|(n, item)| item.map(|(key, weight)| (key, (n, weight))));
        let numbered: Vec<_> = numbered.collect();
        let mut batches = script(numbered.clone()).batches(settings).unwrap();
        let mut out = Vec::new();
        let mut polls = 0;
        let rest = loop {
            polls += 1;
            prop_assert!(polls < 1000, "it makes no headway");
            if stop_after == Some(polls) {
                break Some(batches.into_remainder());
            }
            match next(&mut batches, Waker::noop()) {
                Poll::Pending => clock.advance(DELAY / 3),
                Poll::Ready(None) => break None,
                Poll::Ready(Some(batch)) => {
                    prop_assert!(!batch.is_empty() && batch.len() <= 3);
                    let weight: usize = batch.iter().map(|(_, (_, weight))| weight).sum();
                    prop_assert!(weight <= 5 || batch.len() == 1);
                    prop_assert!(!by_key || batch.iter().all(|item| item.0 == batch[0].0));
                    out.extend(batch);
                }
            }
        };
        if let Some((stream, rest)) = rest {
            out.extend(rest);
            out.extend(stream.0.into_iter().flatten());
        }
        let mut expected: Vec<_> = numbered.into_iter().flatten().collect();
        if by_key {
            out.sort_by_key(|item| item.0);
            expected.sort_by_key(|item| item.0);
        }
        prop_assert_eq!(out, expected);
    }
}

/// A stream that is always ready, and takes a while for each item.
struct Slow(ManualClock, u32);

impl Stream for Slow {
    type Item = u32;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
        self.0.advance(Duration::from_millis(1));
        self.1 += 1;
        Poll::Ready((self.1 <= 30).then_some(self.1))
    }
}

#[test]
fn a_batch_is_given_at_its_time_although_the_stream_is_always_ready() {
    let clock = ManualClock::new();
    let settings = Batcher::builder().max_items(1000).max_delay(Duration::from_millis(5));
    let stream = Slow(clock.clone(), 0);
    let mut batches = pin!(stream.batches(settings.clock(clock)).unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    let mut lens = Vec::new();
    while let Poll::Ready(Some(batch)) = batches.as_mut().poll_next(&mut cx) {
        lens.push(batch.len());
    }
    assert_eq!(lens, [6; 5]);
}

#[test]
fn a_stream_that_is_fast_reads_the_clock_for_few_of_its_items() {
    let clock = Still::default();
    let settings = Batcher::builder().max_items(10_000).clock(clock.clone());
    let mut batches = pin!(script((0..6400).map(Some)).batches(settings).unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(
        matches!(batches.as_mut().poll_next(&mut cx), Poll::Ready(Some(batch)) if batch.len() == 6400)
    );
    let readings = clock.readings();
    assert!(readings < 200, "{readings} for 6400 items");
}
