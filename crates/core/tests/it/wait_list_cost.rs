//! What a queue that nudges costs: how often its supply is asked about a ticket.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use tidegate_core::{
    WaitList,
    wait_list::{Line, Supply, Turn},
};

/// Units that newcomers may take at any time. Counts how often this supply looks at a ticket.
struct Pot {
    units: AtomicUsize,
    looks: AtomicUsize,
    line: WaitList<()>,
}

impl Pot {
    fn new() -> Self {
        Self { units: AtomicUsize::new(0), looks: AtomicUsize::new(0), line: WaitList::new() }
    }

    fn put(&self, n: usize) {
        self.line.with(|line| {
            self.units.fetch_add(n, Ordering::Relaxed);
            self.serve(line);
        });
    }

    fn take(&self) -> bool {
        let take = |units: usize| units.checked_sub(1);
        self.units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
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
        if self.take() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn ask_again(&self, (): (), _is_first: bool, line: &mut Line<'_, ()>) -> Poll<Result<(), ()>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.ask((), line)
    }

    fn serve(&self, line: &mut Line<'_, ()>) {
        while line.head().is_some() {
            self.looks.fetch_add(1, Ordering::Relaxed);
            if line.promised().0 >= self.units.load(Ordering::Relaxed) as u64 {
                break;
            }
            line.nudge_head(1, 0);
        }
    }

    fn give_back(&self, (): ()) {
        self.put(1);
    }

    fn dismissal(&self) {}
}

fn poll(turn: &mut Turn<&Pot>) -> bool {
    Pin::new(turn).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn in_line(pot: &Pot, n: usize) -> Vec<Turn<&Pot>> {
    let mut turns: Vec<_> = (0..n).map(|_| Turn::new(pot, ())).collect();
    assert!(turns.iter_mut().all(|turn| !poll(turn)));
    turns
}

/// Runs a scene with 50 and with 16 times as many tickets in the queue, and checks that a ticket
/// costs the same in both.
fn assert_linear(scene: fn(&Pot, Vec<Turn<&Pot>>)) {
    let [few, many] = [50, 800].map(|n| {
        let pot = Pot::new();
        scene(&pot, in_line(&pot, n));
        pot.looks.load(Ordering::Relaxed)
    });
    assert!(few > 0 && many <= 17 * few, "{few} looks, and {many} for sixteen times as many");
}

#[test]
fn a_large_gift_looks_at_each_ticket_a_few_times() {
    assert_linear(|pot, mut turns| {
        pot.put(turns.len());
        assert!(turns.iter_mut().all(poll));
    });
}

#[test]
fn many_that_come_too_late_look_at_themselves_alone() {
    assert_linear(|pot, mut turns| {
        pot.put(turns.len());
        while pot.take() {}
        assert!(turns.iter_mut().all(|turn| !poll(turn)));
        pot.put(turns.len());
        assert!(turns.iter_mut().rev().all(poll));
    });
}

#[test]
fn small_gifts_behind_many_that_are_on_their_way_look_at_the_next_alone() {
    assert_linear(|pot, mut turns| {
        for _ in 0..turns.len() {
            pot.put(1);
        }
        assert!(turns.iter_mut().all(poll));
    });
}

#[test]
fn many_that_give_up_are_looked_at_once() {
    assert_linear(|pot, turns| {
        pot.put(turns.len() / 2);
        drop(turns);
        assert_eq!(
            pot.units.load(Ordering::Relaxed) + pot.line.len(),
            pot.units.load(Ordering::Relaxed)
        );
    });
}
