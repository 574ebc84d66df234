//! What callers get.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    task::Poll::{Pending, Ready},
};

use crate::echo::echo;
use test_kit::{CountingWaker, Task, poll_with};
use tidegate_batch_processor::{
    BatchError, Batcher, DriverDropped, ManualClock, PushError, SubmitError,
};

#[derive(Debug, PartialEq)]
struct Broken(u32);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken by {}", self.0)
    }
}

impl Error for Broken {}

#[test]
fn each_caller_gets_its_own_result() {
    let (_log, handler) = echo();
    let (batcher, driver) =
        Batcher::builder().max_items(3).clock(ManualClock::new()).build(handler).unwrap();
    let mut callers: Vec<_> = [7, 8, 9].map(|n| Task::new(batcher.submit(n))).into();
    for caller in &mut callers {
        assert!(caller.poll().is_pending());
    }
    assert!(Task::new(driver).run().is_pending());
    for (caller, n) in callers.iter_mut().zip([7, 8, 9]).rev() {
        assert_eq!(caller.woken(), 1);
        assert!(matches!(caller.poll(), Ready(Ok(result)) if result == n));
    }
}

#[test]
fn a_reply_that_is_dropped_leaves_nothing_of_its_caller_behind() {
    let (_log, handler) = echo();
    let (batcher, _driver) = Batcher::builder().max_items(3).build(handler).unwrap();
    let _first = Task::waiting(batcher.try_submit(1).unwrap());
    let (count, waker) = CountingWaker::new();
    let mut reply = batcher.try_submit(2).unwrap();
    let before = Arc::strong_count(&count);
    for _ in 0..2 {
        assert!(poll_with(&mut reply, &waker).is_pending());
        assert_eq!(Arc::strong_count(&count), before + 1);
    }
    drop(reply);
    assert_eq!(Arc::strong_count(&count), before);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("quiet"));
    }
}

#[test]
fn a_result_that_panics_when_it_is_dropped_does_not_reach_the_caller_that_left_it() {
    let handler = |items: Vec<u8>| Ok::<_, ()>(items.iter().map(|_| Bomb).collect());
    let (batcher, driver) = Batcher::builder().max_items(1).build(handler).unwrap();
    let reply = batcher.try_submit(1).unwrap();
    assert!(Task::new(driver).run().is_pending());
    drop(reply);
    assert_eq!(batcher.stats().done, 1);
}

/// Batches of two, whose first item says what becomes of them.
#[test]
fn a_failure_reaches_its_whole_batch_and_no_other() {
    let handler = |items: Vec<u32>| match items[0] {
        1 => Err(Broken(1)),
        2 => Ok(vec![0]),
        3 => panic!("cannot do {}", 3),
        _ => Ok(items),
    };
    let (batcher, driver) =
        Batcher::builder().max_items(2).clock(ManualClock::new()).build(handler).unwrap();
    let mut replies =
        [0, 0, 1, 0, 2, 0, 3, 0, 4, 0].map(|n| Task::new(batcher.try_submit(n).unwrap()));
    assert!(Task::new(driver).run().is_pending());

    let mut outcomes = replies.iter_mut().map(|reply| match reply.poll() {
        Ready(outcome) => outcome,
        Pending => panic!("every batch is done"),
    });
    let mut next = || outcomes.next().unwrap();
    assert_eq!((next().unwrap(), next().unwrap()), (0, 0));

    let (Err(BatchError::Handler(one)), Err(BatchError::Handler(two))) = (next(), next()) else {
        panic!("both callers get the handler's error");
    };
    assert!(Arc::ptr_eq(&one, &two), "they share it");
    assert_eq!(*one, Broken(1));

    for _ in 0..2 {
        assert!(matches!(next(), Err(BatchError::WrongLength { sent: 2, got: 1 })));
    }
    for _ in 0..2 {
        assert_eq!(next().unwrap_err().to_string(), "batch handler panicked: cannot do 3");
    }
    assert_eq!((next().unwrap(), next().unwrap()), (4, 0));
    let stats = batcher.stats();
    assert_eq!((stats.failed, stats.failed_items, stats.done), (3, 6, 10));
}

#[test]
fn an_asynchronous_handler_may_panic_at_any_poll() {
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .clock(ManualClock::new())
        .build_async(|items: Vec<u32>| {
            let mut polls = 0;
            std::future::poll_fn(move |cx| {
                polls += 1;
                if items[0] == polls {
                    std::panic::resume_unwind(Box::new("unwound"));
                }
                cx.waker().wake_by_ref();
                if polls < 3 { Pending } else { Ready(Ok::<_, ()>(items.clone())) }
            })
        })
        .unwrap();
    let mut replies = [1, 2, 4].map(|n| Task::new(batcher.try_submit(n).unwrap()));
    assert!(Task::new(driver).run().is_pending());
    for reply in &mut replies[..2] {
        let Ready(Err(BatchError::Panicked(message))) = reply.poll() else { panic!("panicked") };
        assert_eq!(&*message, "unwound");
    }
    assert!(matches!(replies[2].poll(), Ready(Ok(4))));
}

#[test]
fn errors_say_what_failed_and_name_their_source() {
    let failed = BatchError::Handler(Arc::new(Broken(5)));
    assert_eq!(failed.source().unwrap().to_string(), "broken by 5");
    let error: SubmitError<u8, Broken> = failed.clone().into();
    assert_eq!(error.to_string(), "batch handler failed");
    assert_eq!(error.source().unwrap().to_string(), "broken by 5");
    assert_eq!(failed.handler_error(), Some(&Broken(5)));
    assert_eq!(error.into_inner(), None);

    let refused: SubmitError<u8, Broken> = PushError::Closed(7).into();
    assert!(refused.source().is_none() && refused.batch_error().is_none());
    assert_eq!(refused.to_string(), "batcher closed");
    assert_eq!(format!("{refused:?}"), "Refused(Closed(..))");
    assert_eq!(refused.into_inner(), Some(7));

    let dropped: SubmitError<u8, Broken> = BatchError::Dropped.into();
    assert!(matches!(dropped.batch_error(), Some(BatchError::Dropped)));
    assert_eq!(format!("{dropped:?}"), "Failed(Dropped)");
    assert_eq!(DriverDropped.to_string(), "batch driver dropped");
    for (error, message) in [
        (
            BatchError::<Broken>::WrongLength { sent: 2, got: 1 },
            "batch handler returned 1 results for 2 items",
        ),
        (BatchError::Panicked("oh".into()), "batch handler panicked: oh"),
        (BatchError::Dropped, "item dropped to make room"),
        (BatchError::DriverDropped, "batch driver dropped"),
    ] {
        assert_eq!(error.to_string(), message);
        assert!(error.source().is_none() && error.handler_error().is_none());
        assert_eq!(format!("{:?}", error.clone()), format!("{error:?}"));
    }
}

#[test]
fn a_refusal_says_why_and_whether_to_try_again() {
    for (error, message, shown, is_full, is_closed) in [
        (PushError::Full(7), "batcher full", "Full(..)", true, false),
        (PushError::TooHeavy(7), "item heavier than a batch may be", "TooHeavy(..)", false, false),
        (PushError::Closed(7), "batcher closed", "Closed(..)", false, true),
        (PushError::DriverDropped(7), "batch driver dropped", "DriverDropped(..)", false, true),
    ] {
        assert_eq!((error.to_string(), format!("{error:?}")), (message.into(), shown.into()));
        assert_eq!((error.is_full(), error.is_closed()), (is_full, is_closed));
        assert_eq!(error.into_inner(), 7);
    }
}
