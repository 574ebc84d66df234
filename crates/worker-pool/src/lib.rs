#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! ```text
//! submit ─▶ room? ──no──▶ spin, wait          worker: job? ──no──▶ spin, sleep
//!             │ yes                                    │ yes
//!             ▼                                        ▼
//!          the queue, a ring ──────────────▶ run it, contain its panic
//!                                                      ▼
//!          handle ◀── result, panic or "cancelled" ── settle the job's cell
//! ```
//!
//! A queue of capacity 0 is a rendezvous: a worker that comes for a job makes room for one.
//!
//! # Submitting from inside a job
//!
//! A job may use its own pool. [`try_submit`](WorkerPool::try_submit) never waits, nor do `submit`
//! and `execute` if [`OnFull`] is anything but `Wait`, the default. But two waits need another
//! worker, and deadlock if every worker is in one of them:
//! - the wait for room in a full queue;
//! - the wait for the handle of another job: a worker that waits runs no other job meanwhile, as
//!   that could need more stack than is left, or a lock that the waiting job holds.
//!
//! And no job may wait for [`shutdown`](WorkerPool::shutdown) or [`idle`](WorkerPool::idle), which
//! would wait for that job: a job that wants its pool to end calls [`close`](WorkerPool::close).
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

// First, so that its constructors are the first on the page of `WorkerPool`.
mod pool;

mod builder;
mod error;
pub mod future;
mod group;
mod job;
mod keyed;
mod on_full;
mod pause;
mod per_worker;
mod report;
#[cfg(feature = "std")]
mod scope;
mod settings;
mod shutdown;
mod state;
mod stats;
mod submit;
mod unstarted;
mod unwind;
mod workers;

pub use tidegate_core::{
    BuildError, CancelToken, Cancelled, Clock, Closed, ManualClock, SystemClock, TimedOut, Timer,
    Wait,
};

pub use self::{
    builder::Builder,
    error::{ExecuteError, GroupError, JoinError, Panic, StillRunning, TrySubmitError},
    group::JobGroup,
    job::handle::JobHandle,
    keyed::KeyedPool,
    on_full::OnFull,
    pause::PauseGuard,
    per_worker::PerWorker,
    pool::WorkerPool,
    settings::PoolSettings,
    stats::Stats,
    unstarted::UnstartedJob,
    unwind::Payload,
    workers::worker::Worker,
};
#[cfg(feature = "std")]
pub use self::{error::StartError, scope::Scope, workers::thread_limits::ThreadCount};
