//! Any mix of stages gives what a sequential loop gives.

mod by_hand;

use std::{
    future::poll_fn,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use by_hand::{n, quiet_panic};
use proptest::{collection::vec, prelude::*};
use tidegate_pipeline::{AfterStop, OnError, Pipeline, Stage, Wait};

/// One stage of a mix.
#[derive(Debug, Clone)]
enum Part {
    Add(u64),
    Keep(u64),
    Copies(u64),
    Fail(u64),
    Panic(u64),
    /// Concurrency, window, in order?, every how many-th item fails and how often a future yields first.
    Work {
        n: usize,
        window: usize,
        ordered: bool,
        fails: u64,
        yields: u64,
    },
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
        (1..5_usize).prop_map(Part::Batch),
    ]
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
        Part::Fail(nth) | Part::Panic(nth) | Part::Work { fails: nth, .. } if every(nth, item) => {
            return None;
        }
        Part::Fail(_) | Part::Panic(_) | Part::Work { .. } | Part::Batch(_) => vec![item],
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
                .map_async("work", n(width), move |item| work(item, fails, yields))
                .window(n(window))
                .on_error(on_error);
            if ordered { flow.boxed() } else { flow.unordered().boxed() }
        }
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
        let run = flow.for_each(|item| out.push(item)).wait();
        let summary = monitor.summary();

        let mut expected = sequential(items, &mix);
        let is_ordered = mix.iter().all(|(part, _)| !matches!(part, Part::Work { ordered: false, .. }));
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
                // What came out is a part of what would have.
                let mut rest = expected.into_iter();
                prop_assert!(!is_ordered || out.iter().all(|item| rest.any(|other| other == *item)));
            }
        }
        prop_assert_eq!(summary.read, summary.done + summary.failed + summary.skipped + summary.leftover());
        if mix.iter().all(|(part, policy)| *policy == Policy::Skip && !matches!(part, Part::Copies(_) | Part::Batch(_))) {
            prop_assert_eq!((summary.done, summary.failed), (out.len() as u64, 0));
        }
        if mix.iter().all(|(_, policy)| *policy == Policy::Divert) {
            let failed: u64 = monitor.stages().iter().map(|stage| stage.failed).sum();
            prop_assert_eq!(failed, diverted.into_inner());
        }
    }
}
