//! A bound on all that is in flight: the flow never sleeps while it has room.

use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};

use test_kit::Task;
use tidegate_pipeline::{OnError, Pipeline, Threads};

use crate::desk::n;

const HOUR: Duration = Duration::from_secs(3600);

/// Wakes itself up to `naps` times before it ends; every third item fails.
async fn work(item: u64, naps: u64) -> Result<u64, &'static str> {
    let mut left = if naps == 0 { 0 } else { item % (naps + 1) };
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if item % 3 == 0 { Err("a third") } else { Ok(item) }
}

/// Polls a run whenever it was woken, and only then.
fn finish<F: Future>(run: F) -> F::Output {
    let mut run = Task::new(run);
    let mut woken = run.woken();
    loop {
        if let Poll::Ready(output) = run.poll() {
            return output;
        }
        assert!(run.woken() > woken, "asleep beside its room");
        woken = run.woken();
    }
}

#[test]
fn a_full_flow_is_never_asleep_beside_its_room() {
    for (cap, width, naps) in (1..5)
        .flat_map(|cap| (1..4).map(move |width| (cap, width)))
        .flat_map(|(cap, width)| (0..4).map(move |naps| (cap, width, naps)))
    {
        let flow = || Pipeline::from_iter(0..40_u64).max_in_flight(n(cap));
        let run = flow()
            .try_map_async("first", n(width), move |item| work(item, naps))
            .on_error(OnError::Skip)
            .try_map_async("second", n(width), move |item| work(item + 1, naps))
            .unordered()
            .on_error(OnError::Skip);
        assert_eq!(finish(run.run()).unwrap().leftover(), 0);

        let other = Pipeline::from_iter(0..20_u64).into_stream();
        let run = flow()
            .try_map_async("first", n(width), move |item| work(item, naps))
            .on_error(OnError::Skip)
            .map("low", Ok)
            .merge("other", other)
            .try_map("check", |item| item)
            .try_map_async("second", n(width), move |item| work(item + 1, naps))
            .window(n(width))
            .on_error(OnError::Skip);
        assert_eq!(finish(run.run()).unwrap().leftover(), 0);

        let run = flow()
            .split(
                "even?",
                |item| item % 2 == 0,
                |even| {
                    let even = even.try_map_async("first", n(width), move |item| work(item, naps));
                    even.on_error(OnError::Skip)
                },
                |odd| odd.filter("small", |item| item % 5 != 0),
            )
            .try_map_keyed("second", n(width), |item| item % 2, move |item| work(item + 1, naps))
            .on_error(OnError::Skip)
            .batch("rows", n(3), HOUR);
        assert_eq!(finish(run.run()).unwrap().leftover(), 0);

        // A stage that gathers items must not wait for those that have no room, whichever stage is
        // polled first.
        let run = flow().split(
            "even?",
            |item| item % 2 == 0,
            |even| even.batch("rows", n(100), HOUR).map("many", |rows| rows.len() as u64),
            |odd| {
                let odd = odd.try_map_async("first", n(width), move |item| work(item, naps));
                odd.on_error(OnError::Skip)
            },
        );
        assert_eq!(finish(run.run()).unwrap().leftover(), 0);

        let run = flow()
            .try_map_on(Threads, "here", n(width), |item| {
                if item % 4 == 0 { Err("a fourth") } else { Ok(item) }
            })
            .on_error(OnError::Skip)
            .try_map_async("second", n(width), move |item| work(item, naps))
            .on_error(OnError::Skip);
        assert_eq!(finish(run.collect()).unwrap().len(), 20);
    }
}
