//! Each touch of foreign code panics in turn, once or twice: the driver or the next leader goes on,
//! no caller hangs, and nothing is left behind.
//!
//! If a destructor at the end of a function panics, the function's return value is leaked
//! (rust-lang/rust#47949). So functions that return something here first drop what may panic.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use test_kit::Task;
use tidegate_batch_processor::{
    Async, Backoff, Batcher, Blocking, Clock, Handler, IntoBatches, ManualClock, Timer,
};
use tidegate_core::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

/// Panics at the touch of that number, and once more at the next if there are two charges.
#[derive(Clone)]
struct Fuse(Arc<[AtomicUsize; 3]>);

impl Fuse {
    fn lit(touches: usize, charges: usize) -> Self {
        Self(Arc::new([touches, charges, 0].map(AtomicUsize::new)))
    }

    fn touch(&self) {
        let [touches, charges, gone_off] = &*self.0;
        if std::thread::panicking() || touches.load(Ordering::SeqCst) == 0 {
            return;
        }
        if touches.fetch_sub(1, Ordering::SeqCst) == 1 {
            touches
                .store(usize::from(charges.fetch_sub(1, Ordering::SeqCst) > 1), Ordering::SeqCst);
            gone_off.fetch_add(1, Ordering::SeqCst);
            resume_unwind(Box::new("on purpose"));
        }
    }

    fn put_out(&self) {
        self.0[0].store(0, Ordering::SeqCst);
    }

    fn has_gone_off(&self) -> bool {
        self.0[2].load(Ordering::SeqCst) > 0
    }
}

fn at_each_touch(act: impl Fn(&Fuse)) {
    for charges in [1, 2] {
        for touches in 1.. {
            let fuse = Fuse::lit(touches, charges);
            act(&fuse);
            assert_eq!(Arc::strong_count(&fuse.0), 1, "touch {touches} leaves something behind");
            if !fuse.has_gone_off() {
                assert!(touches > 3);
                break;
            }
            assert!(touches < 2000);
        }
    }
}

fn panics<R>(act: impl FnOnce() -> R) -> Result<R, ()> {
    catch_unwind(AssertUnwindSafe(act)).map_err(drop)
}

/// An item, a key and a result at once: touched by whatever is done with it.
struct Touchy(u32, Fuse);

impl Clone for Touchy {
    fn clone(&self) -> Self {
        self.1.touch();
        Self(self.0, self.1.clone())
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Touchy {}

impl PartialOrd for Touchy {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Touchy {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.1.touch();
        self.0.cmp(&other.0)
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.1.touch();
    }
}

/// A timer that is touched whenever it is used.
#[derive(Clone)]
struct Brittle(ManualClock, Fuse);

impl Clock for Brittle {
    fn now(&self) -> Timestamp {
        self.1.touch();
        self.0.now()
    }
}

impl Timer for Brittle {
    type Sleep = Touched<<ManualClock as Timer>::Sleep>;

    fn sleep_until(&self, time: Timestamp) -> Self::Sleep {
        self.1.touch();
        Touched(self.0.sleep_until(time), self.1.clone())
    }
}

struct Touched<F>(F, Fuse);

impl<F: Future + Unpin> Future for Touched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.touch();
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<F> Drop for Touched<F> {
    fn drop(&mut self) {
        self.1.touch();
    }
}

/// A handler that is touched when a run starts, at each poll and the drop of the run, and when it
/// is asked about an error.
struct Hand<F>(F, Fuse);

impl<F: FnMut(Vec<Touchy>) -> Result<Vec<Touchy>, u32>> Handler<Touchy> for Hand<F> {
    type Output = Touchy;
    type Error = u32;
    type Run = Touched<std::future::Ready<Result<Vec<Touchy>, u32>>>;

    fn start(&mut self, items: Vec<Touchy>) -> Self::Run {
        self.1.touch();
        Touched(std::future::ready((self.0)(items)), self.1.clone())
    }

    fn is_transient(&self, _: &u32) -> bool {
        self.1.touch();
        true
    }
}

/// A handler that fails at its first call.
fn flaky(fuse: &Fuse) -> Hand<impl FnMut(Vec<Touchy>) -> Result<Vec<Touchy>, u32> + use<>> {
    let mut calls = 0;
    let function = move |items| {
        calls += 1;
        if calls == 1 {
            drop::<Vec<Touchy>>(items);
            return Err(7);
        }
        Ok(items)
    };
    Hand(function, fuse.clone())
}

#[test]
fn a_panic_at_any_touch_of_items_weights_and_handlers_keeps_the_driver() {
    at_each_touch(|fuse| {
        let weigh = fuse.clone();
        let builder = Batcher::builder()
            .max_items(2)
            .max_weight(9, move |_: &Touchy| {
                weigh.touch();
                1
            })
            .clock(ManualClock::new())
            .retry(Backoff::fixed(Duration::from_nanos(1)).jitter(0.0).max_attempts(3));
        let clock = ManualClock::new();
        let handler = flaky(fuse).dedupe_by_key({
            let fuse = fuse.clone();
            move |item: &Touchy| {
                fuse.touch();
                item.0
            }
        });
        let (batcher, driver) = builder.clock(clock.clone()).build_with(handler).unwrap();
        let mut driver = Task::new(driver);
        let mut replies = Vec::new();
        for n in [1, 1, 2, 3] {
            let item = Touchy(n, fuse.clone());
            if let Ok(Ok(reply)) = panics(|| batcher.try_submit(item)) {
                replies.push(Task::new(reply));
            }
        }
        for _ in 0..20 {
            assert!(panics(|| driver.run()).expect("the driver lives").is_pending());
            clock.advance(SECOND);
        }
        for mut reply in replies {
            if let Ok(reply) = panics(|| reply.run()) {
                assert!(reply.is_ready(), "each that was let in has its answer");
                _ = panics(move || drop(reply));
            }
        }
        fuse.put_out();
        let [one, two] = [8, 9].map(|n| batcher.try_submit(Touchy(n, fuse.clone())));
        assert!(driver.run().is_pending());
        for (reply, n) in [(one, 8), (two, 9)] {
            let Poll::Ready(Ok(result)) = Task::new(reply.unwrap_or_else(|_| unreachable!())).run()
            else {
                panic!("the driver goes on")
            };
            assert_eq!(result.0, n);
        }
        assert_eq!(batcher.stats().waiting, 0);
    });
}

#[test]
fn a_panic_at_any_touch_of_keys_keeps_the_driver_and_all_other_keys() {
    at_each_touch(|fuse| {
        let handler = |items: Vec<(Touchy, u32)>| {
            let results: Vec<_> = items.iter().map(|item| item.1).collect();
            drop(items);
            Ok::<_, ()>(results)
        };
        let builder = Batcher::builder().max_items(2).keyed();
        let (batcher, driver) = builder.build(handler).unwrap();
        let mut driver = Task::new(driver);
        let mut replies = Vec::new();
        for n in [1, 2, 1, 2, 3] {
            let item = (Touchy(n, fuse.clone()), n);
            if let Ok(Ok(reply)) = panics(|| batcher.try_submit(item)) {
                replies.push((n, Task::new(reply)));
            }
        }
        assert!(panics(|| driver.run()).expect("the driver lives").is_pending());
        fuse.put_out();
        let mut last = Task::new(batcher.flush());
        _ = last.run();
        assert!(driver.run().is_pending());
        assert!(last.run().is_ready());
        for (n, mut reply) in replies {
            let Poll::Ready(answer) = reply.run() else { panic!("no answer for {n}") };
            assert!(answer.is_err() || answer.is_ok_and(|m| m == n));
        }
        assert_eq!(batcher.stats().waiting, 0);
    });
}

#[test]
fn a_clock_that_panics_anywhere_leaves_nobody_without_an_answer() {
    at_each_touch(|fuse| {
        let clock = ManualClock::new();
        let echo = Blocking::new(|items: Vec<u32>| Ok::<_, ()>(items));
        let builder = Batcher::builder().max_items(2).max_delay(SECOND);
        let builder = builder.clock(Brittle(clock.clone(), fuse.clone()));
        let (batcher, driver) = builder.build_with(echo).unwrap();
        let mut driver = Some(Task::new(driver));
        let mut replies = Vec::new();
        for n in 0..3 {
            if let Ok(Ok(reply)) = panics(|| batcher.try_submit(n)) {
                replies.push(Task::new(reply));
            }
            for _ in 0..3 {
                let mut run = || driver.as_mut().is_some_and(|driver| driver.run().is_ready());
                if panics(&mut run).is_err() {
                    // Drops the driver, as an executor drops a future that has panicked.
                    _ = panics(|| driver = None);
                }
                _ = panics(|| clock.advance(SECOND));
            }
        }
        _ = panics(|| driver = None);
        for mut reply in replies {
            assert!(reply.run().is_ready(), "an answer, or that there is no driver");
        }
    });
}

#[test]
fn a_clock_that_panics_anywhere_passes_the_lead_on() {
    at_each_touch(|fuse| {
        let clock = ManualClock::new();
        let echo = Async::new(|items: Vec<u32>| async { Ok::<_, ()>(items) });
        let builder = Batcher::builder().max_items(9).max_delay(SECOND);
        let led = builder.clock(Brittle(clock.clone(), fuse.clone())).build_leader(echo).unwrap();
        let mut leads: Vec<_> = (0..3).map(|n| Some(Task::new(led.submit(n)))).collect();
        let mut left = 0;
        for _ in 0..12 {
            for lead in &mut leads {
                let mut run = || lead.as_mut().is_some_and(|lead| lead.run().is_ready());
                if panics(&mut run).unwrap_or_else(|()| {
                    left += 1;
                    true
                }) {
                    _ = panics(|| *lead = None);
                }
            }
            _ = panics(|| clock.advance(SECOND));
        }
        assert!(leads.iter().all(Option::is_none), "each is answered or has panicked");
        assert!(left <= 2);
        fuse.put_out();
        let mut next = Task::new(led.submit(7));
        for _ in 0..3 {
            if let Poll::Ready(answer) = next.run() {
                assert_eq!(answer.ok(), Some(7));
                return;
            }
            clock.advance(SECOND);
        }
        panic!("no caller leads");
    });
}

/// A stream of numbers. Each poll of it is a touch.
struct Items(std::ops::Range<u32>, Fuse);

impl Stream for Items {
    type Item = u32;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
        self.1.touch();
        Poll::Ready(self.0.next())
    }
}

#[test]
fn a_stream_or_a_clock_that_panics_loses_no_item_of_a_batch() {
    at_each_touch(|fuse| {
        let clock = Brittle(ManualClock::new(), fuse.clone());
        let settings = Batcher::builder().max_items(3).max_delay(SECOND).clock(clock);
        let mut batches = Box::pin(Items(0..7, fuse.clone()).batches(settings).unwrap());
        let mut cx = Context::from_waker(Waker::noop());
        let mut items = Vec::new();
        for _ in 0..20 {
            match panics(|| batches.as_mut().poll_next(&mut cx)) {
                Ok(Poll::Ready(Some(batch))) => items.extend(batch),
                Ok(Poll::Ready(None)) => break,
                Ok(Poll::Pending) | Err(()) => {}
            }
        }
        assert_eq!(items, [0, 1, 2, 3, 4, 5, 6]);
    });
}
