//! Law 11 of waiting, beyond a single wait queue: foreign code that panics, be it a waker, a
//! condition, a sleep or an item, harms no other caller.

use std::{
    cell::Cell,
    future::Future,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    time::Duration,
};

use test_kit::CountingWaker;
use tidegate_core::{
    CancelToken, Clock, Event, ManualClock, Queue, Reason, SystemClock, Timer, Timestamp,
    Turnstile, Wait, future_slots::WakerCell, ring::Ring, wake_list::WakeList,
};

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        // Unwinds without the message that `panic!` prints.
        std::panic::resume_unwind(Box::new("a waker panicked"));
    }
}

fn panicking() -> Waker {
    Waker::from(Arc::new(Panicking))
}

fn counting() -> (Arc<CountingWaker>, Waker) {
    let count = Arc::new(CountingWaker::default());
    (count.clone(), Waker::from(count))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn panics(act: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

#[test]
fn a_cancel_reaches_the_children_past_a_panicking_waker() {
    let parent = CancelToken::new();
    let children = [parent.child(), parent.child()];
    let (count, waker) = counting();
    let (mut first, mut second) = (parent.cancelled(), children[0].cancelled());
    assert!(poll(&mut first, &panicking()).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    assert!(panics(|| _ = parent.cancel()));
    assert!(children.iter().all(CancelToken::is_cancelled));
    assert_eq!(count.count(), 1);
}

#[test]
fn a_close_wakes_pushers_past_a_panicking_popper() {
    let queue = Queue::bounded(NonZeroUsize::MIN);
    let (mut one, mut two) = (queue.pop(), queue.pop());
    assert!(poll(&mut one, Waker::noop()).is_pending());
    assert!(poll(&mut two, &panicking()).is_pending());
    // The first popper is notified of the item and does not run: the second still waits when the
    // queue is full.
    queue.try_push(1).unwrap();
    let (count, waker) = counting();
    let mut push = queue.push(2);
    assert!(poll(&mut push, &waker).is_pending());
    assert!(panics(|| _ = queue.close()));
    assert_eq!(count.count(), 1);
}

#[test]
fn a_turn_of_the_clock_reaches_its_end_past_a_panicking_sleeper() {
    let clock = ManualClock::new();
    let (mut one, mut two) =
        (clock.sleep(Duration::from_nanos(1)), clock.sleep(Duration::from_nanos(2)));
    let (count, waker) = counting();
    assert!(poll(&mut one, &panicking()).is_pending());
    assert!(poll(&mut two, &waker).is_pending());
    assert!(panics(|| clock.advance(Duration::from_nanos(2))));
    assert_eq!((count.count(), clock.now().as_nanos()), (1, 2));
}

/// Unwinds without a message, unless that would abort the process.
fn unwind() {
    if !std::thread::panicking() {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

thread_local! {
    /// Where a [`careless`] waker panics on this thread: nowhere (0), in its clone (1), or in its
    /// destructor (2).
    static PANICS_IN: Cell<u8> = const { Cell::new(0) };
}

/// A waker that does nothing but panic when it is told to.
fn careless() -> Waker {
    fn panic_in(what: u8) {
        if PANICS_IN.get() == what {
            unwind();
        }
    }
    fn clone(data: *const ()) -> RawWaker {
        panic_in(1);
        RawWaker::new(data, &TABLE)
    }
    fn drop(_: *const ()) {
        panic_in(2);
    }
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| (), |_| (), drop);
    // SAFETY: the table's functions never dereference the pointer, and may run on any thread.
    unsafe { Waker::new(std::ptr::null(), &TABLE) }
}

#[test]
fn a_notification_survives_a_condition_that_panics() {
    let (event, armed) = (Event::new(), Cell::new(false));
    let (count, waker) = counting();
    let mut first = event.wait_until(|| {
        if armed.get() {
            unwind();
        }
        None::<()>
    });
    let mut second = event.wait_until(|| None::<()>);
    assert!(poll(&mut first, Waker::noop()).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    event.notify(1);
    armed.set(true);
    assert!(panics(|| _ = poll(&mut first, Waker::noop())));
    assert_eq!(count.count(), 1, "the second is notified, though the first lives on");
}

#[test]
fn a_notification_survives_a_waker_that_panics_when_it_is_cloned_or_dropped() {
    for what in [1, 2] {
        let event = Event::new();
        let (count, waker) = counting();
        let (mut first, mut second) =
            (event.wait_until(|| None::<()>), event.wait_until(|| None::<()>));
        let careless = careless();
        assert!(poll(&mut first, &careless).is_pending());
        assert!(poll(&mut second, &waker).is_pending());
        PANICS_IN.set(what);
        if what == 1 {
            event.notify(1);
            assert!(panics(|| _ = poll(&mut first, &careless)), "a clone for the next wait");
        } else {
            assert!(panics(|| _ = poll(&mut first, Waker::noop())), "the old one is dropped");
            event.notify(1);
        }
        PANICS_IN.set(0);
        drop(first);
        assert_eq!(count.count(), 1, "passed on");
    }
}

#[test]
fn a_turn_survives_a_waker_that_panics_when_it_is_cloned_or_dropped() {
    for what in [1, 2] {
        for is_dropped in [true, false] {
            let turnstile = Turnstile::new();
            let inside = turnstile.try_enter();
            let (mut first, mut second) = (turnstile.enter(), turnstile.enter());
            let (count, waker) = counting();
            let [old, new] = [careless(), Waker::noop().clone()];
            assert!(poll(&mut first, if what == 1 { &new } else { &old }).is_pending());
            assert!(poll(&mut second, &waker).is_pending());
            PANICS_IN.set(what);
            let replaced = panics(|| _ = poll(&mut first, if what == 1 { &old } else { &new }));
            PANICS_IN.set(0);
            assert!(replaced);
            drop(inside);
            assert!(turnstile.try_enter().is_none(), "the turn is the first one's");
            if is_dropped {
                drop(first);
            } else {
                let Poll::Ready(Ok(inside)) = poll(&mut first, Waker::noop()) else {
                    panic!("lost")
                };
                drop(inside);
            }
            assert_eq!(count.count(), 1);
            assert!(poll(&mut second, &waker).is_ready());
        }
    }
}

#[test]
fn a_condition_that_notifies_its_own_event_ends_its_poll() {
    let (event, checks) = (Event::new(), Cell::new(0));
    let mut wait = event.wait_until(|| {
        checks.set(checks.get() + 1);
        event.notify_all();
        (checks.get() > 100).then_some(())
    });
    let (woken, waker) = counting();
    let mut polls = 0;
    while poll(&mut wait, &waker).is_pending() {
        polls += 1;
        assert!(checks.get() <= 40 * polls, "{} checks in {polls} polls", checks.get());
        assert!(woken.count() >= polls, "it goes on");
    }
    assert!(polls > 2);
    // The same beside another waiter, which is notified, too, and on a thread.
    let mut other = event.wait_until(|| None::<()>);
    assert!(poll(&mut other, &waker).is_pending());
    let rounds = Cell::new(0);
    event
        .wait_until(|| {
            rounds.set(rounds.get() + 1);
            event.notify(1);
            (rounds.get() > 100).then_some(())
        })
        .wait();
}

/// A timer whose sleeps do as they are told.
struct Odd {
    clock: ManualClock,
    drop_panics: bool,
    poll_panics: bool,
    /// In how many of the first polls a sleep wakes itself and stays pending.
    restless: usize,
    polls: Arc<AtomicUsize>,
}

struct OddSleep {
    sleep: <ManualClock as Timer>::Sleep,
    drop_panics: bool,
    poll_panics: bool,
    restless: usize,
    polls: Arc<AtomicUsize>,
}

impl Odd {
    fn new() -> Self {
        Self {
            clock: ManualClock::new(),
            drop_panics: false,
            poll_panics: false,
            restless: 0,
            polls: Arc::default(),
        }
    }
}

impl Clock for Odd {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Timer for Odd {
    type Sleep = OddSleep;

    fn sleep_until(&self, time: Timestamp) -> OddSleep {
        OddSleep {
            sleep: self.clock.sleep_until(time),
            drop_panics: self.drop_panics,
            poll_panics: self.poll_panics,
            restless: self.restless,
            polls: self.polls.clone(),
        }
    }
}

impl Future for OddSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polls = self.polls.fetch_add(1, Ordering::SeqCst);
        if polls < self.restless {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if polls > 0 && self.poll_panics {
            unwind();
        }
        Pin::new(&mut self.sleep).poll(cx)
    }
}

impl Drop for OddSleep {
    fn drop(&mut self) {
        if self.drop_panics {
            // Panics also while another panic unwinds.
            std::panic::resume_unwind(Box::new("a sleep's destructor panicked"));
        }
    }
}

#[test]
fn a_cancel_reaches_the_children_past_panicking_sleeps_and_wakers() {
    let clock = Odd { drop_panics: true, ..Odd::new() };
    let second = Duration::from_secs(1);
    let root = CancelToken::new();
    let token = root.child_with_timeout(&clock, second);
    let children = [token.child_with_timeout(&clock, second), token.child()];
    let leaf = children[1].child();
    let (count, waker) = counting();
    let mut waits = [token.cancelled(), children[0].cancelled(), children[1].cancelled()];
    for wait in &mut waits {
        assert!(poll(wait, &panicking()).is_pending());
    }
    let mut last = leaf.cancelled();
    assert!(poll(&mut last, &waker).is_pending());
    assert!(panics(|| _ = root.cancel()));
    assert!(token.is_cancelled() && leaf.is_cancelled());
    assert!(children.iter().all(CancelToken::is_cancelled));
    assert_eq!(count.count(), 1);
}

#[test]
fn a_family_is_taken_apart_past_panicking_sleeps() {
    let clock = Odd { drop_panics: true, ..Odd::new() };
    let root = CancelToken::new();
    let mut leaf = root.child();
    for _ in 0..10 {
        leaf = leaf.child_with_timeout(&clock, Duration::from_secs(1));
    }
    assert_eq!(clock.clock.next_due(), Some(Timestamp::from_nanos(1_000_000_000)));
    assert!(panics(|| drop(leaf)));
    assert_eq!(clock.clock.next_due(), None, "every sleep is withdrawn");
}

#[test]
fn a_deadline_cancels_only_once_it_has_come_on_its_clock() {
    let clock = Odd { restless: 2, ..Odd::new() };
    let token = CancelToken::new().child_with_timeout(&clock, Duration::from_secs(1));
    assert_eq!(clock.polls.load(Ordering::SeqCst), 3, "woken, it asks again");
    assert_eq!(token.reason(), None);
    clock.clock.advance(Duration::from_millis(999));
    assert_eq!(token.reason(), None);
    clock.clock.advance(Duration::from_millis(1));
    assert_eq!(token.reason(), Some(Reason::DeadlineExceeded));
    assert_eq!(clock.polls.load(Ordering::SeqCst), 4);
}

#[test]
fn a_sleep_that_wakes_itself_in_every_poll_is_asked_now_and_then() {
    let clock = Odd { restless: 20, ..Odd::new() };
    clock.clock.advance(Duration::from_secs(1));
    let token = CancelToken::new().child_with_deadline(&clock, clock.now());
    assert!(clock.polls.load(Ordering::SeqCst) < 20 || token.is_cancelled());
    assert_eq!(token.cancelled().wait(), Reason::DeadlineExceeded);
    assert_eq!(clock.polls.load(Ordering::SeqCst), 21);
}

#[test]
fn a_token_does_not_outlive_a_deadline_whose_sleep_panics() {
    let clock = Odd { poll_panics: true, ..Odd::new() };
    let token = CancelToken::new().child_with_timeout(&clock, Duration::from_secs(1));
    let child = token.child();
    assert!(panics(|| clock.clock.advance(Duration::from_secs(1))));
    assert_eq!(child.reason(), Some(Reason::DeadlineExceeded));
}

#[test]
fn what_is_left_in_a_ring_or_a_queue_is_dropped_past_panicking_items() {
    struct Item<'a>(&'a AtomicUsize);
    impl Drop for Item<'_> {
        fn drop(&mut self) {
            if self.0.fetch_add(1, Ordering::SeqCst) % 2 == 0 {
                std::panic::resume_unwind(Box::new("an item's destructor panicked"));
            }
        }
    }
    let five = NonZeroUsize::new(5).unwrap();
    let dropped = AtomicUsize::new(0);
    let ring = Ring::new(five);
    (0..5).for_each(|_| assert!(ring.push(Item(&dropped)).is_ok()));
    assert!(panics(|| drop(ring)));
    assert_eq!(dropped.swap(0, Ordering::SeqCst), 5);
    for queue in [Queue::bounded(five), Queue::unbounded()] {
        (0..5).for_each(|_| assert!(queue.try_push(Item(&dropped)).is_ok()));
        assert!(panics(|| drop(queue)));
        assert_eq!(dropped.swap(0, Ordering::SeqCst), 5);
    }
}

#[test]
fn several_wakers_that_panic_in_one_step_unwind_once() {
    let (count, waker) = counting();
    let register = |poll_with: &mut dyn FnMut(&Waker)| {
        (0..6).for_each(|_| poll_with(&panicking()));
        poll_with(&waker);
    };
    // An event.
    let event = Event::new();
    let mut waits: Vec<_> = (0..7).map(|_| event.wait_until(|| None::<()>)).collect();
    let mut each = waits.iter_mut();
    register(&mut |waker| assert!(poll(each.next().unwrap(), waker).is_pending()));
    assert!(panics(|| event.notify_all()));
    // A clock.
    let clock = ManualClock::new();
    let mut sleeps: Vec<_> = (0..7).map(|n| clock.sleep(Duration::from_secs(1 + n))).collect();
    let mut each = sleeps.iter_mut();
    register(&mut |waker| assert!(poll(each.next().unwrap(), waker).is_pending()));
    assert!(panics(|| clock.advance(Duration::from_secs(7))));
    // A wait queue.
    let turnstile = Turnstile::new();
    let _inside = turnstile.try_enter().unwrap();
    let mut turns: Vec<_> = (0..7).map(|_| turnstile.enter()).collect();
    let mut each = turns.iter_mut();
    register(&mut |waker| assert!(poll(each.next().unwrap(), waker).is_pending()));
    assert!(panics(|| turnstile.close()));
    // A queue, on both sides.
    let queue = Queue::bounded(NonZeroUsize::MIN);
    let mut pops: Vec<_> = (0..7).map(|_| queue.pop()).collect();
    let mut each = pops.iter_mut();
    register(&mut |waker| assert!(poll(each.next().unwrap(), waker).is_pending()));
    assert!(panics(|| _ = queue.try_push(1)));
    assert!(panics(|| _ = queue.close()));
    // A list that is lost in a panic: that panic goes on.
    let mut list = WakeList::new();
    register(&mut |waker| list.push(waker.clone()));
    let lost = catch_unwind(AssertUnwindSafe(|| {
        let _list = list;
        std::panic::resume_unwind(Box::new("the first"));
    }));
    assert_eq!(*lost.unwrap_err().downcast::<&str>().unwrap(), "the first");
    assert_eq!(count.count(), 5, "the waiters behind them are woken");
}

#[test]
fn a_token_whose_guard_is_lost_in_a_panic_wakes_past_panicking_wakers() {
    let token = CancelToken::new();
    let mut wait = token.cancelled();
    assert!(poll(&mut wait, &panicking()).is_pending());
    assert!(panics(|| {
        let _guard = token.drop_guard();
        unwind();
    }));
    assert!(token.is_cancelled());
}

#[test]
fn the_timers_of_a_thread_outlive_a_wait_that_panics() {
    assert!(panics(|| std::future::poll_fn(|_| -> Poll<()> {
        unwind();
        Poll::Pending
    })
    .wait()));
    SystemClock.sleep(Duration::from_millis(1)).wait();
}

#[test]
fn a_sleep_survives_a_waker_that_panics_when_it_is_cloned_or_dropped() {
    for what in [1, 2] {
        let clock = ManualClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(1));
        let careless = careless();
        let (count, counting) = counting();
        let mut poll_with =
            |waker: &Waker| Pin::new(&mut sleep).poll(&mut Context::from_waker(waker));
        if what == 2 {
            assert!(poll_with(&careless).is_pending());
        }
        PANICS_IN.set(what);
        let replaced = panics(|| _ = poll_with(if what == 1 { &careless } else { &counting }));
        PANICS_IN.set(0);
        assert!(replaced);
        assert!(poll_with(&counting).is_pending());
        clock.advance(Duration::from_secs(1));
        assert_eq!(count.count(), 1);
        assert!(poll_with(&counting).is_ready());
        assert_eq!(clock.next_due(), None);
    }
}

#[test]
fn a_cell_survives_a_waker_that_panics_when_it_is_cloned_dropped_or_called() {
    let cell = WakerCell::new();
    let careless = careless();
    let (count, counting) = counting();
    cell.set(&counting);
    PANICS_IN.set(1);
    assert!(panics(|| cell.set(&careless)));
    PANICS_IN.set(0);
    cell.wake();
    assert_eq!(count.count(), 1, "the old one is kept");
    cell.set(&careless);
    PANICS_IN.set(2);
    assert!(panics(|| cell.set(&counting)));
    PANICS_IN.set(0);
    cell.wake();
    assert_eq!(count.count(), 2, "the new one is there");
    cell.set(&panicking());
    assert!(panics(|| cell.wake()));
    cell.set(&counting);
    cell.wake();
    assert_eq!(count.count(), 3);
}

#[test]
fn what_was_found_is_not_lost_to_a_waker_that_panics_when_it_is_dropped() {
    let (event, place) = (Event::new(), Cell::new(None));
    let mut wait = event.wait_until(|| place.take());
    let careless = careless();
    let mut cx = Context::from_waker(&careless);
    assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
    // Without a notification the waiter is still registered when it checks.
    place.set(Some(7));
    PANICS_IN.set(2);
    let found = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut wait).poll(&mut cx)));
    PANICS_IN.set(0);
    assert_eq!(found.ok(), Some(Poll::Ready(7)));
}
