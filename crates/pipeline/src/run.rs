//! What drives a flow: an executor, a thread, several threads, or a schedule drawn at random.

mod future;

mod stream;

#[cfg(feature = "std")]
mod threads;

#[cfg(feature = "std")]
mod deterministic;

mod engine;
#[cfg(feature = "std")]
mod shared_run;

pub use self::{
    future::{Collect, Run},
    stream::IntoStream,
};
