//! What the tests of all crates share: futures polled by hand, wakers that count or panic, panics
//! without a message, values whose destructors panic, a clock that panics and one that lags behind
//! its timer, what a builder can set, and random numbers from a seed that is printed and can be set.

mod behind;
mod bomb;
mod broken_clock;
mod builder_methods;
mod fuse;
mod panics;
mod random;
mod task;
mod waker;

pub use self::{
    behind::Behind,
    bomb::Bomb,
    broken_clock::BrokenClock,
    builder_methods::builder_methods,
    fuse::Fuse,
    panics::{OnDrop, panics, quiet_panic, quietly},
    random::{random, seed},
    task::{Task, poll, poll_with, ready},
    waker::{CountingWaker, PanickingWaker, keep},
};
pub use tidegate_core::random::Random;
