//! The ways to run a flow: in an executor, on one thread or several, or on a schedule drawn at
//! random.

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
