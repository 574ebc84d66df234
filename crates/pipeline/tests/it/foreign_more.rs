//! Each touch of foreign code panics in turn, once or twice: the run ends, every item that was read
//! has an outcome, and nothing is left behind.
//!
//! If a destructor at the end of a function panics, the function's return value is leaked
//! (rust-lang/rust#47949). So functions that return something here first drop what may panic.

use std::{
    future::{Future, Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use test_kit::quiet_panic;
use tidegate_core::{
    Clock, Closed, Gate, Outcome, Pass, Timer, Timestamp,
    gate::{Classify, SettleBy},
};
use tidegate_pipeline::{ManualClock, OnError, Pipeline, Stopped, Summary, Wait, policy};
use tidegate_worker_pool::WorkerPool;

use crate::desk::n;

/// Panics at the touch of that number, and once more at the next if there are two charges.
#[derive(Clone)]
struct Fuse(Arc<[AtomicUsize; 2]>, Arc<AtomicUsize>);

impl Fuse {
    fn lit(touches: usize, charges: usize) -> Self {
        Self(Arc::new([AtomicUsize::new(touches), AtomicUsize::new(charges)]), Arc::default())
    }

    fn touch(&self) {
        let [touches, charges] = &*self.0;
        if std::thread::panicking() || touches.load(Ordering::SeqCst) == 0 {
            return;
        }
        if touches.fetch_sub(1, Ordering::SeqCst) == 1 {
            touches
                .store(usize::from(charges.fetch_sub(1, Ordering::SeqCst) > 1), Ordering::SeqCst);
            self.1.fetch_add(1, Ordering::SeqCst);
            quiet_panic("on purpose");
        }
    }

    fn has_gone_off(&self) -> bool {
        self.1.load(Ordering::SeqCst) > 0
    }
}

/// Calls `run` with fuses of all lengths. A panic may come out of a run only if `may_panic`.
fn at_each_touch(may_panic: bool, run: impl Fn(&Fuse) -> Result<Summary, Stopped>) {
    for charges in [1, 2] {
        let mut ends = 0;
        for touches in 1.. {
            let fuse = Fuse::lit(touches, charges);
            match catch_unwind(AssertUnwindSafe(|| run(&fuse))) {
                Ok(Ok(summary)) => assert_eq!(summary.leftover(), 0, "touch {touches}"),
                Ok(Err(stopped)) => assert!(stopped.error().is_some(), "touch {touches}"),
                Err(_) => assert!(may_panic, "touch {touches} comes out of the run"),
            }
            assert_eq!(Arc::strong_count(&fuse.1), 1, "touch {touches} leaves something behind");
            if !fuse.has_gone_off() {
                break;
            }
            ends += 1;
            assert!(ends < 2000);
        }
        assert!(ends > 3, "{ends}");
    }
}

fn ended(run: impl Future<Output = Result<Summary, Stopped>>) -> Result<Summary, Stopped> {
    let mut run = Box::pin(run);
    let end = (&mut run).wait_timeout(Duration::from_secs(60)).expect("the run ends");
    // What the run has left is dropped by its owner.
    _ = catch_unwind(AssertUnwindSafe(move || drop(run)));
    end
}

/// An iterator and a stream of items. To ask for the next item is a touch.
struct Items(std::ops::Range<u32>, Fuse);

impl Iterator for Items {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.1.touch();
        self.0.next().map(|n| Item(n, self.1.clone()))
    }
}

impl Stream for Items {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Item>> {
        Poll::Ready(self.next())
    }
}

/// An item whose clones and drops are touches, too.
struct Item(u32, Fuse);

impl Clone for Item {
    fn clone(&self) -> Self {
        self.1.touch();
        Self(self.0, self.1.clone())
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.1.touch();
    }
}

/// A future that is touched when it is polled and when it is dropped.
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

#[test]
fn a_panic_in_any_closure_iterator_item_or_sink_costs_no_other_item_its_outcome() {
    at_each_touch(false, |fuse| {
        let touch = || fuse.touch();
        let flow = Pipeline::from_iter(Items(0..4, fuse.clone()))
            .map("map", |item| {
                touch();
                item
            })
            .filter("filter", |item| {
                touch();
                item.0 != 2
            })
            .inspect("inspect", |_| touch())
            .try_map("try", |item| {
                touch();
                Ok::<_, String>(item)
            })
            .map_if(
                "map_if",
                |_| {
                    touch();
                    true
                },
                |item| {
                    touch();
                    item
                },
            )
            .flat_map("flat", |item| {
                touch();
                let items = Items(item.0..item.0 + 2, fuse.clone());
                drop(item);
                items
            })
            .on_error(OnError::Skip);
        ended(flow.for_each(|_| touch()))
    });
}

#[test]
fn a_panic_in_any_future_stream_choice_or_policy_costs_no_other_item_its_outcome() {
    at_each_touch(false, |fuse| {
        let flow = Pipeline::from_stream(Items(0..3, fuse.clone()))
            .merge("more", Items(3..5, fuse.clone()))
            .try_map_async("work", n(2), |item: Item| {
                fuse.touch();
                let result = if item.0 == 1 {
                    drop(item);
                    Err("no")
                } else {
                    Ok(item)
                };
                Touched(ready(result), fuse.clone())
            })
            .retry(policy(|attempt, _| {
                fuse.touch();
                (attempt < 2).then_some(Duration::ZERO)
            }))
            .split(
                "choose",
                |item| {
                    fuse.touch();
                    item.0 % 2 == 0
                },
                |even| even,
                |odd| odd,
            )
            .on_error(OnError::divert(|error| {
                fuse.touch();
                drop(error);
            }));
        ended(flow.run())
    });
}

/// A gate and its passes, touched by all that is done with them.
struct Door(Fuse);
struct Inside(Fuse);

impl Clone for Door {
    fn clone(&self) -> Self {
        self.0.touch();
        Self(self.0.clone())
    }
}

impl Gate for Door {
    type Pass = Inside;
    type Refused = Closed;
    type Enter = Touched<Ready<Result<Inside, Closed>>>;

    fn try_enter(self) -> Result<Inside, Closed> {
        self.0.touch();
        Ok(Inside(self.0.clone()))
    }

    fn enter(self) -> Self::Enter {
        self.0.touch();
        Touched(ready(Ok(Inside(self.0.clone()))), self.0.clone())
    }
}

impl Pass for Inside {
    type Refused = Closed;

    fn settle(self, _: Outcome) {
        self.0.touch();
    }
}

impl<R: Classify> SettleBy<R> for Inside {
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

#[test]
fn a_panic_in_any_gate_or_pass_costs_no_other_item_its_outcome() {
    at_each_touch(false, |fuse| {
        let flow =
            Pipeline::from_iter(Items(0..3, fuse.clone()))
                .gated("gated", n(2), Door(fuse.clone()), |item: Item| async move {
                    Ok::<_, String>(item)
                })
                .gate("gate", Door(fuse.clone()))
                .on_error(OnError::Skip);
        ended(flow.run())
    });
}

#[test]
fn a_panic_in_any_state_or_work_of_a_pool_costs_no_other_item_its_outcome() {
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    at_each_touch(false, |fuse| {
        let [state, work, more] = [fuse.clone(), fuse.clone(), fuse.clone()];
        let flow = Pipeline::from_iter(Items(0..3, fuse.clone()))
            .map_init(
                &pool,
                "state",
                n(1),
                move || {
                    state.touch();
                    Item(0, state.clone())
                },
                move |_state, item: Item| {
                    work.touch();
                    item
                },
            )
            .and_map("more", move |item| {
                more.touch();
                item
            })
            .on_error(OnError::Skip);
        let end = ended(flow.run());
        // Waits until the workers of the run have left.
        pool.idle().wait();
        end
    });
}

/// A timer that is touched whenever it is used.
struct Brittle(ManualClock, Fuse);

impl Clone for Brittle {
    fn clone(&self) -> Self {
        self.1.touch();
        Self(self.0.clone(), self.1.clone())
    }
}

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

#[test]
fn a_timer_that_panics_anywhere_ends_in_an_error_or_at_the_caller_of_the_run() {
    at_each_touch(true, |fuse| {
        let flow = Pipeline::from_iter(Items(0..3, fuse.clone()))
            .timer(Brittle(ManualClock::new(), fuse.clone()))
            .map_async("work", n(2), |item: Item| ready(item))
            .hedge(Duration::from_secs(1))
            .timeout(Duration::from_secs(1))
            .batch("batch", n(2), Duration::from_secs(1))
            .on_error(OnError::Skip);
        ended(flow.run())
    });
}
