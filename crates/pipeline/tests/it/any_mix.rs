//! Any mix of stages emits what a sequential loop does.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use test_kit::quiet_panic;
use tidegate_pipeline::{AfterStop, OnError, Pipeline, Stage, Threads, Wait};

use crate::desk::n;

/// One stage of a mix.
#[derive(Debug, Clone)]
enum Part {
    Add(u64),
    Keep(u64),
    Copies(u64),
    Fail(u64),
    Panic(u64),
    /// Asynchronous work. Every `fails`-th item fails; a future first yields up to `yields` - 1
    /// times.
    Work {
        n: usize,
        window: usize,
        ordered: bool,
        fails: u64,
        yields: u64,
    },
    /// The same work by key, which is the item modulo `keys`.
    Keyed {
        n: usize,
        keys: u64,
        fails: u64,
        yields: u64,
    },
    /// On the run's threads, in chunks.
    OnThreads {
        n: usize,
        window: usize,
        ordered: bool,
        fails: u64,
        panics: u64,
    },
    /// Multiples of this number go through a branch of their own.
    Split(u64),
    /// Batches, taken apart again.
    Batch(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Policy {
    Stop,
    Skip,
    Divert,
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        (1..9_u64).prop_map(Part::Add),
        (2..5_u64).prop_map(Part::Keep),
        (0..3_u64).prop_map(Part::Copies),
        (3..20_u64).prop_map(Part::Fail),
        (3..20_u64).prop_map(Part::Panic),
        (1..5_usize, 1..9_usize, any::<bool>(), 3..30_u64, 1..4_u64).prop_map(
            |(n, window, ordered, fails, yields)| Part::Work { n, window, ordered, fails, yields }
        ),
        (1..4_usize, 1..5_u64, 3..30_u64, 1..4_u64)
            .prop_map(|(n, keys, fails, yields)| Part::Keyed { n, keys, fails, yields }),
        (1..4_usize, 1..20_usize, any::<bool>(), 3..30_u64, 3..30_u64).prop_map(
            |(n, window, ordered, fails, panics)| Part::OnThreads {
                n,
                window,
                ordered,
                fails,
                panics
            }
        ),
        (2..4_u64).prop_map(Part::Split),
        (1..5_usize).prop_map(Part::Batch),
    ]
}

/// How the flow is run.
#[derive(Debug, Clone, Copy)]
enum Run {
    Wait,
    OnThreads(usize),
    Deterministic(u64),
}

fn run() -> impl Strategy<Value = Run> {
    prop_oneof![
        Just(Run::Wait),
        (1..4_usize).prop_map(Run::OnThreads),
        any::<u64>().prop_map(Run::Deterministic)
    ]
}

impl Part {
    fn keeps_order(&self) -> bool {
        !matches!(
            self,
            Self::Work { ordered: false, .. }
                | Self::OnThreads { ordered: false, .. }
                | Self::Keyed { .. }
                | Self::Split(_)
        )
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Stop), Just(Policy::Skip), Just(Policy::Divert)]
}

fn every(nth: u64, item: u64) -> bool {
    item % nth == nth - 1
}

/// What a stage makes of an item; `None` if it fails on it.
fn reference(part: &Part, item: u64) -> Option<Vec<u64>> {
    Some(match *part {
        Part::Add(addend) => vec![item + addend],
        Part::Keep(nth) => vec![item; usize::from(item % nth == 0)],
        Part::Copies(copies) => (0..copies).map(|copy| item + copy).collect(),
        Part::OnThreads { fails, panics, .. } if every(fails, item) || every(panics, item) => {
            return None;
        }
        Part::Fail(nth)
        | Part::Panic(nth)
        | Part::Work { fails: nth, .. }
        | Part::Keyed { fails: nth, .. }
            if every(nth, item) =>
        {
            return None;
        }
        Part::Split(nth) => vec![item + u64::from(item % nth == 0)],
        _ => vec![item],
    })
}

/// What comes out of a mix that does not stop.
fn sequential(items: u64, mix: &[(Part, Policy)]) -> Vec<u64> {
    mix.iter().fold((0..items).collect(), |items: Vec<u64>, (part, _)| {
        items.into_iter().filter_map(|item| reference(part, item)).flatten().collect()
    })
}

async fn work(item: u64, fails: u64, yields: u64) -> Result<u64, &'static str> {
    let mut left = item % yields;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if every(fails, item) { Err("work") } else { Ok(item) }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

type Flow<'h> = Pipeline<'h, Box<dyn Stage<Item = u64> + Send + 'h>>;

fn add<'h>(flow: Flow<'h>, part: &Part, on_error: OnError<'h>) -> Flow<'h> {
    match *part {
        Part::Add(addend) => flow.map("add", move |item| item + addend).boxed(),
        Part::Keep(nth) => flow.filter("keep", move |item| item % nth == 0).boxed(),
        Part::Copies(copies) => {
            flow.flat_map("copies", move |item| (0..copies).map(move |copy| item + copy)).boxed()
        }
        Part::Fail(nth) => flow
            .try_map("fail", move |item| if every(nth, item) { Err("fail") } else { Ok(item) })
            .on_error(on_error)
            .boxed(),
        Part::Panic(nth) => flow
            .inspect("panic", move |item| {
                if every(nth, *item) {
                    quiet_panic("panic");
                }
            })
            .on_error(on_error)
            .boxed(),
        Part::Work { n: width, window, ordered, fails, yields } => {
            let flow = flow
                .try_map_async("work", n(width), move |item| work(item, fails, yields))
                .window(n(window))
                .on_error(on_error);
            if ordered { flow.boxed() } else { flow.unordered().boxed() }
        }
        Part::Keyed { n: width, keys, fails, yields } => flow
            .try_map_keyed(
                "keyed",
                n(width),
                move |item| item % keys,
                move |item| work(item, fails, yields),
            )
            .on_error(on_error)
            .boxed(),
        Part::OnThreads { n: width, window, ordered, fails, panics } => {
            let flow = flow
                .try_map_on(Threads, "threads", n(width), move |item| {
                    if every(panics, item) {
                        quiet_panic("threads");
                    }
                    if every(fails, item) { Err("threads") } else { Ok(item) }
                })
                .window(n(window))
                .on_error(on_error);
            if ordered { flow.boxed() } else { flow.unordered().boxed() }
        }
        Part::Split(nth) => flow
            .split(
                "split",
                move |item| item % nth == 0,
                |first| first.map("one more", |item| item + 1),
                |second| second.try_map_async("second", n(2), move |item| work(item, u64::MAX, 2)),
            )
            .boxed(),
        Part::Batch(size) => {
            flow.batch("batch", n(size), Duration::MAX).flat_map("apart", |batch| batch).boxed()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mix_of_stages_equals_the_sequential_reference(
        items in 0..60_u64,
        mix in vec((part(), policy()), 0..6),
        abandon in any::<bool>(),
        cap in 1..100_usize,
        run in run(),
    ) {
        let diverted = AtomicU64::new(0);
        let mut flow: Flow<'_> = Pipeline::from_iter(0..items).boxed();
        for (part, policy) in &mix {
            flow = add(flow, part, match policy {
                Policy::Stop => OnError::Stop,
                Policy::Skip => OnError::Skip,
                Policy::Divert => OnError::divert(|_| count(&diverted)),
            });
        }
        if abandon {
            flow = flow.after_stop(AfterStop::Abandon);
        }
        let monitor = flow.monitor();
        let mut out = Vec::new();
        let flow = flow.max_in_flight(n(cap)).for_each(|item| out.push(item));
        let run = match run {
            Run::Wait => flow.wait(),
            Run::OnThreads(threads) => flow.run_on_threads(n(threads)),
            Run::Deterministic(seed) => flow.run_deterministic(seed),
        };
        let summary = monitor.stats().summary;

        let mut expected = sequential(items, &mix);
        let is_ordered = mix.iter().all(|(part, _)| part.keeps_order());
        match &run {
            Ok(end) => {
                if !is_ordered {
                    expected.sort_unstable();
                    out.sort_unstable();
                }
                prop_assert_eq!(&out, &expected);
                prop_assert_eq!((end.read, end.leftover()), (items, 0));
            }
            Err(stopped) => {
                prop_assert!(stopped.error().is_some());
                prop_assert!(abandon || summary.failed >= 1);
                prop_assert!(abandon || summary.leftover() == 0);
                // What came out is a part of the expected items.
                let mut rest = expected.into_iter();
                prop_assert!(!is_ordered || out.iter().all(|item| rest.any(|other| other == *item)));
            }
        }
        prop_assert_eq!(summary.read, summary.succeeded + summary.failed + summary.skipped + summary.leftover());
        if mix.iter().all(|(part, policy)| *policy == Policy::Skip && !matches!(part, Part::Copies(_) | Part::Batch(_))) {
            prop_assert_eq!((summary.succeeded, summary.failed), (out.len() as u64, 0));
        }
        if mix.iter().all(|(_, policy)| *policy == Policy::Divert) {
            let failed: u64 = monitor.stats().stages.iter().map(|stage| stage.failed).sum();
            prop_assert_eq!(failed, diverted.into_inner());
        }
    }
}
