//! The model kit and the twelve laws of waiting.
//!
//! A *model* is a few steps on two or three threads. Under `--cfg loom` it runs once for every way
//! in which the threads can interleave (up to the preemption bound) and in which the memory model
//! lets loads read. Without loom it runs many times on real threads, for the usual `cargo test` and
//! for ThreadSanitizer. One source serves all three.
//!
//! | you want | write |
//! | --- | --- |
//! | the twelve laws of a primitive | a [`laws::Subject`] and [`laws_of_waiting!`] |
//! | a model of your own | [`model`], [`thread::spawn`], [`poll`], [`CountingWaker`] |
//!
//! In a model, threads may race only for `tidegate_core`'s primitives; loom does not see others.
//! Use two or three threads and few steps: every step multiplies the number of executions.

#[cfg(loom)]
mod executions;
mod waker;

pub mod hostile;
pub mod laws;
#[cfg(not(loom))]
pub mod simulation;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

pub use self::waker::CallingWaker;
/// Its count is not part of a model: only the thread that has joined the others may conclude
/// anything from it.
pub use test_kit::CountingWaker;

/// How often a model runs on real threads.
#[cfg(not(loom))]
const ROUNDS: usize = 200;

/// Runs a model: in every interleaving under loom, else many times on real threads.
///
/// The search allows two preemptions, or as many as the variable `LOOM_MAX_PREEMPTIONS` says. Most
/// bugs need no more than two, and without a bound a model of three threads may take hours.
///
/// In a model with fewer than four executions threads do not meet, and `ci/loom.sh` fails for it.
pub fn model(steps: impl Fn() + Sync + Send + 'static) {
    run(None, steps);
}

/// Runs a model that has fewer than four executions, and says why it proves something all the same.
pub fn short_model(why: &'static str, steps: impl Fn() + Sync + Send + 'static) {
    run(Some(why), steps);
}

#[cfg(loom)]
use executions::run;

#[cfg(not(loom))]
fn run(_: Option<&str>, steps: impl Fn()) {
    (0..ROUNDS).for_each(|_| steps());
}

/// Threads of the model.
pub mod thread {
    #[cfg(loom)]
    pub use loom::thread::{JoinHandle, spawn, yield_now};
    #[cfg(not(loom))]
    pub use std::thread::{JoinHandle, spawn, yield_now};
}

/// Polls a future once with `waker`.
pub fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Polls a future once with a waker that does nothing.
pub fn poll_quietly<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll(future, Waker::noop())
}
