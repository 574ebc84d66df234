//! Law 11 beyond one list: a panicking waker costs nobody else anything.

use std::{
    future::Future,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tidegate_core::{CancelToken, Clock, ManualClock, Queue, Timer};

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

struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counting() -> (Arc<Counting>, Waker) {
    let count = Arc::new(Counting(AtomicUsize::new(0)));
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
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_close_wakes_pushers_past_a_panicking_popper() {
    let queue = Queue::bounded(NonZeroUsize::MIN);
    let (mut one, mut two) = (queue.pop(), queue.pop());
    assert!(poll(&mut one, Waker::noop()).is_pending());
    assert!(poll(&mut two, &panicking()).is_pending());
    // The first popper is told of the item and does not run: the second still waits when the queue is full.
    queue.try_push(1).unwrap();
    let (count, waker) = counting();
    let mut push = queue.push(2);
    assert!(poll(&mut push, &waker).is_pending());
    assert!(panics(|| _ = queue.close()));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
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
    assert_eq!((count.0.load(Ordering::SeqCst), clock.now().as_nanos()), (1, 2));
}
