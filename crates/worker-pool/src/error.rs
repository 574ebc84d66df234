//! Why a job has no result, or was not accepted, or a pool has not ended.

use core::fmt;

use alloc::string::String;
#[cfg(feature = "std")]
use std::io;

#[cfg(feature = "std")]
use tidegate_core::BuildError;
use tidegate_core::{lock::Lock, unwind::words};

use crate::unwind::Payload;

/// Why a [`JobHandle`](crate::JobHandle) has no result to give.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().build()?;
/// let job = pool.submit(|| -> u32 { std::panic::panic_any(7) }).wait();
/// let error = job.wait().unwrap_err();
/// assert!(error.is_panic());
/// assert_eq!(error.into_panic().unwrap().downcast_ref(), Some(&7));
/// # Ok::<(), tidegate_worker_pool::StartError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// The job panicked.
    Panicked(Panic),
    /// The job was cancelled by its handle or, if it is a future, by its token or the drop of its
    /// [`Worker`](crate::Worker). Or it was accepted, but dropped before it ran: after
    /// [`shutdown_now`](crate::WorkerPool::shutdown_now), because the queue was full
    /// ([`OnFull`](crate::OnFull)), or because the pool and its last worker were dropped.
    Cancelled,
    /// The pool was closed before the job was accepted. The job did not run.
    Closed,
    /// The queue was full, and the pool [rejects](crate::OnFull::Reject) jobs then. The job did not
    /// run.
    Full,
    /// The job had waited in the queue for longer than
    /// [`max_queue_age`](crate::Builder::max_queue_age), and did not run.
    Expired,
}

impl JoinError {
    /// Returns whether the job panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Returns whether the job was cancelled: see [`Cancelled`](Self::Cancelled).
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Returns whether the pool was closed before the job was accepted.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Returns whether the job was rejected because the queue was full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }

    /// Returns whether the job had waited for too long.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired)
    }

    /// Returns what the job panicked with, for `std::panic::resume_unwind`.
    ///
    /// # Errors
    ///
    /// Returns `self` if the job did not panic.
    pub fn into_panic(self) -> Result<Payload, Self> {
        match self {
            Self::Panicked(panic) => Ok(panic.into_payload()),
            other => Err(other),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => write!(f, "job panicked: {}", panic.message()),
            Self::Cancelled => f.write_str("job cancelled"),
            Self::Closed => f.write_str("worker pool closed"),
            Self::Full => f.write_str("worker pool full"),
            Self::Expired => f.write_str("job waited too long"),
        }
    }
}

impl core::error::Error for JoinError {}

/// The panic of a job: its message, and its payload.
pub struct Panic {
    message: String,
    // Never locked, only taken by value: the lock makes the payload `Sync`, which an error must be.
    payload: Lock<Payload>,
}

impl Panic {
    pub(crate) fn new(payload: Payload) -> Self {
        let message = words(&*payload).unwrap_or("(no message)").into();
        Self { message, payload: Lock::new(payload) }
    }

    /// Returns the message, or `(no message)` if the payload is no text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what the job panicked with.
    pub fn into_payload(self) -> Payload {
        self.payload.into_inner()
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message).finish()
    }
}

/// Why [`execute`](crate::WorkerPool::execute) did not accept a job, which was dropped.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{ExecuteError, OnFull, Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().queue(1).on_full(OnFull::Reject).detached();
/// pool.execute(|| ()).wait()?;
/// assert_eq!(pool.execute(|| ()).wait(), Err(ExecuteError::Full));
/// pool.close();
/// assert_eq!(pool.execute(|| ()).wait(), Err(ExecuteError::Closed));
/// # Ok::<(), ExecuteError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The queue is full, and the pool [rejects](crate::OnFull::Reject) jobs then.
    Full,
    /// The pool is closed.
    Closed,
}

impl ExecuteError {
    /// Returns whether the queue was full.
    pub fn is_full(self) -> bool {
        self == Self::Full
    }

    /// Returns whether the pool is closed.
    pub fn is_closed(self) -> bool {
        self == Self::Closed
    }
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "worker pool full" } else { "worker pool closed" })
    }
}

impl core::error::Error for ExecuteError {}

/// Why `try_submit` did not accept a job, which it gives back.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{TrySubmitError, WorkerPool};
///
/// let pool = WorkerPool::detached(0);
/// let refused = pool.try_submit(|| 7).unwrap_err();
/// assert!(refused.is_full());
/// assert_eq!(refused.into_inner()(), 7);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySubmitError<F> {
    /// There is no room now.
    Full(F),
    /// The pool is closed: there will never be room.
    Closed(F),
}

impl<F> TrySubmitError<F> {
    /// Returns the job.
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(job) | Self::Closed(job) => job,
        }
    }

    /// Returns whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Returns whether the pool is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl<F> fmt::Debug for TrySubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<F> fmt::Display for TrySubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "worker pool full" } else { "worker pool closed" })
    }
}

impl<F> core::error::Error for TrySubmitError<F> {}

/// Why `JobGroup::try_join` did not return the values of all jobs.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupError<E> {
    /// A job returned an error.
    Failed {
        /// The index of the job in the group, from 0.
        index: usize,
        /// The error that the job returned.
        error: E,
    },
    /// A job has no result: it panicked, was cancelled, expired, or was not accepted.
    Lost {
        /// The index of the job in the group, from 0.
        index: usize,
        /// Why the job has no result.
        error: JoinError,
    },
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { index, error } => write!(f, "job {index} of the group failed: {error}"),
            Self::Lost { index, error } => write!(f, "job {index} of the group: {error}"),
        }
    }
}

// The message contains the job's error, which is therefore no source: a report would print it
// twice.
impl<E: fmt::Debug + fmt::Display> core::error::Error for GroupError<E> {}

/// The time allowed for a [shutdown](crate::WorkerPool::shutdown) has passed, and the pool has not
/// ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StillRunning {
    /// Jobs accepted that have neither ended nor been cancelled: those that run, and those that
    /// wait. A snapshot: a job that a worker takes just then may be missing, or be counted twice; a
    /// job that waits only for its [key](crate::KeyedPool) is missing.
    pub jobs: usize,
}

impl fmt::Display for StillRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs have not ended", self.jobs)
    }
}

impl core::error::Error for StillRunning {}

/// Why a pool could not be built or resized.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{StartError, WorkerPool};
///
/// match WorkerPool::builder().threads(0).build() {
///     Err(StartError::Setting(error)) => assert_eq!(error.setting(), "threads"),
///     _ => unreachable!("no pool has 0 threads"),
/// }
/// ```
#[cfg(feature = "std")]
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The number of threads is out of its range.
    Setting(BuildError),
    /// A thread could not be started: the operating system refused it, the function that names it
    /// panicked, or its name contains a null byte.
    Thread(io::Error),
}

#[cfg(feature = "std")]
impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "thread not started: {error}"),
        }
    }
}

// The message contains the inner error, which is therefore no source.
#[cfg(feature = "std")]
impl core::error::Error for StartError {}
