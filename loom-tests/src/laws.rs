//! The twelve laws of waiting, for everything that waits.
//!
//! Each law is a function over a [`Subject`]; [`laws_of_waiting!`](crate::laws_of_waiting) tests
//! it.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tidegate_core::{
    Closed, Wait,
    primitive::atomic::{AtomicBool, Ordering},
};

use crate::{CallingWaker, CountingWaker, model, poll, poll_quietly, short_model, thread};

/// A primitive as the laws see it: units are put in, and takers wait for one each.
///
/// For a semaphore a unit is a permit, for a queue an item (or, as pushers see it, a free place).
pub trait Subject: Send + Sync + Sized + 'static {
    /// Whether takers get units in the order of their first polls, and no newcomer overtakes them.
    const FIFO: bool;

    /// Creates the primitive without units.
    fn new() -> Self;

    /// Puts one unit in.
    fn put(&self);

    /// Waits for a unit and uses it up.
    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin;

    /// Closes the primitive for ever.
    fn close(&self);

    /// Returns the number of units that nobody has taken.
    fn units(&self) -> usize;
}

/// Runs a taker to its end on a thread of its own.
fn spawn_taker<S: Subject>(subject: &Arc<S>) -> thread::JoinHandle<Result<(), Closed>> {
    let subject = subject.clone();
    thread::spawn(move || subject.take().wait())
}

/// Law 1: what was put in was taken or is still there, and nothing else is.
pub fn nothing_is_lost_or_made_up<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        subject.put();
        let taker = spawn_taker(&subject);
        subject.put();
        // Takes the unit if it is still there.
        let mut second = subject.take();
        let took = poll_quietly(&mut second).is_ready();
        drop(second);
        assert_eq!(taker.join().unwrap(), Ok(()));
        assert_eq!(subject.units(), usize::from(!took));
    });
}

/// Law 2: no waiter sleeps while what it waits for is there.
pub fn nobody_sleeps_beside_what_it_waits_for<S: Subject>() {
    // A task that is polled once, and again only if woken. (A thread always polls twice.)
    model(|| {
        let subject = Arc::new(S::new());
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        let (woken, waker) = CountingWaker::new();
        let mut take = subject.take();
        let ready = poll(&mut take, &waker).is_ready();
        putter.join().unwrap();
        assert!(ready || woken.count() > 0, "asleep beside a unit");
        if !ready {
            assert_eq!(poll_quietly(&mut take), Poll::Ready(Ok(())));
        }
    });
    model(|| {
        let subject = Arc::new(S::new());
        let first = spawn_taker(&subject);
        subject.put();
        assert_eq!(first.join().unwrap(), Ok(()));
        assert_eq!(subject.units(), 0);
    });
    model(|| {
        let subject = Arc::new(S::new());
        let first = spawn_taker(&subject);
        let second = spawn_taker(&subject);
        subject.put();
        subject.put();
        assert_eq!(first.join().unwrap(), Ok(()));
        assert_eq!(second.join().unwrap(), Ok(()));
        assert_eq!(subject.units(), 0);
    });
}

/// Law 3: two units wake two takers, even if the first has not run yet.
pub fn two_releases_wake_two<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let [(first_woken, first_waker), (second_woken, second_waker)] =
            [CountingWaker::new(), CountingWaker::new()];
        let (mut first, mut second) = (subject.take(), subject.take());
        assert!(poll(&mut first, &first_waker).is_pending());
        assert!(poll(&mut second, &second_waker).is_pending());
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        subject.put();
        putter.join().unwrap();
        assert_eq!((first_woken.count(), second_woken.count()), (1, 1));
        assert_eq!(poll_quietly(&mut first), Poll::Ready(Ok(())));
        assert_eq!(poll_quietly(&mut second), Poll::Ready(Ok(())));
    });
}

/// Law 4: a taker cancelled before its grant leaves no trace.
pub fn cancelled_before_the_grant_leaves_no_trace<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let canceller = {
            let subject = subject.clone();
            thread::spawn(move || {
                let mut take = subject.take();
                poll_quietly(&mut take).is_ready()
            })
        };
        subject.put();
        let took = canceller.join().unwrap();
        assert_eq!(subject.units(), usize::from(!took));
        if !took {
            assert_eq!(poll_quietly(&mut subject.take()), Poll::Ready(Ok(())));
        }
    });
}

/// Law 5: a grant to a taker that is cancelled before it runs again goes to the next.
pub fn cancelled_after_the_grant_passes_it_on<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let mut first = subject.take();
        assert!(poll_quietly(&mut first).is_pending());
        let next = spawn_taker(&subject);
        subject.put();
        // Whether it has its grant or not: the next one gets that unit.
        drop(first);
        assert_eq!(next.join().unwrap(), Ok(()));
        assert_eq!(subject.units(), 0);
    });
}

/// Law 6: a cancelled head lets the next through.
pub fn a_cancelled_head_lets_the_next_through<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let (woken, waker) = CountingWaker::new();
        let mut head = subject.take();
        let mut next = subject.take();
        assert!(poll_quietly(&mut head).is_pending());
        assert!(poll(&mut next, &waker).is_pending());
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        drop(head);
        putter.join().unwrap();
        assert!(woken.count() > 0);
        assert_eq!(poll_quietly(&mut next), Poll::Ready(Ok(())));
    });
}

/// Law 7: close wakes all, once, for ever.
pub fn close_wakes_all_once_for_ever<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let (woken, waker) = CountingWaker::new();
        let mut polled = subject.take();
        assert!(poll(&mut polled, &waker).is_pending());
        let taker = spawn_taker(&subject);
        subject.close();
        assert_eq!(taker.join().unwrap(), Err(Closed));
        assert_eq!(woken.count(), 1);
        subject.close();
        assert_eq!(woken.count(), 1);
        assert_eq!(poll_quietly(&mut polled), Poll::Ready(Err(Closed)));
        assert_eq!(subject.take().wait(), Err(Closed));
    });
}

/// Law 8: order is as promised: the longest waiting is woken; if promised, nobody overtakes it.
pub fn order_is_as_promised<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let (woken, wakers): (Vec<_>, Vec<_>) = (0..2).map(|_| CountingWaker::new()).unzip();
        let mut takes = [subject.take(), subject.take()];
        for (take, waker) in takes.iter_mut().zip(&wakers) {
            assert!(poll(take, waker).is_pending());
        }
        let newcomer = {
            let subject = subject.clone();
            thread::spawn(move || poll_quietly(&mut subject.take()).is_ready())
        };
        let mut waiting = Vec::new();
        for (turn, mut take) in takes.into_iter().enumerate() {
            subject.put();
            let counts: Vec<_> = woken.iter().map(|woken| woken.count()).collect();
            // An overtaken taker waits again, and may be woken again before the later one.
            let is_first_again = !waiting.is_empty();
            let is_out_of_turn = counts[turn + 1..].iter().any(|&count| count > 0);
            assert!(is_first_again || !is_out_of_turn, "one was woken before its turn");
            if poll_quietly(&mut take).is_pending() {
                waiting.push(take);
            }
            assert!(!S::FIFO || waiting.is_empty(), "the longest waiting got nothing");
        }
        let has_overtaken = newcomer.join().unwrap();
        // Counted now: as the newcomer leaves, it may serve the others, and then wake them.
        let counts: Vec<_> = woken.iter().map(|woken| woken.count()).collect();
        assert!(!S::FIFO || counts == [1, 1], "the longest waiting were not woken once");
        assert!(!has_overtaken || !S::FIFO, "a newcomer overtook the head");
        waiting.retain_mut(|take| poll_quietly(take).is_pending());
        assert_eq!(waiting.len(), usize::from(has_overtaken));
    });
}

/// Law 9: the waker of the latest poll is the one woken.
pub fn the_last_registered_waker_is_the_one_woken<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let [(old, old_waker), (new, new_waker)] = [CountingWaker::new(), CountingWaker::new()];
        let mut take = subject.take();
        assert!(poll(&mut take, &old_waker).is_pending());
        let has_changed = Arc::new(AtomicBool::new(false));
        let putter = {
            let (subject, has_changed) = (subject.clone(), has_changed.clone());
            thread::spawn(move || {
                let has_changed = has_changed.load(Ordering::Acquire);
                subject.put();
                has_changed
            })
        };
        let ready = poll(&mut take, &new_waker).is_ready();
        has_changed.store(true, Ordering::Release);
        let is_late = putter.join().unwrap();
        assert!(ready || new.count() == 1, "neither ready nor woken");
        assert!(!is_late || (old.count(), new.count()) == (0, 1), "an old waker is woken");
        assert!(new.count() + old.count() <= 2);
        if !ready {
            assert_eq!(poll_quietly(&mut take), Poll::Ready(Ok(())));
        }
    });
}

/// Polls a newcomer once. Its unit is put back: this is about locks, not about order.
pub(crate) fn ask_and_put_back<S: Subject>(subject: &S) {
    let mut newcomer = subject.take();
    if poll_quietly(&mut newcomer).is_ready() {
        subject.put();
    }
}

/// Law 10: no lock is held in `wake`: a waker may call back into the primitive, or drop futures.
pub fn no_lock_is_held_in_wake<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let re_enter = {
            let subject = subject.clone();
            CallingWaker::new(move || {
                ask_and_put_back(&*subject);
                let _ = subject.units();
            })
        };
        let mut take = subject.take();
        assert!(poll(&mut take, &re_enter).is_pending());
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        ask_and_put_back(&*subject);
        putter.join().unwrap();
        assert!(poll_quietly(&mut take).is_ready());
    });
}

/// Law 11: a panicking waker loses nobody.
pub fn a_panicking_waker_loses_nobody<S: Subject>() {
    let why = "loom runs all threads on one, so where one unwinds the others seem to unwind, too";
    short_model(why, || {
        let subject = Arc::new(S::new());
        // Unwinds without the message that `panic!` prints.
        let panicking =
            CallingWaker::new(|| std::panic::resume_unwind(Box::new("a waker panicked")));
        let (woken, waker) = CountingWaker::new();
        let (mut first, mut second) = (subject.take(), subject.take());
        assert!(poll(&mut first, &panicking).is_pending());
        assert!(poll(&mut second, &waker).is_pending());
        let _ = catch_unwind(AssertUnwindSafe(|| subject.close()));
        assert_eq!(woken.count(), 1);
        assert_eq!(poll_quietly(&mut first), Poll::Ready(Err(Closed)));
        assert_eq!(poll_quietly(&mut second), Poll::Ready(Err(Closed)));
    });
}

/// Law 12: a timeout that races a grant keeps exactly one of the two.
pub fn a_timeout_that_races_a_grant_keeps_one<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let taker = {
            let subject = subject.clone();
            thread::spawn(move || subject.take().wait_timeout(Duration::from_micros(10)).is_ok())
        };
        subject.put();
        let took = taker.join().unwrap();
        assert_eq!(subject.units(), usize::from(!took));
    });
    // A grant between a poll and the end of the time is in time.
    model(|| {
        let subject = Arc::new(S::new());
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        let (mut take, mut polls, mut putter) = (subject.take(), 0, Some(putter));
        let taken = poll_fn(|cx| {
            let taken = Pin::new(&mut take).poll(cx);
            polls += 1;
            // The driver's first poll uses a no-op waker. In the second, the grant comes before the
            // poll returns, and the time is up after.
            if taken.is_pending() && polls == 2 {
                putter.take().unwrap().join().unwrap();
            }
            taken
        });
        assert_eq!(taken.wait_timeout(Duration::from_micros(10)), Ok(Ok(())));
        if let Some(putter) = putter {
            putter.join().unwrap();
        }
        assert_eq!(subject.units(), 0);
    });
}

/// Makes a module with a test for each of the twelve laws of a [`Subject`], and, in `hostile`, for
/// each law of [hostile executors](crate::hostile).
///
/// ```text
/// laws_of_waiting!(semaphore: SemaphoreSubject);
/// ```
#[macro_export]
macro_rules! laws_of_waiting {
    ($name:ident: $subject:ty) => {
        $crate::laws_of_waiting!(@ $name: $subject;
            {
                polls_from_changing_threads_lose_nothing, spurious_polls_take_nothing_and_keep_the_place,
                who_is_never_polled_again_keeps_one_unit_at_most, a_waker_may_drop_any_future,
                a_waker_may_poll_its_future
            }
            nothing_is_lost_or_made_up, nobody_sleeps_beside_what_it_waits_for, two_releases_wake_two,
            cancelled_before_the_grant_leaves_no_trace, cancelled_after_the_grant_passes_it_on,
            a_cancelled_head_lets_the_next_through, close_wakes_all_once_for_ever, order_is_as_promised,
            the_last_registered_waker_is_the_one_woken, no_lock_is_held_in_wake, a_panicking_waker_loses_nobody,
            a_timeout_that_races_a_grant_keeps_one);
    };
    (@ $name:ident: $subject:ty; { $($abuse:ident),* } $($law:ident),*) => {
        mod $name {
            $(#[test]
            fn $law() {
                $crate::laws::$law::<$subject>();
            })*

            mod hostile {
                $(#[test]
                fn $abuse() {
                    $crate::hostile::$abuse::<$subject>();
                })*
            }
        }
    };
}
