//! The batch processor: the twelve laws for its room, and races of its producers, timer, flush,
//! close and driver.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom_tests::{laws::Subject, laws_of_waiting, model, poll_quietly, thread};
use tidegate_batch_processor::{
    Async, BatchError, Batcher, Blocking, Driver, DriverDropped, ManualClock, OnFull, Policy,
    PushError, SubmitError, Wait,
};
use tidegate_core::{
    Closed, Event,
    lock::Lock,
    primitive::atomic::{AtomicBool, Ordering},
};

type Echo = fn(Vec<u32>) -> Result<Vec<u32>, Infallible>;
type Batches = Batcher<u32, u32, Infallible, ManualClock>;
type EchoDriver = Driver<u32, Blocking<Echo>, ManualClock>;

/// A batcher that returns the items; a batch is due when it is full, at a flush or the close.
fn echo(max_items: usize) -> (Batches, EchoDriver) {
    let handler: Echo = Ok;
    let builder = Batcher::builder().max_items(max_items).capacity(max_items);
    builder.max_delay(Duration::MAX).clock(ManualClock::new()).build(handler).unwrap()
}

fn drive(driver: EchoDriver) -> thread::JoinHandle<()> {
    thread::spawn(move || driver.wait())
}

/// Closes, and joins the driver, so that the caller drops its handle only after that.
///
/// LOOM: the threads must be joined before the last reference goes. `Arc` is not loom's, so loom
/// does not see that the other threads no longer use what is dropped.
fn end(batches: &Batches, driver: thread::JoinHandle<()>) {
    batches.close();
    driver.join().unwrap();
}

laws_of_waiting!(room: crate::Room);

/// The places that a batcher's pushers wait for. A batch has one item, so it frees one place.
struct Room {
    batches: Batches,
    turns: Lock<Turns>,
}

/// How many polls the driver is owed, and the driver while no thread polls it.
struct Turns {
    owed: usize,
    driver: Option<Pin<Box<EchoDriver>>>,
}

const PLACES: u32 = 4;

impl Subject for Room {
    const FIFO: bool = false;

    /// All places are taken.
    fn new() -> Self {
        let handler: Echo = Ok;
        let builder = Batcher::builder().max_items(1).capacity(PLACES as usize);
        let (batches, driver) = builder.clock(ManualClock::new()).build(handler).unwrap();
        for item in 0..PLACES {
            batches.try_push(item).unwrap();
        }
        Self { batches, turns: Lock::new(Turns { owed: 0, driver: Some(Box::pin(driver)) }) }
    }

    /// The thread that has the driver also makes the polls that others owe: a waker may call this
    /// from within a poll.
    fn put(&self) {
        self.turns.with(|turns| turns.owed += 1);
        while let Some(mut driver) = self.turns.with(|turns| {
            let driver = turns.driver.take_if(|_| turns.owed > 0);
            turns.owed -= usize::from(driver.is_some());
            driver
        }) {
            let _ = driver.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.turns.with(|turns| turns.driver = Some(driver));
        }
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        Box::pin(async { self.batches.push(0).await.map_err(|_| Closed) })
    }

    fn close(&self) {
        self.batches.close();
    }

    fn units(&self) -> usize {
        PLACES as usize - self.batches.stats().waiting
    }
}

/// The item that fills the batch races the batch's timer: no item is handed over twice.
#[test]
fn the_last_item_against_the_timer() {
    model(|| {
        const DELAY: Duration = Duration::from_millis(1);
        let clock = ManualClock::new();
        let handed = Arc::new(Mutex::new(Vec::new()));
        let (batches, driver) = {
            let handed = handed.clone();
            let builder = Batcher::builder().max_items(2).max_delay(DELAY).clock(clock.clone());
            let log = move |items: Vec<u32>| {
                handed.lock().unwrap().push(items.clone());
                Ok::<_, Infallible>(items)
            };
            builder.build(log).unwrap()
        };
        let first = batches.try_submit(1).unwrap();
        let driver = thread::spawn(move || driver.wait());
        let last = {
            let batches = batches.clone();
            thread::spawn(move || batches.try_push(2).unwrap())
        };
        clock.advance(DELAY);
        // The batch is due by the timer or by the last item, whichever comes first.
        assert_eq!(first.wait().unwrap(), 1);
        last.join().unwrap();
        end(&batches, driver);
        let handed = handed.lock().unwrap();
        assert!(*handed == [vec![1, 2]] || *handed == [vec![1], vec![2]], "{handed:?}");
    });
}

/// A producer's item starts the driver's timer, while the clock turns.
#[test]
fn the_first_item_against_the_timer() {
    model(|| {
        const DELAY: Duration = Duration::from_millis(1);
        let clock = ManualClock::new();
        let builder = Batcher::builder().max_delay(DELAY).clock(clock.clone());
        let (batches, driver) = builder.build(Ok::<Vec<u32>, Infallible>).unwrap();
        let driver = thread::spawn(move || driver.wait());
        let reply = batches.try_submit(1).unwrap();
        clock.advance(DELAY);
        assert_eq!(reply.wait().unwrap(), 1);
        end(&batches, driver);
    });
}

/// Whether the item comes before the change or after it, the batch of both items is full.
#[test]
fn a_smaller_size_against_a_push() {
    model(|| {
        let (batches, driver) = echo(3);
        let driver = drive(driver);
        let first = batches.try_submit(1).unwrap();
        let pusher = {
            let batches = batches.clone();
            thread::spawn(move || batches.try_push(2).unwrap())
        };
        batches.set_max_items(2).unwrap();
        assert_eq!(first.wait().unwrap(), 1);
        pusher.join().unwrap();
        assert_eq!(batches.flush().wait(), Ok(()));
        let stats = batches.stats();
        assert_eq!((stats.batches, stats.by_items, stats.done), (1, 1, 2));
        end(&batches, driver);
    });
}

/// A batch without a deadline gets one, which is over already, or will be when the clock turns.
#[test]
fn a_shorter_delay_against_the_timer() {
    model(|| {
        const DELAY: Duration = Duration::from_millis(1);
        let clock = ManualClock::new();
        let builder = Batcher::builder().max_delay(9 * DELAY).clock(clock.clone());
        let (batches, driver) = builder.build(Ok::<Vec<u32>, Infallible>).unwrap();
        let reply = batches.try_submit(1).unwrap();
        let driver = thread::spawn(move || driver.wait());
        let turner = thread::spawn(move || clock.advance(DELAY));
        batches.set_max_delay(DELAY);
        assert_eq!(reply.wait().unwrap(), 1);
        turner.join().unwrap();
        end(&batches, driver);
    });
}

/// The batch is handed over by the old deadline, or goes on to the new one.
#[test]
fn a_longer_delay_against_the_timer() {
    model(|| {
        const DELAY: Duration = Duration::from_millis(1);
        let clock = ManualClock::new();
        let builder = Batcher::builder().max_delay(DELAY).clock(clock.clone());
        let (batches, driver) = builder.build(Ok::<Vec<u32>, Infallible>).unwrap();
        let reply = batches.try_submit(1).unwrap();
        let driver = thread::spawn(move || driver.wait());
        clock.advance(DELAY);
        batches.set_max_delay(2 * DELAY);
        clock.advance(DELAY);
        assert_eq!(reply.wait().unwrap(), 1);
        assert_eq!(batches.stats().by_delay, 1);
        end(&batches, driver);
    });
}

/// There is no driver: only the change makes room.
#[test]
fn room_that_is_added_against_a_pusher_that_waits_for_it() {
    model(|| {
        let (batches, driver) = echo(1);
        batches.try_push(1).unwrap();
        let pusher = {
            let batches = batches.clone();
            thread::spawn(move || batches.push(2).wait().unwrap())
        };
        batches.set_capacity(2).unwrap();
        pusher.join().unwrap();
        assert_eq!(batches.stats().waiting, 2);
        drop(driver);
    });
}

#[test]
fn a_flush_against_a_push() {
    model(|| {
        let (batches, driver) = echo(3);
        let driver = drive(driver);
        let pusher = {
            let batches = batches.clone();
            thread::spawn(move || batches.try_push(1).unwrap())
        };
        let mut before = batches.try_submit(2).unwrap();
        assert_eq!(batches.flush().wait(), Ok(()));
        assert!(matches!(poll_quietly(&mut before), Poll::Ready(Ok(2))));
        pusher.join().unwrap();
        assert_eq!(batches.flush().wait(), Ok(()));
        assert_eq!(batches.stats().done, 2);
        end(&batches, driver);
    });
}

#[test]
fn a_shutdown_against_a_push() {
    model(|| {
        let (batches, driver) = echo(2);
        let driver = drive(driver);
        let pusher = {
            let batches = batches.clone();
            thread::spawn(move || batches.submit(1).wait())
        };
        batches.shutdown().wait().unwrap();
        let done = batches.stats().done;
        match pusher.join().unwrap() {
            Ok(result) => assert_eq!((result, done), (1, 1)),
            Err(error) => assert_eq!((error.into_inner(), done), (Some(1), 0)),
        }
        end(&batches, driver);
    });
}

/// Lets each of two producers submit an item, while the driver runs; returns the number of batches.
fn two_producers(max_items: usize) -> u64 {
    let (batches, driver) = echo(max_items);
    let producer = {
        let batches = batches.clone();
        thread::spawn(move || assert_eq!(batches.submit(1).wait().unwrap(), 1))
    };
    let driver = drive(driver);
    assert_eq!(batches.submit(2).wait().unwrap(), 2);
    producer.join().unwrap();
    end(&batches, driver);
    batches.stats().batches
}

/// An item that waits for room is let in and gets its result, or comes back.
#[test]
fn an_item_that_is_enqueued_against_the_close() {
    model(|| {
        let (batches, driver) = echo(1);
        batches.try_push(1).unwrap();
        let producer = {
            let batches = batches.clone();
            thread::spawn(move || match batches.enqueue(2).wait() {
                Ok(reply) => assert_eq!(reply.wait().unwrap(), 2),
                Err(refused) => assert_eq!(refused, PushError::Closed(2)),
            })
        };
        let driver = drive(driver);
        batches.close();
        producer.join().unwrap();
        driver.join().unwrap();
        let stats = batches.stats();
        assert_eq!((stats.done, stats.waiting), (stats.pushed, 0));
    });
}

/// The oldest item is dropped, or handed over: the waiter for its result is told either way.
#[test]
fn a_dropped_item_against_its_waiter_and_the_driver() {
    model(|| {
        let handler: Echo = Ok;
        let builder = Batcher::builder().max_items(2).capacity(2).on_full(OnFull::DropOldest);
        let (batches, driver) =
            builder.max_delay(Duration::MAX).clock(ManualClock::new()).build(handler).unwrap();
        let [oldest, other] = [1, 2].map(|item| batches.try_submit(item).unwrap());
        let waiter = thread::spawn(move || match oldest.wait() {
            Ok(item) => assert_eq!(item, 1),
            Err(error) => assert!(matches!(error, BatchError::Dropped)),
        });
        let driver = drive(driver);
        batches.try_push(3).unwrap();
        waiter.join().unwrap();
        assert_eq!(other.wait().unwrap(), 2);
        end(&batches, driver);
        let stats = batches.stats();
        assert_eq!(stats.done + stats.dropped, 3);
    });
}

/// Room for one: producers wait for room and results, and wake each other through the driver.
#[test]
fn two_producers_and_the_driver() {
    model(|| assert_eq!(two_producers(1), 2));
}

/// One batch: the first producer waits for the other, and the driver for both.
#[test]
fn two_producers_fill_a_batch() {
    model(|| assert_eq!(two_producers(2), 1));
}

#[test]
fn a_dropped_driver_against_a_submission() {
    model(|| {
        let (batches, driver) = echo(1);
        let dropper = thread::spawn(move || drop(driver));
        match batches.submit(1).wait().unwrap_err() {
            SubmitError::Refused(error) => assert_eq!(error, PushError::DriverDropped(1)),
            SubmitError::Failed(error) => assert!(matches!(error, BatchError::DriverDropped)),
            _ => unreachable!("there are no others"),
        }
        dropper.join().unwrap();
    });
}

/// One item is in the handler, one waits, one has no room, and a flush waits: none of them hangs.
#[test]
fn a_dropped_driver_against_everybody() {
    model(|| {
        let hang = |_: Vec<u32>| pending::<Result<Vec<()>, Infallible>>();
        let builder = Batcher::builder().max_items(1).capacity(1).clock(ManualClock::new());
        let (batches, driver) = builder.build_async(hang).unwrap();
        let mut driver = Box::pin(driver);
        let running = batches.try_submit(1).unwrap();
        assert!(poll_quietly(&mut driver).is_pending());
        let waiting = batches.try_submit(2).unwrap();
        let outside = {
            let batches = batches.clone();
            thread::spawn(move || batches.push(3).wait())
        };
        let dropper = thread::spawn(move || drop(driver));
        assert_eq!(batches.flush().wait(), Err(DriverDropped));
        assert!(matches!(running.wait(), Err(BatchError::DriverDropped)));
        assert!(matches!(waiting.wait(), Err(BatchError::DriverDropped)));
        assert_eq!(outside.join().unwrap(), Err(PushError::DriverDropped(3)));
        dropper.join().unwrap();
        let unprocessed = batches.shutdown().wait().unwrap_err();
        assert_eq!((unprocessed.interrupted(), unprocessed.into_items()), (1, vec![2]));
    });
}

/// A waiter is dropped as its result comes: each item is processed once, and the others get theirs.
#[test]
fn a_dropped_waiter_against_its_result() {
    model(|| {
        let (batches, driver) = echo(2);
        let [mut dropped, kept] = [1, 2].map(|item| batches.try_submit(item).unwrap());
        assert!(poll_quietly(&mut dropped).is_pending());
        let driver = drive(driver);
        let dropper = thread::spawn(move || drop(dropped));
        assert_eq!(kept.wait().unwrap(), 2);
        dropper.join().unwrap();
        assert_eq!(batches.stats().done, 2);
        end(&batches, driver);
    });
}

/// The last two handles are dropped at once: one of them closes, and the driver ends.
#[test]
fn the_last_handle_closes() {
    model(|| {
        let (batches, driver) = echo(2);
        let other = {
            let batches = batches.clone();
            thread::spawn(move || batches.try_push(1).unwrap())
        };
        drop(batches);
        let mut driver = Box::pin(driver);
        driver.as_mut().wait();
        other.join().unwrap();
    });
}

#[test]
fn a_dropped_leader_against_a_follower() {
    model(|| {
        let builder = Batcher::builder().policy(Policy::Immediate);
        let led = Arc::new(builder.build_leader(Blocking::new(Ok::<Vec<u8>, ()>)).unwrap());
        let quitter = {
            let led = led.clone();
            thread::spawn(move || {
                let _ = poll_quietly(&mut led.submit(1));
            })
        };
        assert_eq!(led.submit(2).wait().unwrap(), 2);
        quitter.join().unwrap();
    });
}

#[test]
fn two_callers_lead_each_other() {
    model(|| {
        let builder = Batcher::builder().policy(Policy::Immediate).max_items(1);
        let led = Arc::new(builder.build_leader(Blocking::new(Ok::<Vec<u8>, ()>)).unwrap());
        let other = {
            let led = led.clone();
            thread::spawn(move || led.submit(1).wait().unwrap())
        };
        assert_eq!(led.submit(2).wait().unwrap(), 2);
        assert_eq!(other.join().unwrap(), 1);
    });
}

/// Lets the handler's calls end when another thread opens it.
#[derive(Default)]
struct Gate(AtomicBool, Event);

impl Gate {
    fn open(&self) {
        self.0.store(true, Ordering::Release);
        self.1.notify_all();
    }

    async fn pass(self: Arc<Self>, items: Vec<u8>) -> Result<Vec<u8>, ()> {
        self.1.wait_until(|| self.0.load(Ordering::Acquire).then_some(())).await;
        Ok(items)
    }
}

/// The leader is kept and not polled: the next caller takes the lead, and hands it on.
#[test]
fn a_leader_that_is_not_polled_loses_the_lead() {
    model(|| {
        let gate = Arc::new(Gate::default());
        let handler = {
            let gate = gate.clone();
            Async::new(move |items| gate.clone().pass(items))
        };
        let builder = Batcher::builder().policy(Policy::Immediate).max_items(1);
        let led = Arc::new(builder.clock(ManualClock::new()).build_leader(handler).unwrap());
        let mut kept = led.submit(1);
        assert!(poll_quietly(&mut kept).is_pending());
        let other = {
            let led = led.clone();
            thread::spawn(move || led.submit(2).wait().unwrap())
        };
        gate.open();
        // LOOM: another caller's poll, in place of the sleep after which a waiter checks again.
        drop(poll_quietly(&mut led.submit(3)));
        assert_eq!(other.join().unwrap(), 2);
        assert_eq!(kept.wait().unwrap(), 1);
    });
}
