#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! ```text
//! submit ─▶ room? ──no──▶ look for a while, wait        worker: job? ──no──▶ look for a while, sleep
//!             │ yes                                                │ yes
//!             ▼                                                    ▼
//!          the queue, a ring ──────────────────────────────▶ run it, contain its panic
//!                                                                  ▼
//!          handle ◀──────── result, panic or "cancelled" ──── settle the job's cell
//! ```
//!
//! A queue of capacity 0 is a hand-off: a worker that comes for a job makes room for one.
//!
//! # Submitting from inside a job
//!
//! A job may use its own pool. [`try_submit`](WorkerPool::try_submit) never waits, nor do `submit` and `execute` where
//! [`callers run`](OnFull::CallerRuns) what finds no room. Three waits can be for itself, and are deadlocks if all are in one:
//! - for room in a full queue, as above;
//! - for the handle of another job: a waiting worker runs no others, which could need its stack, or a lock that it holds;
//! - for [`shutdown`](WorkerPool::shutdown) or [`idle`](WorkerPool::idle): a job that wants its pool to end calls [`close`](WorkerPool::close).
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod builder;
#[allow(unsafe_code, reason = "a closure and its result in an UnsafeCell, argued there")]
mod cell;
mod crew;
mod driven;
mod error;
mod group;
mod handle;
#[cfg(feature = "std")]
mod headcount;
mod intake;
mod lanes;
mod overflow;
mod panic;
mod pause;
mod pending;
mod per_worker;
mod pool;
#[cfg(feature = "std")]
mod scope;
mod shared;
mod shutdown;
mod stats;
mod submit;
mod task;
mod threads;
mod worker;

pub use tidegate_core::{
    CancelToken, Cancelled, Clock, Closed, ManualClock, SystemClock, TimedOut, Timer, Wait,
};

pub use self::{
    builder::Builder,
    error::{ExecuteError, JoinError, Panic, TrySubmitError},
    group::{GroupError, JobGroup, Join, JoinNext, TryJoin},
    handle::JobHandle,
    lanes::{Lanes, SubmitKeyed},
    overflow::OnFull,
    panic::Payload,
    pause::PauseGuard,
    pending::Pending,
    per_worker::PerWorker,
    pool::WorkerPool,
    shutdown::{Idle, Shutdown, ShutdownWithin, StillRunning},
    stats::Stats,
    submit::{Execute, RunJob, Submit},
    worker::Worker,
};
#[cfg(feature = "std")]
pub use self::{headcount::ThreadCount, scope::Scope};
