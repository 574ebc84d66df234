//! A closure, and then its result: one cell, one allocation, with an end for the worker and one for the handle.
//!
//! ```text
//! worker ── Errand ──▶ dyn Run ─┐                  ┌─ dyn Join<T> ◀── Reply<T> ── JobHandle<T> ── whoever waits
//!                               └──▶ Cell<F, T> ◀──┘
//! ```
//!
//! Four bits say who may touch what is in it, so that a job whose handle comes late, or not at all, takes no lock:
//!
//! ```text
//! worker: TAKEN ─▶ run ─▶ put the result ─▶ ENDED ─▶ WAITED? wake · GIVEN_UP? drop the result
//! handle: ENDED? take the result : leave the waker ─▶ WAITED ─▶ ENDED after all? take the result
//! drop:   GIVEN_UP ─▶ ENDED? drop the result
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
    panic::{Payload, bury, catch, contain},
};

/// The closure is out.
const TAKEN: u8 = 1;
/// The result is in.
const ENDED: u8 = 2;
/// The handle has left a waker.
const WAITED: u8 = 4;
/// The handle is gone.
const GIVEN_UP: u8 = 8;
/// A future has a worker, and can still be taken from it.
const BEGUN: u8 = 16;

/// Nobody has noted when the job was accepted.
const NOT_NOTED: u64 = u64::MAX;

/// Hears of a job's end before its handle does: of the payload if it panicked.
pub(crate) type Ended<'a> = &'a mut dyn FnMut(Option<&(dyn Any + Send)>);

/// The worker's end. Dropped unrun, the job is cancelled.
pub(crate) struct Errand {
    // `None` once it is run or discarded.
    cell: Option<Arc<dyn Run>>,
}

/// The handle's end. Dropped, the result is given up.
pub(crate) struct Reply<T> {
    // INVARIANT: the only `Reply` of its cell.
    cell: Arc<dyn Join<T>>,
}

/// What becomes the handle's end of a job that is accepted.
pub(crate) struct Draft<F, T, S = ()> {
    // INVARIANT: there is no `Reply` of this cell.
    cell: Arc<Cell<F, T, S>>,
}

/// Makes both ends of a job that nothing can stop once it has begun.
pub(crate) fn errand<F, T>(closure: F) -> (Errand, Draft<F, T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    errand_with(closure, ())
}

/// Makes both ends of a job, and says how a handle that cancels tells it so.
pub(crate) fn errand_with<F, T, S>(closure: F, stop: S) -> (Errand, Draft<F, T, S>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
    S: Stop + 'static,
{
    let cell = Arc::new(Cell {
        state: AtomicU8::new(0),
        content: UnsafeCell::new(Content::Closure(closure)),
        waker: Lock::new(None),
        accepted: AtomicU64::new(NOT_NOTED),
        stop,
    });
    (Errand { cell: Some(cell.clone()) }, Draft { cell })
}

/// Tells a job that has begun that its handle cancels it.
pub(crate) trait Stop: Send + Sync {
    fn stop(&self);
}

impl Stop for () {
    fn stop(&self) {}
}

impl Stop for CancelToken {
    fn stop(&self) {
        self.cancel();
    }
}

impl<F, T, S> Draft<F, T, S> {
    /// Takes the closure out of a job that was refused.
    pub(crate) fn take_back(self) -> F {
        let (closure, _never_settled) =
            self.cell.take_closure().expect("a job that was refused has not run");
        closure
    }
}

impl<F, T, S> Draft<F, T, S>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
    S: Stop + 'static,
{
    pub(crate) fn into_reply(self) -> Reply<T> {
        Reply { cell: self.cell }
    }
}

impl Errand {
    /// Takes the worker's end out; nothing is left to cancel.
    pub(crate) fn take(&mut self) -> Self {
        Self { cell: self.cell.take() }
    }

    /// Notes when the job was accepted.
    pub(crate) fn accept(&self, now: Timestamp) {
        if let Some(cell) = &self.cell {
            // ORDERING: Relaxed: it goes with the job, through the queue.
            cell.accepted().store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Returns when it was accepted, if that was noted.
    pub(crate) fn accepted(&self) -> Option<Timestamp> {
        let nanos = self.cell.as_ref()?.accepted().load(Ordering::Relaxed);
        (nanos != NOT_NOTED).then(|| Timestamp::from_nanos(nanos))
    }

    /// Runs the closure and settles the cell; `ended` hears of the end first, with the payload of a panic.
    ///
    /// # Errors
    ///
    /// A second panic, of a result that nobody wanted and that would not be dropped.
    pub(crate) fn run(mut self, ended: Ended<'_>) -> Result<(), Payload> {
        self.cell.take().map_or(Ok(()), |cell| cell.run(ended))
    }

    /// Drops the closure, because the job has waited too long; returns false if its handle has called it off before.
    #[must_use]
    pub(crate) fn expire(self) -> bool {
        self.discard(JoinError::Expired)
    }

    /// Drops the closure; returns false if its handle has called it off before.
    #[must_use]
    pub(crate) fn cancel(self) -> bool {
        self.discard(JoinError::Cancelled)
    }

    fn discard(mut self, why: JoinError) -> bool {
        let mut was_there = true;
        if let Some(cell) = self.cell.take() {
            // What the closure has captured is foreign. If it panics, it was there.
            contain(|| was_there = cell.discard(why));
        }
        was_there
    }

    /// Notes that a worker begins with what gives the result; returns false if its handle has called it off before.
    #[must_use]
    pub(crate) fn begin(&self) -> bool {
        self.cell.as_ref().is_none_or(|cell| cell.begin())
    }

    /// Returns whether its handle has called it off. Final, of a job that no worker has.
    pub(crate) fn is_called_off(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.is_taken())
    }

    /// Settles the cell with a panic of what was to give its result, unless it is settled; `ended` hears of it first.
    pub(crate) fn fail(mut self, payload: Payload, ended: Ended<'_>) {
        if let Some(cell) = self.cell.take() {
            cell.fail(payload, ended);
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            // What the closure has captured is foreign, and may be one of many that are dropped together.
            contain(|| _ = cell.discard(JoinError::Cancelled));
        }
    }
}

impl<T> Reply<T> {
    /// Takes the result, or leaves the waker to be called when it is there. Not to be called after it was ready.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        self.cell.poll_join(cx)
    }

    /// Takes the closure out of a job that can be called off, and drops it, or tells the job. `vacate` is called before, if it
    /// was still where it waited for a worker. Returns whether it was called off.
    pub(crate) fn cancel(&self, vacate: &mut dyn FnMut()) -> bool {
        self.cell.cancel(vacate)
    }

    /// Returns whether the job has ended, in whatever way.
    pub(crate) fn is_ended(&self) -> bool {
        self.cell.is_ended()
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.cell.give_up();
    }
}

/// The worker's side.
trait Run: Send + Sync {
    fn accepted(&self) -> &AtomicU64;
    fn run(&self, ended: Ended<'_>) -> Result<(), Payload>;
    fn fail(&self, payload: Payload, ended: Ended<'_>);
    fn discard(&self, why: JoinError) -> bool;
    fn begin(&self) -> bool;
    fn is_taken(&self) -> bool;
}

/// The handle's side. Called by the one [`Reply`] of a cell, which lends itself mutably where that matters.
trait Join<T>: Send + Sync {
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>>;
    fn is_ended(&self) -> bool;
    fn cancel(&self, vacate: &mut dyn FnMut()) -> bool;
    fn give_up(&self);
}

struct Cell<F, T, S> {
    /// | bit | name | meaning | set by |
    /// | --- | --- | --- | --- |
    /// | 0 | `TAKEN` | who has set it has the content, until it sets `ENDED` | `take_closure` |
    /// | 1 | `ENDED` | the result is in, for the handle | `settle` |
    /// | 2 | `WAITED` | the handle has left a waker | `poll_join` |
    /// | 3 | `GIVEN_UP` | the handle is gone: the result is for who comes last | `give_up` |
    /// | 4 | `BEGUN` | of a future: it has left the queue, though its content can still be taken | `begin` |
    ///
    /// Set once each, and never cleared.
    state: AtomicU8,
    content: UnsafeCell<Content<F, T>>,
    waker: Lock<Option<Waker>>,
    /// In nanoseconds, or `NOT_NOTED`.
    accepted: AtomicU64,
    stop: S,
}

enum Content<F, T> {
    Closure(F),
    Nothing,
    Result(Result<T, JoinError>),
}

// SAFETY: the closure is moved out by one thread and the result by one other (`Send`); nobody ever has a reference to
// either while another thread may have one.
unsafe impl<F: Send, T: Send, S: Sync> Sync for Cell<F, T, S> {}

/// The right to put the result in. There is one for each cell.
struct Taken<'a, F, T, S> {
    cell: &'a Cell<F, T, S>,
    /// A worker had begun with it.
    had_begun: bool,
}

impl<F, T, S> Cell<F, T, S> {
    /// Takes the closure, with the right to settle, unless somebody else has.
    fn take_closure(&self) -> Option<(F, Taken<'_, F, T, S>)> {
        // ORDERING: Relaxed: the closure came with the cell itself, through the queue or with the handle; only who is first
        // counts.
        let before = self.state.fetch_or(TAKEN, Ordering::Relaxed);
        if before & TAKEN != 0 {
            return None;
        }
        let had_begun = before & BEGUN != 0;
        // SAFETY: we have set `TAKEN`, and nobody has set `ENDED`, which only our `Taken` can.
        match unsafe { self.replace(Content::Nothing) } {
            Content::Closure(closure) => Some((closure, Taken { cell: self, had_begun })),
            _ => unreachable!("a cell begins with its closure"),
        }
    }

    /// Drops the closure unless somebody else has taken it; returns whether nobody had.
    fn call_off(&self, why: JoinError) -> bool {
        // The closure's destructor is foreign code: it runs last.
        let Some((_closure, taken)) = self.take_closure() else { return false };
        taken.settle(Err(why));
        true
    }

    /// Takes the result.
    ///
    /// # Safety
    ///
    /// `ENDED` was read or written with Acquire, and nobody else will look at the content.
    unsafe fn take_result(&self) -> Option<Result<T, JoinError>> {
        // SAFETY: as the caller says.
        match unsafe { self.replace(Content::Nothing) } {
            Content::Result(result) => Some(result),
            _ => None,
        }
    }

    /// # Safety
    ///
    /// Nobody else looks at the content meanwhile.
    unsafe fn replace(&self, content: Content<F, T>) -> Content<F, T> {
        // SAFETY: as the caller says.
        self.content.with_mut(|place| unsafe { mem::replace(&mut *place, content) })
    }
}

impl<F, T, S> Taken<'_, F, T, S> {
    /// Puts the result in and wakes who waits for it; returns it if nobody wants it.
    fn settle(self, result: Result<T, JoinError>) -> Option<Result<T, JoinError>> {
        let cell = self.cell;
        // SAFETY: whose `Taken` it is has the content until `ENDED` is set, and then no `Taken` is left.
        unsafe { cell.replace(Content::Result(result)) };
        // ORDERING: AcqRel: Release: the result is seen by who reads `ENDED`. Acquire: what the handle did before it
        // gave up comes before the drop of its result.
        let before = cell.state.fetch_or(ENDED, Ordering::AcqRel);
        if before & GIVEN_UP != 0 {
            // SAFETY: the handle was gone before the result was in: it will not look.
            return unsafe { cell.take_result() };
        }
        if before & WAITED != 0 {
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

/// Settles a job whose panic unwinds past us, as it does without std.
struct Unwinding<'a, F, T, S> {
    // `None` once the job has ended in another way.
    running: Option<(Taken<'a, F, T, S>, Ended<'a>)>,
}

impl<F, T, S> Drop for Unwinding<'_, F, T, S> {
    fn drop(&mut self) {
        if let Some((taken, ended)) = self.running.take() {
            let payload: Payload = Box::new("the payload went on to the worker's executor");
            ended(Some(&*payload));
            drop(taken.settle(Err(JoinError::Panicked(Panic::new(payload)))));
        }
    }
}

impl<F, T, S> Run for Cell<F, T, S>
where
    F: FnOnce() -> T + Send,
    T: Send,
    S: Stop,
{
    fn accepted(&self) -> &AtomicU64 {
        &self.accepted
    }

    fn run(&self, ended: Ended<'_>) -> Result<(), Payload> {
        let Some((closure, taken)) = self.take_closure() else { return Ok(()) };
        let mut unwinding = Unwinding { running: Some((taken, ended)) };
        let result = catch(closure);
        let Some((taken, ended)) = unwinding.running.take() else { return Ok(()) };
        ended(result.as_ref().err().map(|payload| &**payload));
        let unwanted =
            taken.settle(result.map_err(|payload| JoinError::Panicked(Panic::new(payload))));
        if unwanted.is_some() { catch(|| drop(unwanted)) } else { Ok(()) }
    }

    fn fail(&self, payload: Payload, ended: Ended<'_>) {
        // Its own drop may panic, too, and is contained by the caller.
        let Some((_closure, taken)) = self.take_closure() else { return bury(payload) };
        ended(Some(&*payload));
        drop(taken.settle(Err(JoinError::Panicked(Panic::new(payload)))));
    }

    fn discard(&self, why: JoinError) -> bool {
        self.call_off(why)
    }

    fn begin(&self) -> bool {
        // ORDERING: Relaxed: as in `take_closure`: only who is first counts.
        self.state.fetch_or(BEGUN, Ordering::Relaxed) & TAKEN == 0
    }

    fn is_taken(&self) -> bool {
        // ORDERING: Relaxed: it says no more than that.
        self.state.load(Ordering::Relaxed) & TAKEN != 0
    }
}

impl<F, T, S> Join<T> for Cell<F, T, S>
where
    F: Send,
    T: Send,
    S: Stop,
{
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        // ORDERING: Acquire: pairs with the Release in `settle`: the result is there.
        let mut state = self.state.load(Ordering::Acquire);
        if state & ENDED == 0 {
            // A waker's code is foreign: it is cloned before the lock is taken, and a replaced one dropped after.
            let waker = cx.waker().clone();
            drop(self.waker.with(|left| left.replace(waker)));
            // ORDERING: Acquire: if the job has ended, the result is there. If it ends after this, it finds the bit, and the waker
            // behind its lock, which was taken before. If the bit was set before, and the job has ended between the two,
            // the lock says so.
            state = self.state.fetch_or(WAITED, Ordering::Acquire);
            if state & ENDED == 0 {
                return Poll::Pending;
            }
        }
        // SAFETY: the one `Reply` of the cell is lent mutably, and has not given up: after `ENDED` it alone looks.
        match unsafe { self.take_result() } {
            Some(result) => Poll::Ready(result),
            None => unreachable!("polled after it was ready"),
        }
    }

    fn is_ended(&self) -> bool {
        // ORDERING: Acquire: what the job did is seen by who finds it ended.
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    fn cancel(&self, vacate: &mut dyn FnMut()) -> bool {
        let (mut closure, taken) = self.take_closure().unzip();
        let called_off = taken.is_some();
        // Wakers and the closure's destructor, which runs last, are foreign: each comes past a panic of those before.
        let _dropped = Afterwards(|| drop(closure.take()));
        let _told = Afterwards(|| self.stop.stop());
        if let Some(taken) = taken {
            if !taken.had_begun {
                vacate();
            }
            taken.settle(Err(JoinError::Cancelled));
        }
        called_off
    }

    fn give_up(&self) {
        if !self.is_ended() {
            // ORDERING: AcqRel: Release: see `settle`. Acquire: the result is there to be dropped.
            let before = self.state.fetch_or(GIVEN_UP, Ordering::AcqRel);
            if before & ENDED == 0 {
                if before & WAITED != 0 {
                    drop(self.waker.with(Option::take));
                }
                return;
            }
        }
        // SAFETY: the result came before the end of the only `Reply`, whose last act this is.
        let result = unsafe { self.take_result() };
        // It may be one of many that are dropped together.
        in_drop(|| drop(result));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;

    #[test]
    fn job_that_unwinds_past_its_cell_settles_it_and_is_counted() {
        let cell = Cell::<fn(), (), ()> {
            state: AtomicU8::new(0),
            content: UnsafeCell::new(Content::Closure(|| ())),
            waker: Lock::new(None),
            accepted: AtomicU64::new(NOT_NOTED),
            stop: (),
        };
        let mut panics = 0;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut ended =
                |panic: Option<&(dyn Any + Send)>| panics += usize::from(panic.is_some());
            let (_closure, taken) = cell.take_closure().unwrap();
            let _unwinding = Unwinding { running: Some((taken, &mut ended)) };
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
