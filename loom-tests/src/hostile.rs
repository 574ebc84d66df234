//! Laws of what an executor may do to a future, although no good one does it.
//!
//! An executor has to poll a woken future, some time. It may poll it more often, from any thread,
//! even from within a wake. It may drop any future there. And a badly cancelled task is never
//! polled again. None of this may cost other takers their units.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Poll, Waker},
};

use tidegate_core::{Closed, lock::Lock};

use crate::{
    CallingWaker, CountingWaker,
    laws::{Subject, ask_and_put_back},
    model, poll, poll_quietly, thread,
};

/// A taker that can move between threads.
type Taker = Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>;

/// Where a waker finds a taker.
type Slot = Arc<Lock<Option<Taker>>>;

fn taker<S: Subject>(subject: &Arc<S>) -> Taker {
    let subject = subject.clone();
    Box::pin(async move { subject.take().await })
}

/// Makes a waker that drops the taker in the slot.
fn dropping(slot: &Slot) -> Waker {
    let slot = slot.clone();
    CallingWaker::new(move || drop(slot.with(Option::take)))
}

/// A future that changes threads between polls is woken by its latest waker, and loses nothing.
pub fn polls_from_changing_threads_lose_nothing<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let mut moved = taker(&subject);
        assert!(poll_quietly(&mut moved).is_pending());
        let (woken, waker) = CountingWaker::new();
        let elsewhere = thread::spawn(move || {
            let ready = poll(&mut moved, &waker).is_ready();
            (moved, ready)
        });
        subject.put();
        let (mut moved, ready) = elsewhere.join().unwrap();
        if !ready {
            assert!(woken.count() > 0, "asleep beside a unit");
            assert_eq!(poll_quietly(&mut moved), Poll::Ready(Ok(())));
        }
        assert_eq!(subject.units(), 0);
    });
}

/// A future that is polled without having been woken keeps its place, and takes one unit.
pub fn spurious_polls_take_nothing_and_keep_the_place<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let (mut first, mut second) = (taker(&subject), taker(&subject));
        let [(_, first_waker), (woken, second_waker)] =
            [CountingWaker::new(), CountingWaker::new()];
        assert!(poll(&mut first, &first_waker).is_pending());
        assert!(poll(&mut second, &second_waker).is_pending());
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        // The second was not woken, and is polled all the same.
        let overtook = (0..2).any(|_| poll(&mut second, &second_waker).is_ready());
        putter.join().unwrap();
        if overtook {
            assert!(!S::FIFO, "who asks often is served first");
            subject.put();
        }
        assert_eq!(poll_quietly(&mut first), Poll::Ready(Ok(())));
        assert_eq!(subject.units(), 0);
        if !overtook {
            subject.put();
            assert!(woken.count() > 0);
            assert_eq!(poll_quietly(&mut second), Poll::Ready(Ok(())));
        }
    });
}

/// A woken future that is neither polled again nor dropped keeps one unit from others, at most.
pub fn who_is_never_polled_again_keeps_one_unit_at_most<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let mut forgotten = taker(&subject);
        assert!(poll_quietly(&mut forgotten).is_pending());
        let (woken, waker) = CountingWaker::new();
        let mut next = taker(&subject);
        assert!(poll(&mut next, &waker).is_pending());
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        subject.put();
        putter.join().unwrap();
        assert_eq!(woken.count(), 1);
        assert_eq!(poll_quietly(&mut next), Poll::Ready(Ok(())));
        assert!(subject.units() <= 1);
        subject.close();
        // Dropped because a model must not leak; it was not polled again, which is what counts.
        drop(forgotten);
    });
}

/// A waker may drop futures: another waiting one, or its own.
pub fn a_waker_may_drop_any_future<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let slot = Slot::default();
        let mut first = taker(&subject);
        assert!(poll(&mut first, &dropping(&slot)).is_pending());
        let mut victim = taker(&subject);
        assert!(poll_quietly(&mut victim).is_pending());
        let (woken, waker) = CountingWaker::new();
        let mut third = taker(&subject);
        assert!(poll(&mut third, &waker).is_pending());
        slot.with(|slot| *slot = Some(victim));
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        subject.put();
        putter.join().unwrap();
        assert_eq!(poll_quietly(&mut first), Poll::Ready(Ok(())));
        assert!(woken.count() > 0, "the grant of a dropped future stayed with it");
        assert_eq!(poll_quietly(&mut third), Poll::Ready(Ok(())));
    });
    model(|| {
        let subject = Arc::new(S::new());
        let slot = Slot::default();
        let mut own = taker(&subject);
        assert!(poll(&mut own, &dropping(&slot)).is_pending());
        let (woken, waker) = CountingWaker::new();
        let mut next = taker(&subject);
        assert!(poll(&mut next, &waker).is_pending());
        slot.with(|slot| *slot = Some(own));
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        ask_and_put_back(&*subject);
        putter.join().unwrap();
        assert!(woken.count() > 0, "the grant of a dropped future stayed with it");
        assert_eq!(poll_quietly(&mut next), Poll::Ready(Ok(())));
    });
}

/// A waker may poll its future then and there.
pub fn a_waker_may_poll_its_future<S: Subject>() {
    model(|| {
        let subject = Arc::new(S::new());
        let (slot, result) = (Slot::default(), Arc::new(Lock::new(None)));
        let polling = {
            let (slot, result) = (slot.clone(), result.clone());
            CallingWaker::new(move || {
                let Some(mut own) = slot.with(Option::take) else { return };
                match poll_quietly(&mut own) {
                    Poll::Ready(took) => result.with(|result| *result = Some(took)),
                    Poll::Pending => slot.with(|slot| *slot = Some(own)),
                }
            })
        };
        let mut own = taker(&subject);
        assert!(poll(&mut own, &polling).is_pending());
        slot.with(|slot| *slot = Some(own));
        let putter = {
            let subject = subject.clone();
            thread::spawn(move || subject.put())
        };
        ask_and_put_back(&*subject);
        putter.join().unwrap();
        // If it was overtaken, it waits again.
        if let Some(mut own) = slot.with(Option::take) {
            assert!(!S::FIFO, "a newcomer overtook it");
            let took = poll_quietly(&mut own).map(Some);
            result.with(|result| *result = if let Poll::Ready(took) = took { took } else { None });
        }
        assert_eq!(result.with(mem::take), Some(Ok(())));
        assert_eq!(subject.units(), 0);
    });
}
