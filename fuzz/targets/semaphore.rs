//! A fair semaphore against the reference of its own tests.
#![no_main]

#[path = "../../crates/semaphore/tests/it/paper.rs"]
mod paper;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

use paper::{Reference, Step, live_through};

#[derive(Debug, Arbitrary)]
enum Move {
    Try(u8),
    Ask(u8),
    AskUpTo(u8, u8),
    Poll(u8),
    Cancel(u8),
    Release(u8),
    Forget(u8),
    Split(u8, u8),
    Add(u8),
    ForgetFree(u8),
    SetCapacity(u8),
    Close(u8),
}

fn amount(choice: u8) -> usize {
    usize::from(choice % 6)
}

fn place(choice: u8) -> usize {
    usize::from(choice % 16)
}

impl Move {
    /// Makes a close rare, because little happens after it.
    fn step(self) -> Option<Step> {
        Some(match self {
            Move::Try(n) => Step::Try(amount(n)),
            Move::Ask(n) => Step::Ask(amount(n)),
            Move::AskUpTo(n, more) => Step::AskUpTo(amount(n), amount(more)),
            Move::Poll(which) => Step::Poll(place(which)),
            Move::Cancel(which) => Step::Cancel(place(which)),
            Move::Release(which) => Step::Release(place(which)),
            Move::Forget(which) => Step::Forget(place(which)),
            Move::Split(which, n) => Step::Split(place(which), amount(n)),
            Move::Add(n) => Step::Add(amount(n)),
            Move::ForgetFree(n) => Step::ForgetFree(amount(n)),
            Move::SetCapacity(n) => Step::SetCapacity(amount(n)),
            Move::Close(0) => Step::Close,
            Move::Close(_) => return None,
        })
    }
}

fuzz_target!(|input: (u8, Vec<Move>)| {
    let (permits, moves) = input;
    let permits = amount(permits);
    let mut reference = Reference::new(permits);
    reference.debt += usize::from(cfg!(feature = "wrong"));
    live_through(permits, reference, moves.into_iter().filter_map(Move::step));
});
