//! A job and the place of its result: one cell, one allocation, seen from two sides.
//!
//! ```text
//! worker ── Job ──▶ dyn Run ─┐                         ┌─ dyn Join<T> ◀── JobHandle<T> ── whoever waits
//!                            └──▶ Task<F, T> (one lock) ◀┘
//! ```
//!
//! The result and the waker of who waits for it are under the same lock. So a result is either there when its handle
//! looks, or finds the waker that the handle has left; there is no third case.

use core::{
    any::Any,
    mem,
    task::{Context, Poll, Waker},
};

use alloc::boxed::Box;

use tidegate_core::{Timestamp, lock::Lock, primitive::Arc};

use crate::{
    error::{JoinError, Panic},
    panic::{Payload, catch},
};

/// Hears of a job's end before its handle does: of the payload if it panicked.
type Ended<'a> = &'a mut dyn FnMut(Option<&(dyn Any + Send)>);

/// A job as its pool sees it. Dropped unrun, it is cancelled.
pub(crate) struct Job {
    // `None` once it is run or discarded.
    task: Option<Arc<dyn Run>>,
    /// When it was accepted, if somebody measures.
    pub(crate) accepted: Option<Timestamp>,
}

impl Job {
    pub(crate) fn new<F, T>(task: Arc<Task<F, T>>) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Self { task: Some(task), accepted: None }
    }

    /// Runs the closure and settles the cell; `ended` hears of the end first, with the payload of a panic.
    ///
    /// # Errors
    ///
    /// A second panic, of a result that nobody wanted and that would not be dropped.
    pub(crate) fn run(mut self, ended: Ended<'_>) -> Result<(), Payload> {
        self.task.take().map_or(Ok(()), |task| task.run(ended))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.discard();
        }
    }
}

/// The worker's side.
trait Run: Send + Sync {
    fn run(&self, ended: Ended<'_>) -> Result<(), Payload>;
    fn discard(&self);
}

/// The handle's side.
pub(crate) trait Join<T>: Send + Sync {
    /// Takes the result, or leaves the waker to be called when it is there.
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>>;
    /// Returns whether the job has ended, in whatever way.
    fn is_finished(&self) -> bool;
    /// Gives the result up.
    fn detach(&self);
}

pub(crate) struct Task<F, T> {
    cell: Lock<Cell<F, T>>,
}

struct Cell<F, T> {
    stage: Stage<F, T>,
    // INVARIANT: `None` unless the handle waits.
    waker: Option<Waker>,
    /// There is a handle.
    wanted: bool,
}

/// | stage | meaning | left by |
/// | --- | --- | --- |
/// | `Queued` | accepted, or about to be | `run`, `discard`, `take_back` |
/// | `Running` | the closure is out | `settle` |
/// | `Ended` | the result waits for its handle | `poll_join`, `detach` |
/// | `Over` | nothing is left | – |
enum Stage<F, T> {
    Queued(F),
    Running,
    Ended(Result<T, JoinError>),
    Over,
}

impl<F, T> Cell<F, T> {
    fn take_closure(&mut self) -> Option<F> {
        match mem::replace(&mut self.stage, Stage::Running) {
            Stage::Queued(closure) => Some(closure),
            other => {
                self.stage = other;
                None
            }
        }
    }

    fn take_result(&mut self) -> Option<Result<T, JoinError>> {
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Ended(result) => Some(result),
            other => {
                self.stage = other;
                None
            }
        }
    }
}

impl<F, T> Task<F, T> {
    /// Creates the cell of a job; `wanted` if there is a handle.
    pub(crate) fn new(closure: F, wanted: bool) -> Arc<Self> {
        let cell = Cell { stage: Stage::Queued(closure), waker: None, wanted };
        Arc::new(Self { cell: Lock::new(cell) })
    }

    /// Takes the closure out of a job that was refused.
    pub(crate) fn take_back(&self) -> Option<F> {
        self.cell.with(Cell::take_closure)
    }

    /// Puts the result in and wakes who waits for it; returns it if nobody wants it.
    fn settle(&self, result: Result<T, JoinError>) -> Option<Result<T, JoinError>> {
        let (waker, unwanted) = self.cell.with(|cell| {
            let (stage, unwanted) = if cell.wanted {
                (Stage::Ended(result), None)
            } else {
                (Stage::Over, Some(result))
            };
            cell.stage = stage;
            (cell.waker.take(), unwanted)
        });
        if let Some(waker) = waker {
            waker.wake();
        }
        unwanted
    }
}

/// Settles a job whose panic unwinds past us, as it does without std.
struct Unwinding<'a, F, T> {
    task: &'a Task<F, T>,
    // `None` once the job has ended in another way.
    ended: Option<Ended<'a>>,
}

impl<F, T> Drop for Unwinding<'_, F, T> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            let payload: Payload = Box::new("the payload went on to the worker's executor");
            ended(Some(&*payload));
            drop(self.task.settle(Err(JoinError::Panicked(Panic::new(payload)))));
        }
    }
}

impl<F, T> Run for Task<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, ended: Ended<'_>) -> Result<(), Payload> {
        let Some(closure) = self.take_back() else { return Ok(()) };
        let mut unwinding = Unwinding { task: self, ended: Some(ended) };
        let result = catch(closure);
        if let Some(ended) = unwinding.ended.take() {
            ended(result.as_ref().err().map(|payload| &**payload));
        }
        let unwanted =
            self.settle(result.map_err(|payload| JoinError::Panicked(Panic::new(payload))));
        catch(|| drop(unwanted))
    }

    fn discard(&self) {
        // The closure's destructor is foreign code: it runs last, with the lock open.
        if let Some(_closure) = self.take_back() {
            self.settle(Err(JoinError::Cancelled));
        }
    }
}

impl<F, T> Join<T> for Task<F, T>
where
    F: Send,
    T: Send,
{
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        if let Some(result) = self.cell.with(Cell::take_result) {
            return Poll::Ready(result);
        }
        // A waker's code is foreign: it is cloned before the lock is taken, and a replaced one dropped after.
        let waker = cx.waker().clone();
        let (result, _replaced) = self.cell.with(|cell| match cell.take_result() {
            Some(result) => (Some(result), Some(waker)),
            None => (None, cell.waker.replace(waker)),
        });
        result.map_or(Poll::Pending, Poll::Ready)
    }

    fn is_finished(&self) -> bool {
        self.cell.with(|cell| matches!(cell.stage, Stage::Ended(_) | Stage::Over))
    }

    fn detach(&self) {
        let _dropped_outside = self.cell.with(|cell| {
            cell.wanted = false;
            (cell.waker.take(), cell.take_result())
        });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;

    #[test]
    fn job_that_unwinds_past_its_cell_settles_it_and_is_counted() {
        let task = Task::<fn(), ()>::new(|| (), true);
        let mut panics = 0;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut ended =
                |panic: Option<&(dyn Any + Send)>| panics += usize::from(panic.is_some());
            let _closure = task.take_back();
            let _unwinding = Unwinding { task: &task, ended: Some(&mut ended) };
            resume_unwind(Box::new("quiet"));
        }));
        assert!(unwound.is_err());
        assert_eq!(panics, 1);
        let Poll::Ready(Err(error)) = task.poll_join(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("the handle hangs");
        };
        assert!(error.is_panic());
    }
}
