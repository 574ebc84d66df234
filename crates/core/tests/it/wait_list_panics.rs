//! Foreign code that panics in the poll that gets a grant: the grant is given back.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tidegate_core::{
    WaitList,
    wait_list::{Line, Supply, Turn},
};

/// Units that are put in without serving the queue, so that a waiter that takes one has to serve
/// the next waiter.
struct Pot {
    units: AtomicUsize,
    line: WaitList<()>,
}

impl Pot {
    fn new() -> Self {
        Self { units: AtomicUsize::new(0), line: WaitList::new() }
    }

    fn put_unseen(&self, n: usize) {
        self.units.fetch_add(n, Ordering::Relaxed);
    }

    fn serve_now(&self) {
        self.line.with(|line| self.serve(line));
    }
}

impl Supply for Pot {
    type Need = ();
    type Refusal = ();

    fn wait_list(&self) -> &WaitList<()> {
        &self.line
    }

    fn nudges(&self) -> bool {
        true
    }

    fn ask(&self, (): (), _line: &mut Line<'_, ()>) -> Poll<Result<(), ()>> {
        let take = |units: usize| units.checked_sub(1);
        match self.units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(_) => Poll::Pending,
        }
    }

    fn ask_again(&self, (): (), _is_first: bool, line: &mut Line<'_, ()>) -> Poll<Result<(), ()>> {
        self.ask((), line)
    }

    fn serve(&self, line: &mut Line<'_, ()>) {
        while line.head().is_some() && line.promised().0 < self.units.load(Ordering::Relaxed) as u64
        {
            line.nudge_head(1, 0);
        }
    }

    fn give_back(&self, (): ()) {
        self.put_unseen(1);
        self.serve_now();
    }

    fn dismissal(&self) {}
}

struct Explosive {
    in_wake: bool,
}

impl Wake for Explosive {
    fn wake(self: Arc<Self>) {
        if self.in_wake {
            resume_unwind(Box::new("a waker"));
        }
    }
}

impl Drop for Explosive {
    fn drop(&mut self) {
        if !self.in_wake {
            resume_unwind(Box::new("a waker's drop"));
        }
    }
}

/// Polls with a waker of which only the ticket keeps a clone.
fn poll_with(turn: &mut Turn<&Pot>, in_wake: bool) -> bool {
    let waker = Waker::from(Arc::new(Explosive { in_wake }));
    Pin::new(turn).poll(&mut Context::from_waker(&waker)).is_ready()
}

fn poll(turn: &mut Turn<&Pot>) -> bool {
    Pin::new(turn).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn panics(act: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

#[test]
fn a_grant_survives_the_panic_of_a_waker_that_it_wakes() {
    let pot = Pot::new();
    let mut turns = [0, 1].map(|_| Turn::new(&pot, ()));
    assert!(!poll(&mut turns[0]) && !poll_with(&mut turns[1], true));
    pot.put_unseen(2);
    let [first, second] = &mut turns;
    assert!(panics(|| _ = poll(first)));
    assert_eq!(pot.units.load(Ordering::Relaxed), 2);
    assert!(panics(|| _ = poll(first)), "it is over");
    assert!(poll(second));
    assert_eq!((pot.units.load(Ordering::Relaxed), pot.line.len()), (1, 0));
}

#[test]
fn a_grant_survives_the_panic_of_the_old_wakers_drop() {
    let pot = Pot::new();
    let mut turns = [0, 1].map(|_| Turn::new(&pot, ()));
    assert!(!poll_with(&mut turns[0], false) && !poll(&mut turns[1]));
    pot.put_unseen(1);
    let [first, second] = &mut turns;
    assert!(panics(|| _ = poll(first)));
    assert_eq!(pot.units.load(Ordering::Relaxed), 1);
    assert!(poll(second));
    drop(turns);
    assert_eq!((pot.units.load(Ordering::Relaxed), pot.line.len()), (0, 0));
}

#[test]
fn a_wait_survives_the_panic_of_the_old_wakers_drop() {
    let pot = Pot::new();
    let mut turn = Turn::new(&pot, ());
    assert!(!poll_with(&mut turn, false));
    assert!(panics(|| _ = poll(&mut turn)), "the old one goes");
    assert!(!poll(&mut turn));
    pot.put_unseen(1);
    pot.serve_now();
    assert!(poll(&mut turn));
    assert_eq!((pot.units.load(Ordering::Relaxed), pot.line.len()), (0, 0));
}
