//! The workers of a pool: the loop that runs jobs, and the threads that drive it.

#[cfg(feature = "std")]
mod loop_hooks;
#[cfg(feature = "std")]
pub(crate) mod thread_limits;
#[cfg(feature = "std")]
pub(crate) mod threads;
#[cfg(not(feature = "std"))]
#[path = "workers/no_threads.rs"]
pub(crate) mod threads;
pub(crate) mod worker;
mod worker_state;
