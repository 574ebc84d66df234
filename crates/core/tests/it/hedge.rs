//! Calls that are made again while they are slow.

use std::{
    cell::{Cell, RefCell},
    future::{Future, Ready, pending, ready},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use test_kit::{Bomb, BrokenClock, OnDrop, Task, quiet_panic, quietly};
use tidegate_core::{Event, ManualClock, SystemClock, TimedOut, Wait, hedge, hedge::Hedge};

const SECOND: Duration = Duration::from_secs(1);

/// Attempts that end when they are told to, and how many of them are alive.
#[derive(Default)]
struct Server {
    begun: Cell<usize>,
    alive: Rc<Cell<usize>>,
    answers: RefCell<Vec<Option<Result<usize, usize>>>>,
}

impl Server {
    fn call(&self) -> impl Future<Output = Result<usize, usize>> {
        let number = self.begun.replace(self.begun.get() + 1);
        self.alive.set(self.alive.get() + 1);
        let alive = self.alive.clone();
        let done = OnDrop(move || alive.set(alive.get() - 1));
        std::future::poll_fn(move |_| {
            let _done = &done;
            match self.answers.borrow().get(number) {
                Some(Some(answer)) => Poll::Ready(*answer),
                _ => Poll::Pending,
            }
        })
    }

    fn answer(&self, answers: &[Option<Result<usize, usize>>]) {
        *self.answers.borrow_mut() = answers.to_vec();
    }
}

#[test]
fn a_fast_call_is_made_once() {
    let (clock, server) = (ManualClock::new(), Server::default());
    server.answer(&[Some(Ok(7))]);
    let mut call = Task::new(hedge(&clock, SECOND, 3, || server.call()));
    assert_eq!(server.begun.get(), 0);
    assert_eq!(call.output(), Ok(7));
    assert_eq!((server.begun.get(), server.alive.get(), clock.next_due()), (1, 0, None));
}

#[test]
fn a_further_attempt_begins_after_each_delay_up_to_the_number() {
    let (clock, server) = (ManualClock::new(), Server::default());
    let mut call = Task::waiting(hedge(&clock, SECOND, 2, || server.call()));
    for begun in [1, 1, 2, 2, 3, 3, 3] {
        assert!(call.run().is_pending());
        assert_eq!((server.begun.get(), server.alive.get()), (begun, begun));
        clock.advance(SECOND / 2);
    }
    assert_eq!(clock.next_due(), None);
    drop(call);
    assert_eq!(server.alive.get(), 0);
}

#[test]
fn the_first_success_wins_and_the_others_are_dropped() {
    for winner in 0..3 {
        let (clock, server) = (ManualClock::new(), Server::default());
        let mut call = Task::waiting(hedge(&clock, SECOND, 5, || server.call()));
        for _ in 0..2 {
            clock.advance(SECOND);
            assert!(call.run().is_pending());
        }
        assert_eq!(server.alive.get(), 3);
        let mut answers = [None; 3];
        answers[winner] = Some(Ok(winner));
        server.answer(&answers);
        assert_eq!(call.output(), Ok(winner));
        assert_eq!((server.alive.get(), clock.next_due()), (0, None));
    }
}

#[test]
fn a_failure_beside_attempts_in_flight_is_forgotten_and_the_last_one_returned() {
    let (clock, server) = (ManualClock::new(), Server::default());
    let mut call = Task::waiting(hedge(&clock, SECOND, 2, || server.call()));
    for _ in 0..2 {
        clock.advance(SECOND);
        assert!(call.run().is_pending());
    }
    server.answer(&[None, Some(Err(1)), None]);
    assert!(call.run().is_pending());
    assert_eq!(server.alive.get(), 2);
    server.answer(&[Some(Err(0)), Some(Err(1)), None]);
    assert!(call.run().is_pending());
    server.answer(&[Some(Err(0)), Some(Err(1)), Some(Err(2))]);
    assert_eq!(call.output(), Err(2));
    assert_eq!((server.begun.get(), server.alive.get()), (3, 0));
}

#[test]
fn a_failure_starts_no_attempt_and_ends_a_call_that_has_no_other() {
    let (clock, server) = (ManualClock::new(), Server::default());
    let mut call = Task::waiting(hedge(&clock, SECOND, 2, || server.call()));
    server.answer(&[Some(Err(0))]);
    assert_eq!(call.output(), Err(0));
    assert_eq!((server.begun.get(), clock.next_due()), (1, None));
}

#[test]
fn a_success_beside_failures_in_one_poll_wins() {
    let (clock, server) = (ManualClock::new(), Server::default());
    let mut call = Task::waiting(hedge(&clock, SECOND, 1, || server.call()));
    clock.advance(SECOND);
    assert!(call.run().is_pending());
    server.answer(&[Some(Err(0)), Some(Ok(1))]);
    assert_eq!(call.output(), Ok(1));
}

#[test]
fn without_further_attempts_no_clock_is_asked_and_without_a_delay_all_begin_at_once() {
    let (clock, server) = (ManualClock::new(), Server::default());
    drop(Task::waiting(hedge(&clock, SECOND, 0, || server.call())));
    assert_eq!((server.begun.get(), clock.next_due()), (1, None));
    drop(Task::waiting(hedge(&clock, Duration::ZERO, 3, || server.call())));
    assert_eq!((server.begun.get(), server.alive.get()), (5, 0));
}

#[test]
fn every_attempt_wakes_the_task() {
    let (clock, bells) = (ManualClock::new(), [(); 3].map(|()| Event::new()));
    for ringing in &bells {
        let (begun, is_rung) = (Cell::new(0), Cell::new(false));
        let mut call = Task::waiting(hedge(&clock, SECOND, 2, || {
            let bell = &bells[begun.replace(begun.get() + 1)];
            bell.wait_until(|| is_rung.get().then_some(Ok::<_, ()>(())))
        }));
        for _ in 0..2 {
            clock.advance(SECOND);
            assert!(call.run().is_pending());
        }
        let before = call.woken();
        is_rung.set(true);
        ringing.notify_all();
        assert_eq!((call.woken(), call.output()), (before + 1, Ok(())));
    }
}

#[test]
fn a_thread_waits_and_a_timeout_bounds_all_attempts() {
    let calls = Cell::new(0);
    let call = hedge(&SystemClock, Duration::from_millis(1), 2, || {
        let is_last = calls.replace(calls.get() + 1) == 2;
        async move { if is_last { Ok::<_, ()>("page") } else { pending().await } }
    });
    assert_eq!(call.wait(), Ok("page"));
    let (clock, server) = (ManualClock::new(), Server::default());
    let call = hedge(&clock, SECOND, 9, || server.call()).or_timeout(&clock, 3 * SECOND);
    let mut call = Task::waiting(call);
    clock.advance(3 * SECOND);
    assert_eq!(call.run(), Poll::Ready(Err(TimedOut)));
    assert_eq!((server.alive.get(), clock.next_due()), (0, None));
}

#[test]
fn a_panic_of_a_further_attempt_leaves_those_in_flight_and_starts_no_other() {
    let (clock, server) = (ManualClock::new(), Server::default());
    let mut call = Task::waiting(hedge(&clock, SECOND, 2, || {
        if server.begun.get() == 1 {
            quiet_panic("a closure");
        }
        server.call()
    }));
    clock.advance(SECOND);
    assert!(quietly(|| call.poll()).is_none());
    assert_eq!((server.alive.get(), clock.next_due()), (1, None));
    assert!(call.is_pending());
    server.answer(&[Some(Ok(0))]);
    assert_eq!(call.output(), Ok(0));
}

#[test]
fn a_call_whose_first_attempt_or_clock_panics_is_over_without_a_trace() {
    let begun = Cell::new(0);
    let mut call = Task::new(hedge(SystemClock, SECOND, 1, || -> Ready<Result<(), ()>> {
        begun.set(begun.get() + 1);
        quiet_panic("a closure")
    }));
    assert!(quietly(|| call.poll()).is_none() && quietly(|| call.poll()).is_none());
    assert_eq!(begun.get(), 1);
    let server = Server::default();
    let mut call = Task::new(hedge(BrokenClock, SECOND, 1, || server.call()));
    assert!(quietly(|| call.poll()).is_none());
    // The first attempt goes on.
    assert_eq!(server.alive.get(), 1);
    server.answer(&[Some(Ok(3))]);
    assert_eq!(call.output(), Ok(3));
    drop(call);
    assert_eq!(server.alive.get(), 0);
}

#[test]
fn attempts_that_panic_when_they_are_dropped_take_no_result_along() {
    let (clock, count) = (ManualClock::new(), Arc::<AtomicUsize>::default());
    let begun = Cell::new(0);
    let mut call = Task::waiting(hedge(&clock, SECOND, 2, || {
        let (bomb, number) = (Bomb(0, Arc::clone(&count)), begun.replace(begun.get() + 1));
        std::future::poll_fn(move |_| {
            let _bomb = &bomb;
            if number == 2 { Poll::Ready(Ok::<_, ()>(number)) } else { Poll::Pending }
        })
    }));
    clock.advance(SECOND);
    assert!(call.run().is_pending());
    clock.advance(SECOND);
    assert_eq!(call.run(), Poll::Ready(Ok(2)));
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn errors_that_panic_when_they_are_dropped_take_no_result_along() {
    let (clock, count) = (ManualClock::new(), Arc::<AtomicUsize>::default());
    let (begun, is_open) = (Cell::new(0), Cell::new(false));
    let mut call = Task::waiting(hedge(&clock, SECOND, 2, || {
        let (count, number) = (Arc::clone(&count), begun.replace(begun.get() + 1));
        let is_open = &is_open;
        std::future::poll_fn(move |_| match (is_open.get(), number) {
            (false, _) => Poll::Pending,
            (true, 2) => Poll::Ready(Ok(())),
            (true, _) => Poll::Ready(Err(Bomb(0, count.clone()))),
        })
    }));
    for _ in 0..2 {
        clock.advance(SECOND);
        assert!(call.run().is_pending());
    }
    is_open.set(true);
    assert!(matches!(call.poll(), Poll::Ready(Ok(()))));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_call_can_be_named_and_sent() {
    type Attempt = fn() -> Ready<Result<u8, ()>>;
    let call: Hedge<SystemClock, Attempt, Ready<Result<u8, ()>>> =
        hedge(SystemClock, SECOND, 1, || ready(Ok(7)));
    assert_eq!(format!("{call:?}"), "Hedge { in_flight: 0, left: 1, .. }");
    assert_eq!(std::thread::spawn(|| call.wait()).join().unwrap(), Ok(7));
}
