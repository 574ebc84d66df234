//! Foreign code panics or takes long wherever a flow runs it: each item has an outcome, and each
//! run ends.

use std::{
    cell::Cell,
    cmp::Ordering,
    fmt,
    future::poll_fn,
    panic::{panic_any, resume_unwind},
    task::Poll,
    thread,
    time::Duration,
};

use tidegate_pipeline::{ManualClock, OnError, Pipeline, Wait};
use tidegate_worker_pool::WorkerPool;

use crate::desk::n;

fn quiet() {
    if !thread::panicking() {
        resume_unwind(Box::new("quiet"));
    }
}

thread_local! { static FUSE: Cell<i32> = const { Cell::new(i32::MAX) } }

/// A key that panics in one comparison, or in two in a row, once `FUSE` has counted down.
#[derive(Clone)]
struct Key(u32, i32);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = FUSE.get();
        FUSE.set(left.saturating_sub(1));
        if left <= 0 && left > -self.1 {
            quiet();
        }
        self.0.cmp(&other.0)
    }
}

#[test]
fn a_key_whose_comparisons_panic_loses_no_item() {
    for (fuse, panics) in (0..16).flat_map(|fuse| [(fuse, 1), (fuse, 2)]) {
        FUSE.set(fuse);
        let flow = Pipeline::from_iter([1, 1, 1, 1, 2, 2]).map_keyed(
            "key",
            n(4),
            |k| Key(*k, panics),
            |k| async move {
                let mut first = true;
                poll_fn(|cx| {
                    if std::mem::take(&mut first) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Ready(())
                })
                .await;
                k
            },
        );
        let summary = flow.on_error(OnError::Skip).run().wait().unwrap();
        assert_eq!((summary.read, summary.leftover()), (6, 0), "comparison {fuse}");
    }
    FUSE.set(i32::MAX);
}

#[derive(Debug)]
struct BadError;

impl fmt::Display for BadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad")
    }
}

impl std::error::Error for BadError {}

impl Drop for BadError {
    fn drop(&mut self) {
        quiet();
    }
}

#[test]
fn errors_that_panic_when_they_are_dropped_end_as_they_should() {
    let flow =
        || Pipeline::from_iter(0..6).try_map("make", |k| if k < 2 { Err(BadError) } else { Ok(k) });
    let summary = flow().on_error(OnError::Skip).run().wait().unwrap();
    assert_eq!((summary.succeeded, summary.skipped), (4, 2));
}

#[test]
fn payloads_that_panic_when_they_are_dropped_hang_no_flow_on_a_pool() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            quiet();
        }
    }
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    let work = |k: u32| {
        if k < 2 {
            panic_any(Bomb);
        }
        k
    };
    let flow = Pipeline::from_iter(0..6).map_on(&pool, "work", n(2), work).on_error(OnError::Skip);
    let summary = flow.run().wait_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!((summary.succeeded, summary.skipped), (4, 2));
}

#[test]
fn a_batch_is_emitted_at_its_time_although_the_source_is_always_ready() {
    let clock = ManualClock::new();
    let slow = (0..30).inspect(|_| clock.advance(Duration::from_millis(1)));
    let rows = Pipeline::from_iter(slow)
        .timer(clock.clone())
        .batch("rows", n(1000), Duration::from_millis(5))
        .map("count", |rows| rows.len());
    assert_eq!(rows.collect().wait().unwrap(), [6; 5]);
}

#[test]
fn a_batch_in_a_branch_of_a_full_flow_waits_for_no_more() {
    let clock = ManualClock::new();
    let hour = Duration::from_secs(3600);
    let flow = Pipeline::from_iter(0..20).max_in_flight(n(3)).timer(clock).split(
        "all",
        |_| true,
        |way| way.batch("rows", n(10), hour).flat_map("apart", |rows| rows),
        |way| way,
    );
    assert_eq!(flow.run().wait_timeout(Duration::from_secs(60)).unwrap().unwrap().succeeded, 20);
}
