//! Foreign code that panics where no wait is in progress: the object that called it is as it was
//! before, or has done what it was called for.

use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate_core::{
    CachedClock, CancelToken, Clock, Closed, Gate, ManualClock, Outcome, Pass, Queue, RwShards,
    Shards, Timer, Timestamp, Wait,
    future_slots::{FutureSlots, WakerCell},
    gate::{Classify, SettleBy, TryEnter},
    time::DueWatch,
    unwind,
};

fn panics<R>(act: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

fn go_off() -> ! {
    resume_unwind(Box::new("on purpose"))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Panics when it is dropped, and counts its drops.
struct Mine(Rc<Cell<u32>>);

impl Mine {
    fn lay() -> (Self, Rc<Cell<u32>>) {
        let drops = Rc::new(Cell::new(0));
        (Self(drops.clone()), drops)
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        go_off();
    }
}

/// A clock that panics while it is armed.
#[derive(Default)]
struct Fragile {
    clock: ManualClock,
    is_armed: AtomicBool,
}

impl Fragile {
    fn arm(&self, is_armed: bool) {
        self.is_armed.store(is_armed, Ordering::Relaxed);
    }

    fn touch(&self) {
        if self.is_armed.load(Ordering::Relaxed) {
            go_off();
        }
    }
}

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        self.touch();
        self.clock.now()
    }
}

impl Timer for Fragile {
    type Sleep = <ManualClock as Timer>::Sleep;

    fn sleep_until(&self, time: Timestamp) -> Self::Sleep {
        self.touch();
        self.clock.sleep_until(time)
    }
}

#[test]
fn values_are_dropped_each_on_its_own_whatever_their_destructors_do() {
    let drops = Rc::new(Cell::new(0));
    unwind::drop_each((0..5).map(|_| Mine(drops.clone())));
    assert_eq!(drops.get(), 5);
    assert_eq!(unwind::attempt(|| -> u32 { go_off() }), None);
    // A payload whose drop panics: that panic ends there, too.
    struct Payload(u32);
    impl Drop for Payload {
        fn drop(&mut self) {
            if let Some(rest) = self.0.checked_sub(1) {
                panic_any(Payload(rest));
            }
        }
    }
    unwind::contain(|| panic_any(Payload(1)));
    unwind::bury(Box::new(Payload(1)));
}

#[test]
fn an_iterator_that_panics_between_two_values_keeps_none_from_being_dropped() {
    let drops = Rc::new(Cell::new(0));
    unwind::drop_each((0..5).map(|n| if n == 2 { go_off() } else { Mine(drops.clone()) }));
    assert_eq!(drops.get(), 4);
}

#[test]
fn a_timer_that_panics_leaves_no_child_and_the_parent_as_it_was() {
    let (timer, token) = (Fragile::default(), CancelToken::new());
    timer.arm(true);
    assert!(panics(|| token.child_with_timeout(&timer, Duration::from_secs(1))));
    assert!(panics(|| token.child_with_deadline(&timer, Timestamp::ORIGIN)));
    timer.arm(false);
    assert!(!token.is_cancelled());
    let child = token.child_with_timeout(&timer, Duration::from_secs(1));
    token.cancel();
    assert!(child.is_cancelled());
}

#[test]
fn a_cached_clock_shows_what_it_showed_when_the_clock_behind_it_panics() {
    let clock = CachedClock::new(Fragile::default());
    clock.inner().clock.advance(Duration::from_secs(1));
    let shown = clock.refresh();
    clock.inner().arm(true);
    assert!(panics(|| clock.refresh()));
    assert!(panics(|| clock.fresh_now()));
    let mut keeper = pin!(clock.keep_fresh(Duration::from_secs(1)));
    assert!(panics(|| poll(keeper.as_mut())));
    assert_eq!(clock.now(), shown);
    clock.inner().arm(false);
    clock.inner().clock.advance(Duration::from_secs(1));
    assert_eq!(clock.refresh(), shown + Duration::from_secs(1));
}

#[test]
fn a_look_whose_clock_panics_is_made_again() {
    let mut watch = DueWatch::new(Timestamp::ORIGIN, Duration::from_nanos(100));
    assert!(panics(|| watch.is_due(|| go_off())));
    assert!(panics(|| (0..1000).for_each(|_| _ = watch.is_due(|| go_off()))));
    let due = (1..1000).find(|step| watch.is_due(|| Timestamp::from_nanos(100 * step)));
    assert!(due.is_some_and(|step| step <= 2), "{due:?}");
}

#[test]
fn shards_whose_making_panics_drop_what_was_made() {
    let made = Arc::new(());
    let make = |index| if index == 3 { go_off() } else { made.clone() };
    assert!(panics(|| Shards::new(NonZeroUsize::new(8).unwrap(), make)));
    let make = |index| if index == 3 { go_off() } else { (made.clone(), ()) };
    assert!(panics(|| RwShards::new(NonZeroUsize::new(8).unwrap(), make)));
    assert_eq!(Arc::strong_count(&made), 1);
}

#[test]
fn a_slot_is_used_again_past_a_future_that_panics_in_a_poll_and_in_its_drop() {
    let mut slots = FutureSlots::new(Arc::new(WakerCell::new()));
    let (mine, drops) = Mine::lay();
    let slot = slots.start(
        "first",
        poll_fn(move |_| -> Poll<()> {
            let _ = &mine;
            go_off()
        }),
    );
    assert!(panics(|| slots.poll(slot)));
    assert!(panics(|| slots.poll_with(slot, &mut Context::from_waker(Waker::noop()))));
    assert!(panics(|| slots.drop_future(slot)));
    assert_eq!((slots.poll(slot), slots.free(slot)), (None, Some("first")));
    assert_eq!((drops.get(), slots.in_flight()), (1, 0));
}

#[test]
fn a_fallback_and_a_gate_that_panic_hold_nothing() {
    struct Door<'a>(&'a Cell<i32>, bool);
    struct Inside<'a>(&'a Cell<i32>);
    impl<'a> Gate for &'a Door<'a> {
        type Pass = Inside<'a>;
        type Refused = Closed;
        type Enter = TryEnter<Self>;

        fn try_enter(self) -> Result<Inside<'a>, Closed> {
            if self.1 {
                go_off();
            }
            if self.0.get() > 0 {
                return Err(Closed);
            }
            self.0.set(self.0.get() + 1);
            Ok(Inside(self.0))
        }

        fn enter(self) -> Self::Enter {
            TryEnter::new(self)
        }
    }
    impl Pass for Inside<'_> {
        type Refused = Closed;

        fn settle(self, _: Outcome) {
            self.0.set(self.0.get() - 1);
        }
    }
    impl<R: Classify> SettleBy<R> for Inside<'_> {
        fn outcome(&self, result: &R) -> Outcome {
            result.outcome()
        }
    }
    impl Drop for Inside<'_> {
        fn drop(&mut self) {}
    }
    let (inside, elsewhere) = (Cell::new(0), Cell::new(0));
    let (door, other, broken) =
        (Door(&inside, false), Door(&elsewhere, false), Door(&inside, true));
    // First the act panics, then the fallback.
    assert!(panics(|| (&door).run_or_else(|| go_off(), |_| ())));
    assert_eq!(inside.get(), 0);
    let pass = (&door).try_enter().unwrap();
    assert!(panics(|| (&door).run_or_else(|| (), |_| go_off())));
    pass.settle(Outcome::Ignored);
    assert_eq!(inside.get(), 0);
    // A gate that panics when it is entered, alone and behind another.
    let mut enter = pin!((&broken).enter());
    assert!(panics(|| poll(enter.as_mut())));
    assert!(panics(|| (&other, &broken).try_enter().is_ok()));
    let mut row = Box::pin((&other, &broken).enter());
    assert!(panics(move || poll(row.as_mut()).is_ready()));
    assert!(panics(|| (&broken, &other).run(|| ())));
    assert_eq!(elsewhere.get(), 0, "the pass before it is given back");
}

#[test]
fn a_future_that_panics_when_it_is_given_up_is_gone() {
    let clock = ManualClock::new();
    let token = CancelToken::new();
    let (mine, drops) = Mine::lay();
    let future = async move {
        let _mine = mine;
        pending::<()>().await;
    };
    let mut wait = Box::pin(future.or_cancelled(&token));
    assert!(poll(wait.as_mut()).is_pending());
    token.cancel();
    assert!(panics(|| poll(wait.as_mut())));
    assert_eq!(drops.get(), 1);
    drop(wait);
    let (mine, drops) = Mine::lay();
    let future = async move {
        let _mine = mine;
        pending::<()>().await;
    };
    let mut wait = Box::pin(future.or_timeout(&clock, Duration::from_secs(1)));
    assert!(poll(wait.as_mut()).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(panics(|| poll(wait.as_mut())));
    assert_eq!(drops.get(), 1);
    drop(wait);
    // A panic in the future's poll goes on to the caller, and leaves the clock as it was.
    let broken = poll_fn(|_| -> Poll<()> { go_off() });
    let mut wait = pin!(broken.or_timeout(&clock, Duration::from_secs(1)));
    assert!(panics(|| poll(wait.as_mut())));
    assert_eq!(clock.next_due(), None);
}

#[test]
fn a_queue_counts_right_past_items_that_panic_when_they_are_dropped() {
    let queue = Queue::bounded(NonZeroUsize::MIN);
    let drops = Rc::new(Cell::new(0));
    assert!(queue.try_push(Mine(drops.clone())).is_ok());
    // The refused item is given back, and the caller drops it.
    assert!(panics(|| drop(queue.try_push(Mine(drops.clone())))));
    let mut push = Box::pin(queue.push(Mine(drops.clone())));
    assert!(poll(push.as_mut()).is_pending());
    assert!(panics(move || drop(push)));
    assert!(panics(|| drop(queue.try_pop())));
    assert_eq!((queue.len(), drops.get()), (0, 3));
    assert!(queue.try_push(Mine(drops.clone())).is_ok());
    assert!(panics(|| drop(queue.pop().wait())));
    assert_eq!((queue.len(), drops.get()), (0, 4));
}
