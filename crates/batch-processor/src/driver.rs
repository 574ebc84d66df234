//! The one who waits for batches and hands them over.
//!
//! ```text
//!   ┌───────────────────────────────────────────────────────────────┐
//!   ▼                                                               │
//! idle ──a batch is due──▶ running ──▶ count ─▶ answers ─▶ progress ┘
//!   │                      ▲     │         (in this order: what is flushed has its results)
//!   │ closed,              │     │ failed, and told to recover
//!   │ everything done      └─ paused, its part split off
//!   ▼
//!  end
//! ```

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::{boxed::Box, vec::Vec};

use pin_project_lite::pin_project;

use tidegate_core::{Timer, Timestamp, event::Waiter, primitive::Arc};

use crate::{
    desk::Desk,
    error::BatchError,
    gatherer::{Batch, BatchId},
    handler::Handler,
    recovery::Recovery,
    shared::{Carried, Shared},
    unwind::catch,
};

pin_project! {
    /// Future that hands batches to the handler, until the batcher is closed and everything is done.
    ///
    /// Spawn it in any executor, or [`wait`](crate::Wait::wait) for it on a thread. It yields after each batch, so a
    /// busy batcher does not keep an executor's thread to itself. A blocking handler blocks whoever polls the driver.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, it fails everybody who waits, with an error that names it. What was not handed over
    /// comes back from [`Batcher::shutdown`](crate::Batcher::shutdown). The future of an asynchronous handler is
    /// dropped with it.
    ///
    /// # Panics
    ///
    /// With the feature `std` a panic of the handler is caught, and fails its batch only. Without, it goes through.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder().build(|items: Vec<u8>| Ok::<_, ()>(items))?;
    /// batcher.try_push(1).unwrap();
    /// drop(driver);
    /// let unprocessed = batcher.shutdown().wait().unwrap_err();
    /// assert_eq!(unprocessed.into_items(), [1]);
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    #[must_use = "without its driver a batcher processes nothing"]
    pub struct Driver<T, H, C>
    where
        H: Handler<T>,
        C: Timer,
    {
        handler: H,
        // INVARIANT: of the desk's jobs, in the same order.
        runs: Vec<Pin<Box<H::Run>>>,
        #[pin]
        sleep: Option<C::Sleep>,
        // When `sleep` ends.
        deadline: Option<Timestamp>,
        waiter: Waiter,
        // Last, so that the handler's future is gone before its callers hear of it.
        desk: Desk<T, H::Output, H::Error, C>,
    }
}

/// What an idle driver finds.
enum Next<T, R, E> {
    Batch(BatchId, Batch<T, Carried<R, E>>),
    /// The pause of a batch is over.
    Again,
    End,
}

impl<T, H, C> Driver<T, H, C>
where
    H: Handler<T>,
    C: Timer,
{
    pub(crate) fn new(
        shared: Arc<Shared<T, H::Output, H::Error, C>>,
        handler: H,
        recovery: Option<Recovery<T>>,
    ) -> Self {
        Self {
            handler,
            runs: Vec::new(),
            sleep: None,
            deadline: None,
            waiter: Waiter::new(),
            desk: Desk::new(shared, recovery),
        }
    }

    /// Goes on with the batches that run; returns whether a call has ended.
    fn poll_runs(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        let before = this.desk.ended;
        let mut place = 0;
        while let Some(run) = this.runs.get_mut(place) {
            let result = match catch(|| run.as_mut().poll(cx)) {
                Ok(Poll::Pending) => {
                    place += 1;
                    continue;
                }
                Ok(Poll::Ready(result)) => result.map_err(|e| BatchError::Handler(Arc::new(e))),
                Err(message) => Err(BatchError::Panicked(message)),
            };
            drop(this.runs.remove(place));
            this.desk.finish(place, result, &*this.handler);
        }
        this.desk.ended != before
    }

    /// Waits until a batch is due, or everything is over.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<T, H::Output, H::Error>> {
        let mut this = self.project();
        let shared = &*this.desk.shared;
        let paused_until = this.desk.paused_until();
        loop {
            let mut deadline = None;
            let next = this.waiter.poll_until(&shared.work, cx, &mut || {
                let now = shared.clock.now();
                shared.gatherer.with(|gatherer| {
                    if paused_until.is_some_and(|until| until <= now || gatherer.is_closed()) {
                        return Some(Next::Again);
                    }
                    gatherer.on_timer(now);
                    let started = gatherer.start(now);
                    deadline = gatherer.alarm(now);
                    if let Some(until) = paused_until {
                        deadline = Some(deadline.map_or(until, |alarm| alarm.min(until)));
                    }
                    match started {
                        Some((id, batch)) => Some(Next::Batch(id, batch)),
                        None => gatherer.is_over().then_some(Next::End),
                    }
                })
            });
            // A deadline that changes after this look notifies `work`, for which the waiter is registered.
            if deadline != *this.deadline {
                this.sleep.set(deadline.map(|deadline| shared.clock.sleep_until(deadline)));
                *this.deadline = deadline;
            }
            if next.is_ready() {
                return next;
            }
            let Some(sleep) = this.sleep.as_mut().as_pin_mut() else { return Poll::Pending };
            ready!(sleep.poll(cx));
            // The time has come: look again.
            this.sleep.set(None);
            *this.deadline = None;
        }
    }
}

impl<T, H, C> Future for Driver<T, H, C>
where
    H: Handler<T>,
    C: Timer,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.as_mut().poll_runs(cx) {
            // The next batch may be due already; others want to run, too.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let next = ready!(self.as_mut().poll_next(cx));
            let this = self.as_mut().project();
            let desk = this.desk;
            let items = match next {
                Next::Batch(id, batch) => desk.begin(id, batch),
                Next::Again => desk.begin_again(),
                Next::End => return Poll::Ready(()),
            };
            match items.and_then(|items| catch(|| Box::pin(this.handler.start(items)))) {
                Ok(run) => this.runs.push(run),
                Err(message) => {
                    desk.finish(
                        this.runs.len(),
                        Err(BatchError::Panicked(message)),
                        &*this.handler,
                    );
                }
            }
            if self.as_mut().poll_runs(cx) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<T, H, C> fmt::Debug for Driver<T, H, C>
where
    H: Handler<T>,
    C: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("stats", &self.desk.shared).finish_non_exhaustive()
    }
}
