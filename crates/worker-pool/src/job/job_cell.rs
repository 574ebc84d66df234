//! A closure, and then its result: one cell, one allocation, with an end for the worker and one for
//! the handle.
//!
//! ```text
//! worker ─ Runnable ─▶ dyn WorkerSide ─┐                  ┌─ dyn HandleSide<T> ◀ ResultReceiver<T>
//!                                      └─▶ JobCell<F, T> ◀┘                         of a JobHandle
//! ```
//!
//! The bits of its state say which end owns its content. So a job takes no lock if its handle is
//! polled only after the job's end, or never:
//!
//! ```text
//! worker: TAKEN ─▶ run ─▶ store ─▶ ENDED ─▶ HAS_WAKER? wake · HANDLE_DROPPED? drop the result
//! handle: ENDED? take the result : leave the waker ─▶ HAS_WAKER ─▶ ENDED after all? take it
//! drop:   HANDLE_DROPPED ─▶ ENDED? drop the result
//! ```

use core::{
    any::Any,
    mem,
    task::{Context, Poll, Waker},
};

use alloc::boxed::Box;

use tidegate_core::{
    CancelToken, Timestamp,
    lock::Lock,
    primitive::{
        Arc, UnsafeCell,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    unwind::in_drop,
};

use crate::{
    error::{JoinError, Panic},
    unwind::{Payload, bury, catch, contain},
};

/// The closure was taken.
const TAKEN: u8 = 1;
/// The result is stored.
const ENDED: u8 = 2;
/// The handle has left a waker.
const HAS_WAKER: u8 = 4;
/// The handle was dropped.
const HANDLE_DROPPED: u8 = 8;
/// A worker polls the future, whose handle can still cancel it.
const BEGUN: u8 = 16;

/// Called when a job has returned or panicked, before its handle can see the end; with the payload
/// if it panicked. Not called for a job that is cancelled.
pub(crate) type OnEnd<'a> = &'a mut dyn FnMut(Option<&(dyn Any + Send)>);

/// The worker's end. A job whose `Runnable` is dropped before it ran is cancelled.
#[derive(Default)]
pub(crate) struct Runnable {
    // `None` once the job was run, failed or discarded.
    cell: Option<Arc<dyn WorkerSide>>,
}

/// The handle's end. Dropping it gives the result up.
pub(crate) struct ResultReceiver<T> {
    // INVARIANT: the only `ResultReceiver` of its cell.
    cell: Arc<dyn HandleSide<T>>,
}

/// The caller's end of a new job: it becomes the `ResultReceiver`, or gives the closure back if the
/// pool refuses the job.
pub(crate) struct Unsubmitted<F, T> {
    // INVARIANT: there is no `ResultReceiver` of this cell.
    cell: Arc<JobCell<F, T>>,
}

/// Creates both ends of a job. `JobHandle::cancel` also cancels `token`, which tells a job that
/// runs to stop.
pub(crate) fn runnable<F, T>(
    closure: F,
    token: Option<CancelToken>,
) -> (Runnable, Unsubmitted<F, T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let cell = Arc::new(JobCell::new(closure, token));
    (Runnable { cell: Some(cell.clone()) }, Unsubmitted { cell })
}

impl<F: Send + 'static, T: Send + 'static> Unsubmitted<F, T> {
    /// Takes the closure back, because the pool refused the job.
    pub(crate) fn into_closure(self) -> F {
        let (closure, _never_settled) =
            self.cell.take_closure().expect("a job that was refused has not run");
        closure
    }

    pub(crate) fn into_receiver(self) -> ResultReceiver<T> {
        ResultReceiver { cell: self.cell }
    }
}

impl Runnable {
    /// Notes when the job was accepted.
    pub(crate) fn accept(&self, now: Timestamp) {
        if let Some(cell) = &self.cell {
            // ORDERING: Relaxed: the time travels with the job, through the queue.
            cell.accepted().store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Returns when the job was accepted; [`Timestamp::NEVER`] if that was not noted.
    pub(crate) fn accepted(&self) -> Timestamp {
        let nanos = |cell: &Arc<dyn WorkerSide>| cell.accepted().load(Ordering::Relaxed);
        self.cell.as_ref().map_or(Timestamp::NEVER, |cell| Timestamp::from_nanos(nanos(cell)))
    }

    /// Runs the closure and settles the cell, unless the handle has cancelled the job; calls
    /// `on_end` before the handle can see the end.
    ///
    /// # Errors
    ///
    /// The panic of the result's destructor, if the handle was dropped before the job ended.
    pub(crate) fn run(mut self, on_end: OnEnd<'_>) -> Result<(), Payload> {
        self.cell.take().map_or(Ok(()), |cell| cell.run(on_end))
    }

    /// Drops the closure and settles the cell with `why`; returns false if the handle has cancelled
    /// the job before.
    #[must_use]
    pub(crate) fn discard(mut self, why: JoinError) -> bool {
        let mut was_there = true;
        if let Some(cell) = self.cell.take() {
            // What the closure has captured is foreign. If its destructor panics, the closure was
            // there, and `was_there` stays true.
            contain(|| was_there = cell.discard(why));
        }
        was_there
    }

    /// Notes that a worker begins with the job's future; returns false if the handle has cancelled
    /// the job before.
    #[must_use]
    pub(crate) fn begin(&self) -> bool {
        self.cell.as_ref().is_none_or(|cell| cell.begin())
    }

    /// Returns whether the handle has cancelled the job. To be asked only of a job that no worker
    /// has begun: otherwise a worker may have taken the closure.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.is_taken())
    }

    /// Settles the cell with the panic of the job's future, unless the handle has cancelled the
    /// job; calls `on_end` first.
    pub(crate) fn fail(mut self, payload: Payload, on_end: OnEnd<'_>) {
        if let Some(cell) = self.cell.take() {
            cell.fail(payload, on_end);
        }
    }
}

impl Drop for Runnable {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            // What the closure has captured is foreign, and the job may be one of many that are
            // dropped together.
            contain(|| _ = cell.discard(JoinError::Cancelled));
        }
    }
}

impl<T> ResultReceiver<T> {
    /// Takes the result, or leaves the waker, to be called when the result is there. Must not be
    /// called after it was ready.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        self.cell.poll_join(cx)
    }

    /// Cancels the job, or tells it to stop if it runs; returns whether it was cancelled. If so,
    /// and if no worker had begun with it, calls `release_slot` before the cell is settled.
    pub(crate) fn cancel(&self, release_slot: &mut dyn FnMut()) -> bool {
        self.cell.cancel(release_slot)
    }

    /// Returns whether the job has ended, in whatever way.
    pub(crate) fn is_ended(&self) -> bool {
        self.cell.is_ended()
    }
}

impl<T> Drop for ResultReceiver<T> {
    fn drop(&mut self) {
        self.cell.drop_handle();
    }
}

/// What a [`Runnable`] does with its cell.
trait WorkerSide: Send + Sync {
    fn accepted(&self) -> &AtomicU64;
    fn run(&self, on_end: OnEnd<'_>) -> Result<(), Payload>;
    fn fail(&self, payload: Payload, on_end: OnEnd<'_>);
    fn discard(&self, why: JoinError) -> bool;
    fn begin(&self) -> bool;
    fn is_taken(&self) -> bool;
}

/// What the only [`ResultReceiver`] does with its cell. The receiver is borrowed mutably to poll.
trait HandleSide<T>: Send + Sync {
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>>;
    fn is_ended(&self) -> bool;
    fn cancel(&self, release_slot: &mut dyn FnMut()) -> bool;
    fn drop_handle(&self);
}

struct JobCell<F, T> {
    /// | bit | name | meaning | set by |
    /// | --- | --- | --- | --- |
    /// | 0 | `TAKEN` | its setter owns the content until it sets `ENDED` | `take_closure` |
    /// | 1 | `ENDED` | the result is stored, for the handle | `settle` |
    /// | 2 | `HAS_WAKER` | the handle has left a waker | `poll_join` |
    /// | 3 | `HANDLE_DROPPED` | the later of this and `ENDED` drops the result | `drop_handle` |
    /// | 4 | `BEGUN` | of a future: a worker polls it; its handle can still cancel it | `begin` |
    ///
    /// A bit that is set is never cleared.
    state: AtomicU8,
    content: UnsafeCell<Content<F, T>>,
    waker: Lock<Option<Waker>>,
    /// When the job was accepted, in nanoseconds; those of `Timestamp::NEVER` if that was not
    /// noted.
    accepted: AtomicU64,
    token: Option<CancelToken>,
}

enum Content<F, T> {
    Closure(F),
    Nothing,
    Result(Result<T, JoinError>),
}

// SAFETY: the closure is moved out by one thread and the result by one other (`Send`); no thread
// ever has a reference to either while another thread may have one.
unsafe impl<F: Send, T: Send> Sync for JobCell<F, T> {}

/// The right to store the result. There is one for each cell.
struct ResultSlot<'a, F, T> {
    cell: &'a JobCell<F, T>,
    /// Whether a worker had begun to poll the job's future; false for a closure.
    had_begun: bool,
}

impl<F, T> JobCell<F, T> {
    fn new(closure: F, token: Option<CancelToken>) -> Self {
        Self {
            state: AtomicU8::new(0),
            content: UnsafeCell::new(Content::Closure(closure)),
            waker: Lock::new(None),
            accepted: AtomicU64::new(Timestamp::NEVER.as_nanos()),
            token,
        }
    }

    /// Takes the closure and the right to store its result; `None` if another caller has taken
    /// them.
    fn take_closure(&self) -> Option<(F, ResultSlot<'_, F, T>)> {
        // ORDERING: Relaxed: the closure came with the cell itself, through the queue or with the
        // handle; only the first caller counts.
        let before = self.state.fetch_or(TAKEN, Ordering::Relaxed);
        if before & TAKEN != 0 {
            return None;
        }
        let had_begun = before & BEGUN != 0;
        // SAFETY: we have set `TAKEN`; `ENDED` is not set, for only our `ResultSlot` can set it.
        match unsafe { self.replace(Content::Nothing) } {
            Content::Closure(closure) => Some((closure, ResultSlot { cell: self, had_begun })),
            _ => unreachable!("a cell begins with its closure"),
        }
    }

    /// Takes the result; `None` if it was taken before.
    ///
    /// # Safety
    ///
    /// `ENDED` was read or written with Acquire, and no other thread will access the content.
    unsafe fn take_result(&self) -> Option<Result<T, JoinError>> {
        // SAFETY: as the caller says.
        match unsafe { self.replace(Content::Nothing) } {
            Content::Result(result) => Some(result),
            _ => None,
        }
    }

    /// # Safety
    ///
    /// No other thread accesses the content meanwhile.
    unsafe fn replace(&self, content: Content<F, T>) -> Content<F, T> {
        // SAFETY: as the caller says.
        self.content.with_mut(|place| unsafe { mem::replace(&mut *place, content) })
    }
}

impl<F, T> ResultSlot<'_, F, T> {
    /// Stores the result and wakes the task or thread that waits for it; returns the result if its
    /// handle was dropped.
    fn settle(self, result: Result<T, JoinError>) -> Option<Result<T, JoinError>> {
        let cell = self.cell;
        // SAFETY: the owner of the only `ResultSlot` owns the content until `ENDED` is set, and
        // this consumes it.
        unsafe { cell.replace(Content::Result(result)) };
        // ORDERING: AcqRel: Release: the result is seen by the handle that reads `ENDED`. Acquire:
        // what the handle did before it was dropped happens before the drop of its result.
        let before = cell.state.fetch_or(ENDED, Ordering::AcqRel);
        if before & HANDLE_DROPPED != 0 {
            // SAFETY: the handle was dropped before the result was stored: it will not read it.
            return unsafe { cell.take_result() };
        }
        if before & HAS_WAKER != 0 {
            if let Some(waker) = cell.waker.with(Option::take) {
                waker.wake();
            }
        }
        None
    }
}

/// Runs foreign code when it is dropped.
struct Afterwards<F: FnMut()>(F);

impl<F: FnMut()> Drop for Afterwards<F> {
    fn drop(&mut self) {
        in_drop(&mut self.0);
    }
}

/// Settles a job whose panic unwinds through this frame, as a panic does without std.
struct Unwinding<'a, F, T> {
    // `None` once the job has ended in another way.
    running: Option<(ResultSlot<'a, F, T>, OnEnd<'a>)>,
}

impl<F, T> Drop for Unwinding<'_, F, T> {
    fn drop(&mut self) {
        if let Some((slot, on_end)) = self.running.take() {
            let payload: Payload = Box::new("the payload went on to the worker's executor");
            on_end(Some(&*payload));
            drop(slot.settle(Err(JoinError::Panicked(Panic::new(payload)))));
        }
    }
}

impl<F: FnOnce() -> T + Send, T: Send> WorkerSide for JobCell<F, T> {
    fn accepted(&self) -> &AtomicU64 {
        &self.accepted
    }

    fn run(&self, on_end: OnEnd<'_>) -> Result<(), Payload> {
        let Some((closure, slot)) = self.take_closure() else { return Ok(()) };
        let mut unwinding = Unwinding { running: Some((slot, on_end)) };
        let result = catch(closure);
        let Some((slot, on_end)) = unwinding.running.take() else { return Ok(()) };
        on_end(result.as_ref().err().map(|payload| &**payload));
        let unwanted =
            slot.settle(result.map_err(|payload| JoinError::Panicked(Panic::new(payload))));
        if unwanted.is_some() { catch(|| drop(unwanted)) } else { Ok(()) }
    }

    fn fail(&self, payload: Payload, on_end: OnEnd<'_>) {
        // The closure's own destructor may panic, too; the caller contains that panic.
        let Some((_closure, slot)) = self.take_closure() else { return bury(payload) };
        on_end(Some(&*payload));
        drop(slot.settle(Err(JoinError::Panicked(Panic::new(payload)))));
    }

    fn discard(&self, why: JoinError) -> bool {
        // The closure's destructor is foreign code: it runs last.
        let Some((_closure, slot)) = self.take_closure() else { return false };
        slot.settle(Err(why));
        true
    }

    fn begin(&self) -> bool {
        // ORDERING: Relaxed: as in `take_closure`: only the first caller counts.
        self.state.fetch_or(BEGUN, Ordering::Relaxed) & TAKEN == 0
    }

    fn is_taken(&self) -> bool {
        // ORDERING: Relaxed: it publishes nothing.
        self.state.load(Ordering::Relaxed) & TAKEN != 0
    }
}

impl<F: Send, T: Send> HandleSide<T> for JobCell<F, T> {
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        // ORDERING: Acquire: pairs with the Release in `settle`: the result is there.
        let mut state = self.state.load(Ordering::Acquire);
        if state & ENDED == 0 {
            // A waker's code is foreign: the clone comes before the lock, the old waker's drop
            // after it.
            let waker = cx.waker().clone();
            drop(self.waker.with(|left| left.replace(waker)));
            // ORDERING: Acquire: if the job has ended, the result is there. A job that ends after
            // this finds the bit, and then the new waker, which is stored already. If an earlier
            // poll has set the bit, a job that ends before this may have taken that poll's waker:
            // it held the waker's lock before we did, so this sees `ENDED`.
            state = self.state.fetch_or(HAS_WAKER, Ordering::Acquire);
            if state & ENDED == 0 {
                return Poll::Pending;
            }
        }
        // SAFETY: the only `ResultReceiver` of the cell is borrowed mutably, so it was not dropped:
        // after `ENDED` it alone reads the content.
        match unsafe { self.take_result() } {
            Some(result) => Poll::Ready(result),
            None => unreachable!("polled after it was ready"),
        }
    }

    fn is_ended(&self) -> bool {
        // ORDERING: Acquire: a caller that finds the job ended sees what it did.
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    fn cancel(&self, release_slot: &mut dyn FnMut()) -> bool {
        let (mut closure, slot) = self.take_closure().unzip();
        let is_cancelled = slot.is_some();
        // Wakers and the closure's destructor, which runs last, are foreign: each is reached even
        // if one before it panics.
        let _dropped = Afterwards(|| drop(closure.take()));
        let _told = Afterwards(|| _ = self.token.as_ref().map(CancelToken::cancel));
        if let Some(slot) = slot {
            if !slot.had_begun {
                release_slot();
            }
            slot.settle(Err(JoinError::Cancelled));
        }
        is_cancelled
    }

    fn drop_handle(&self) {
        if !self.is_ended() {
            // ORDERING: AcqRel: Release: see `settle`. Acquire: the result is there to be dropped.
            let before = self.state.fetch_or(HANDLE_DROPPED, Ordering::AcqRel);
            if before & ENDED == 0 {
                if before & HAS_WAKER != 0 {
                    drop(self.waker.with(Option::take));
                }
                return;
            }
        }
        // SAFETY: the result is stored, and the only `ResultReceiver` is being dropped: this is its
        // last access.
        let result = unsafe { self.take_result() };
        // The result may be one of many that are dropped together.
        in_drop(|| drop(result));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;

    #[test]
    fn job_that_unwinds_past_its_cell_settles_it_and_is_counted() {
        let cell = JobCell::<fn(), ()>::new(|| (), None);
        let mut panics = 0;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut on_end =
                |panic: Option<&(dyn Any + Send)>| panics += usize::from(panic.is_some());
            let (_closure, slot) = cell.take_closure().unwrap();
            let _unwinding = Unwinding { running: Some((slot, &mut on_end)) };
            resume_unwind(Box::new("quiet"));
        }));
        assert!(unwound.is_err());
        assert_eq!(panics, 1);
        let Poll::Ready(Err(error)) = cell.poll_join(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("the handle hangs");
        };
        assert!(error.is_panic());
    }
}
