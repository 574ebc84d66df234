//! Foreign code that panics: clocks and wakers. No permit is lost by it.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use test_kit::{PanickingWaker, keep, quietly};
use tidegate_semaphore::{
    Clock, Fairness, Gate, Pass, Semaphore, Stats,
    adaptive::{AdaptiveSemaphore, Aimd},
};

/// A clock that stands still, and panics at one of its readings.
#[derive(Clone)]
struct Fragile {
    readings: Arc<AtomicUsize>,
    panics_at: usize,
}

impl Fragile {
    fn at(panics_at: usize) -> Self {
        Self { readings: Arc::default(), panics_at }
    }

    fn readings(&self) -> usize {
        self.readings.load(Ordering::SeqCst)
    }
}

impl Clock for Fragile {
    fn now(&self) -> tidegate_core::Timestamp {
        if self.readings.fetch_add(1, Ordering::SeqCst) == self.panics_at {
            resume_unwind(Box::new("a clock"));
        }
        tidegate_core::Timestamp::ORIGIN
    }
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Option<Poll<F::Output>> {
    quietly(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop())))
}

fn assert_all_back(stats: Stats, scene: &str) {
    assert_eq!((stats.available, stats.in_use, stats.waiting), (1, 0, 0), "{scene}");
}

/// Puts a request into the queue, grants it, polls it or not, and drops everything. The clock
/// panics at its first reading, then, in new rounds, at its second and its third.
fn with_each_reading<F>(name: &str, ask: impl Fn(&'static Arc<Semaphore>) -> F)
where
    F: Future + 'static,
{
    for fairness in [Fairness::Fifo, Fairness::eventual(), Fairness::Barging, Fairness::Lifo] {
        for is_polled in [true, false] {
            for panics_at in 0..3 {
                let clock = Fragile::at(panics_at);
                let builder = Semaphore::builder(1).fairness(fairness).clock(clock.clone());
                let semaphore: &'static _ = keep(Arc::new(builder.build()));
                let held = semaphore.try_acquire(1).unwrap();
                let mut future = Box::pin(ask(semaphore));
                drop(poll(&mut future));
                drop(held);
                let output = if is_polled { poll(&mut future) } else { None };
                let is_ready = matches!(output, Some(Poll::Ready(_)));
                quietly(|| drop(output));
                quietly(|| drop(future));
                let scene = format!("{name}, {fairness:?}, {is_polled}, {panics_at}");
                assert!(clock.readings() >= 2.min(panics_at + 1), "{scene}: measured");
                assert!(is_ready || !is_polled || panics_at < 2, "{scene}: it was granted");
                assert_all_back(semaphore.stats(), &scene);
                drop(semaphore.try_acquire(1).unwrap());
            }
        }
    }
}

#[test]
fn a_clock_that_panics_costs_no_permit() {
    with_each_reading("acquire", |semaphore| semaphore.acquire(1));
    with_each_reading("acquire_up_to", |semaphore| semaphore.acquire_up_to(1..=3));
    with_each_reading("acquire_owned", |semaphore| semaphore.clone().acquire_owned(1));
    with_each_reading("up_to_owned", |semaphore| semaphore.clone().acquire_up_to_owned(1..=3));
    with_each_reading("enter", |semaphore| semaphore.enter());
    with_each_reading("enter_owned", |semaphore| semaphore.clone().enter());
    with_each_reading("gate", |semaphore| semaphore.gate(1).enter());
    with_each_reading("gate_owned", |semaphore| semaphore.clone().gate_owned(1).enter());
    with_each_reading("with_async", |semaphore| semaphore.with_async(1, async {}));
    with_each_reading("run_async", |semaphore| semaphore.run_async(async {}));
    with_each_reading("a pair", |semaphore| (semaphore.gate(0), semaphore).enter());
}

#[test]
fn a_clock_that_panics_when_a_request_is_rejected_leaves_no_waiter() {
    for panics_at in 0..3 {
        let clock = Fragile::at(panics_at);
        let semaphore = Semaphore::builder(1).clock(clock).build();
        let held = semaphore.try_acquire(1).unwrap();
        let mut first = Box::pin(semaphore.acquire(1));
        drop(poll(&mut first));
        semaphore.close();
        drop(poll(&mut first));
        quietly(|| drop(first));
        drop(held);
        assert_all_back(semaphore.stats(), "closed");
    }
}

type Limit = AdaptiveSemaphore<Aimd, Fragile>;

fn limit(panics_at: usize) -> &'static Arc<Limit> {
    let builder = AdaptiveSemaphore::builder(Aimd::new()).initial(1).clock(Fragile::at(panics_at));
    keep(Arc::new(builder.build().unwrap()))
}

fn assert_none_in_flight(limit: &Limit, scene: &str) {
    let stats = limit.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{scene}");
    // Until the clock is past the reading at which it panics.
    (0..4).for_each(|_| _ = quietly(|| drop(limit.try_acquire())));
    let all: Vec<_> = (0..9).map_while(|_| limit.try_acquire().ok()).collect();
    assert_eq!(all.len(), limit.limit(), "{scene}");
}

#[test]
fn a_clock_that_panics_costs_an_adaptive_limit_no_permit() {
    type Scene = fn(&'static Arc<Limit>);
    let scenes: [(&str, Scene); 9] = [
        ("try", |limit| limit.try_acquire().unwrap().success()),
        ("dropped", |limit| limit.try_acquire().unwrap().dropped()),
        ("owned", |limit| limit.clone().try_acquire_owned().unwrap().success()),
        ("renew", |limit| limit.try_enter().unwrap().renew().unwrap()),
        ("renew owned", |limit| limit.clone().try_enter().unwrap().renew().unwrap()),
        ("run", |limit| limit.run(|| ()).unwrap()),
        ("waits", |limit| {
            let held = limit.try_acquire().unwrap();
            let mut waits = Box::pin(limit.acquire());
            drop(poll(&mut waits));
            drop(held);
            if let Some(Poll::Ready(permit)) = poll(&mut waits) {
                permit.unwrap().success();
            }
        }),
        ("waits owned", |limit| {
            let held = limit.try_acquire().unwrap();
            let mut waits = Box::pin(limit.clone().acquire_owned());
            drop(poll(&mut waits));
            drop(held);
            if let Some(Poll::Ready(permit)) = poll(&mut waits) {
                permit.unwrap().dropped();
            }
        }),
        ("row", |limit| (limit, limit.clone()).try_enter().map(drop).unwrap_or_default()),
    ];
    for (name, scene) in scenes {
        for panics_at in 0..4 {
            let limit = limit(panics_at);
            quietly(|| scene(limit));
            assert_none_in_flight(limit, &format!("{name}, reading {panics_at}"));
        }
    }
}

#[test]
fn a_waker_whose_drop_panics_costs_no_permit() {
    for fairness in [Fairness::eventual(), Fairness::Barging, Fairness::Lifo] {
        let semaphore = Semaphore::builder(1).fairness(fairness).build();
        let held = semaphore.try_acquire(1).unwrap();
        let mut asleep = Box::pin(semaphore.acquire(1));
        let mut other = Box::pin(semaphore.acquire(1));
        // The waiter that is not woken has the only handle of its waker.
        let first = if fairness == Fairness::Lifo { &mut asleep } else { &mut other };
        let waker = PanickingWaker::in_drop();
        if fairness == Fairness::Lifo {
            assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(poll(&mut other).unwrap().is_pending());
        } else {
            assert!(poll(&mut asleep).unwrap().is_pending());
            assert!(other.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let last = if fairness == Fairness::Lifo { &mut asleep } else { &mut other };
        drop(waker);
        drop(held);
        // The waiter takes what is free, and drops its old waker.
        assert!(poll(last).is_none(), "{fairness:?}: the drop panics");
        assert_eq!(semaphore.available_permits(), 1, "{fairness:?}");
        quietly(|| drop((asleep, other)));
        assert_all_back(semaphore.stats(), "dropped");
    }
}

#[test]
fn a_waker_that_panics_costs_neither_the_giver_nor_the_head_anything() {
    for fairness in [Fairness::Fifo, Fairness::eventual(), Fairness::Barging, Fairness::Lifo] {
        let semaphore = Semaphore::builder(2).fairness(fairness).build();
        let mut held = semaphore.try_acquire(2).unwrap();
        let mut waiters = [1, 1].map(|n| Box::pin(semaphore.acquire(n)));
        for waiter in &mut waiters {
            let waker = PanickingWaker::in_wake();
            assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let half = held.split(1).unwrap();
        assert!(quietly(|| drop(half)).is_none());
        assert!(quietly(|| drop(held)).is_none());
        let permits = waiters.each_mut().map(poll);
        assert!(permits.iter().all(|permit| matches!(permit, Some(Poll::Ready(Ok(_))))));
        drop(permits);
        assert_eq!(semaphore.available_permits(), 2);
    }
}

#[test]
fn a_refused_or_broken_future_runs_nothing_when_it_is_polled_again() {
    let semaphore = Semaphore::new(1);
    let runs = AtomicUsize::new(0);
    let run = || async { runs.fetch_add(1, Ordering::SeqCst) };
    let mut broken = Box::pin(semaphore.with_async(1, async { resume_unwind(Box::new("broken")) }));
    assert!(poll(&mut broken).is_none());
    assert_eq!(semaphore.available_permits(), 1, "given back while the future is still there");
    assert!(poll(&mut broken).is_none());
    let mut done = Box::pin(semaphore.with_async(1, run()));
    assert!(matches!(poll(&mut done), Some(Poll::Ready(Ok(0)))));
    assert!(poll(&mut done).is_none());
    semaphore.close();
    let mut refused = Box::pin(semaphore.with_async(1, run()));
    assert!(matches!(poll(&mut refused), Some(Poll::Ready(Err(_)))));
    assert!(poll(&mut refused).is_none());
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// A clock that panics at every reading while its flag is set.
struct Broken(Arc<AtomicUsize>);

impl Clock for Broken {
    fn now(&self) -> tidegate_core::Timestamp {
        if self.0.load(Ordering::SeqCst) > 0 {
            resume_unwind(Box::new("clock"));
        }
        tidegate_core::Timestamp::ORIGIN
    }
}

#[test]
fn a_clock_that_panics_while_a_wait_is_unwound_leaves_its_panic() {
    let is_broken = Arc::new(AtomicUsize::new(0));
    let semaphore = Semaphore::builder(1).clock(Broken(is_broken.clone())).build();
    let held = semaphore.try_acquire(1).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut wait = Box::pin(semaphore.acquire(1));
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        is_broken.store(1, Ordering::SeqCst);
        resume_unwind(Box::new("task"));
    }));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "task");
    drop(held);
    assert_eq!((semaphore.available_permits(), semaphore.stats().waiting), (1, 0));
}

#[test]
fn a_clock_that_panics_after_the_call_has_leaves_the_calls_panic() {
    let is_broken = Arc::new(AtomicUsize::new(0));
    let clock = Broken(is_broken.clone());
    let limit = AdaptiveSemaphore::builder(Aimd::new()).clock(clock).build().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = (&limit).run(|| -> Result<(), ()> {
            is_broken.store(1, Ordering::SeqCst);
            resume_unwind(Box::new("call"))
        });
    }));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "call");
    assert_eq!(limit.stats().in_flight, 0);
}

#[test]
fn a_future_whose_drop_panics_releases_the_permits() {
    struct Mine;
    impl Drop for Mine {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("a future's destructor"));
        }
    }
    let semaphore = Semaphore::new(2);
    for polls in 0..2 {
        let mine = Mine;
        let act = async move {
            let _mine = mine;
            std::future::pending::<()>().await;
        };
        let mut run = Box::pin(semaphore.with_async(2, act));
        for _ in 0..polls {
            assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(semaphore.available_permits(), 0);
        }
        assert!(catch_unwind(AssertUnwindSafe(move || drop(run))).is_err());
        assert_eq!(semaphore.available_permits(), 2);
    }
}
