//! Laws of batchers that their callers lead.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use test_kit::CountingWaker;
use tidegate_batch_processor::{
    Async, Batcher, Blocking, Handler, ManualClock, Policy, SubmitError, Wait,
};

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

fn waker() -> (Arc<CountingWaker>, Waker) {
    let count = Arc::new(CountingWaker::default());
    (count.clone(), count.into())
}

#[test]
fn a_caller_alone_processes_its_item_at_once() {
    let led = Batcher::builder()
        .policy(Policy::Immediate)
        .build_leader(Blocking::new(|items: Vec<u32>| Ok::<_, ()>(items)))
        .unwrap();
    assert_eq!(led.submit(7).wait().unwrap(), 7);
    assert_eq!((led.stats().batches, led.stats().done), (1, 1));
}

#[test]
fn a_leader_waits_for_company_as_the_policy_says() {
    let clock = ManualClock::new();
    let led = Batcher::builder()
        .max_delay(Duration::from_secs(1))
        .clock(clock.clone())
        .build_leader(Blocking::new(|items: Vec<u32>| Ok::<_, ()>(vec![items.len(); items.len()])))
        .unwrap();
    let [(woken, first_waker), (_, second_waker)] = [waker(), waker()];
    let (mut first, mut second) = (led.submit(1), led.submit(2));
    assert!(poll(&mut first, &first_waker).is_pending());
    assert!(poll(&mut second, &second_waker).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(woken.count() > 0, "the leader has the timer");
    assert_eq!(poll(&mut first, &first_waker).map(Result::unwrap), Poll::Ready(2));
    assert_eq!(poll(&mut second, &second_waker).map(Result::unwrap), Poll::Ready(2));
}

#[test]
fn a_dropped_leader_passes_the_lead_on_and_its_item_is_processed_once() {
    let (gate, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (door, log) = (gate.clone(), seen.clone());
    let led = Batcher::builder()
        .policy(Policy::Immediate)
        .build_leader(Async::new(move |items: Vec<u32>| {
            log.lock().unwrap().extend(items.clone());
            let door = door.clone();
            async move {
                poll_fn(|_| match door.load(Ordering::SeqCst) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
                Ok::<_, ()>(items)
            }
        }))
        .unwrap();
    let (woken, next) = waker();
    let (mut leader, mut follower) = (led.submit(1), led.submit(2));
    assert!(poll(&mut leader, Waker::noop()).is_pending());
    assert!(poll(&mut follower, &next).is_pending());
    drop(leader);
    assert_eq!(woken.count(), 1, "it leads now");
    gate.store(true, Ordering::SeqCst);
    while poll(&mut follower, &next).map(Result::unwrap) != Poll::Ready(2) {}
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
    assert_eq!(led.stats().done, 2);
}

#[test]
fn threads_that_share_a_log_all_get_their_own_results() {
    let led = Batcher::builder()
        .policy(Policy::Immediate)
        .max_items(8)
        .capacity(8)
        .build_leader(Blocking::new(|items: Vec<u64>| {
            Ok::<_, ()>(items.into_iter().map(|n| n * n).collect())
        }))
        .unwrap();
    thread::scope(|s| {
        for thread in 0..4 {
            let led = &led;
            s.spawn(move || {
                for n in thread * 500..(thread + 1) * 500 {
                    assert_eq!(led.submit(n).wait().unwrap(), n * n);
                }
            });
        }
    });
    assert_eq!(led.stats().done, 2000);
}

#[test]
fn a_panic_of_the_handler_reaches_its_batch_and_the_next_is_led() {
    let mut calls = 0;
    let led = Batcher::builder()
        .policy(Policy::Immediate)
        .build_leader(Blocking::new(move |items: Vec<u32>| {
            calls += 1;
            if calls == 1 {
                std::panic::resume_unwind(Box::new("quiet"));
            }
            Ok::<_, ()>(items)
        }))
        .unwrap();
    assert!(matches!(led.submit(1).wait(), Err(SubmitError::Failed(_))));
    assert_eq!(led.submit(2).wait().unwrap(), 2);
    assert!(led.close() && !led.close());
    assert!(matches!(led.submit(3).wait(), Err(SubmitError::Refused(_))));
}

/// The wakers of the polls that found the gate closed.
type Wakers = Arc<Mutex<Vec<Waker>>>;

/// A handler whose batches are done once the gate is open.
fn gated(gate: &Arc<AtomicBool>, wakers: &Wakers) -> impl Handler<u32, Output = u32, Error = ()> {
    let (gate, wakers) = (gate.clone(), wakers.clone());
    Async::new(move |items: Vec<u32>| {
        let (gate, wakers) = (gate.clone(), wakers.clone());
        async move {
            poll_fn(|cx| {
                if gate.load(Ordering::SeqCst) {
                    return Poll::Ready(());
                }
                wakers.lock().unwrap().push(cx.waker().clone());
                Poll::Pending
            })
            .await;
            Ok::<_, ()>(items)
        }
    })
}

#[test]
fn others_go_on_while_any_number_of_leaders_are_kept_and_not_polled() {
    for unpolled in 1..4 {
        let (gate, wakers, clock) = (Arc::default(), Wakers::default(), ManualClock::new());
        let led = Batcher::builder()
            .policy(Policy::Immediate)
            .max_items(1)
            .clock(clock.clone())
            .build_leader(gated(&gate, &wakers))
            .unwrap();
        let mut kept: Vec<_> = (0..unpolled).map(|n| led.submit(n)).collect();
        for kept in &mut kept {
            assert!(poll(kept, Waker::noop()).is_pending());
        }
        let (woken, alive) = waker();
        let mut last = led.submit(9);
        assert!(poll(&mut last, &alive).is_pending());
        gate.store(true, Ordering::SeqCst);
        wakers.lock().unwrap().drain(..).for_each(Waker::wake);
        assert_eq!(woken.count(), 0, "it is not the one that leads");
        // A waiter checks for the first time after 10 ms.
        clock.advance(Duration::from_millis(10));
        assert_eq!(woken.count(), 1);
        let mut polls = 0;
        let done = loop {
            polls += 1;
            match poll(&mut last, &alive) {
                Poll::Ready(result) => break result.unwrap(),
                Poll::Pending => assert!(woken.count() > polls),
            }
        };
        assert_eq!(done, 9);
        // The items of the callers that were not polled are not lost.
        let results = kept.into_iter().map(|lead| lead.wait().unwrap());
        assert!(results.eq(0..unpolled));
    }
}

#[test]
fn a_leader_that_comes_back_after_it_was_replaced_waits_like_all() {
    let (gate, wakers) = (Arc::default(), Wakers::default());
    let led = Batcher::builder()
        .policy(Policy::Immediate)
        .max_items(1)
        .clock(ManualClock::new())
        .build_leader(gated(&gate, &wakers))
        .unwrap();
    let [(old_woken, old_waker), (new_woken, new_waker)] = [waker(), waker()];
    let (mut old, mut new) = (led.submit(1), led.submit(2));
    assert!(poll(&mut old, &old_waker).is_pending());
    wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    assert_eq!(old_woken.count(), 1);
    // The leader was woken, but another caller is polled before it.
    assert!(poll(&mut new, &new_waker).is_pending());
    assert!(format!("{new:?}").contains("is_leading: true"));
    assert!(poll(&mut old, &old_waker).is_pending());
    wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    assert_eq!((old_woken.count(), new_woken.count()), (1, 1));
    drop(new);
    assert_eq!(old_woken.count(), 2, "the lead has come back to it");
    gate.store(true, Ordering::SeqCst);
    assert_eq!(poll(&mut old, &old_waker).map(Result::unwrap), Poll::Ready(1));
}
