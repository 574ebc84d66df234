//! The one who waits for batches and hands them over.
//!
//! ```text
//!   ┌───────────────────────────────────────────────────────────────┐
//!   ▼                                                               │
//! idle ──a batch is due──▶ running ──▶ count ─▶ answers ─▶ progress ┘
//!   │ closed, everything done              (in this order: what is flushed has its results)
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
    error::BatchError,
    gatherer::{Batch, BatchId},
    handler::Handler,
    outcome::Outcome,
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

/// The driver's side of what is shared; dropping it abandons the batcher.
struct Desk<T, R, E, C> {
    shared: Arc<Shared<T, R, E, C>>,
    // INVARIANT: those from the start of a batch until it is done.
    jobs: Vec<Job<R, E>>,
    /// How many are done.
    done: u64,
}

/// A batch that runs.
struct Job<R, E> {
    id: BatchId,
    sent: usize,
    /// Items that were dropped before it started.
    dropped: usize,
    answers: Carried<R, E>,
}

/// What an idle driver finds.
enum Next<T, R, E> {
    Batch(BatchId, Batch<T, Carried<R, E>>),
    End,
}

impl<T, H, C> Driver<T, H, C>
where
    H: Handler<T>,
    C: Timer,
{
    pub(crate) fn new(shared: Arc<Shared<T, H::Output, H::Error, C>>, handler: H) -> Self {
        Self {
            handler,
            runs: Vec::new(),
            sleep: None,
            deadline: None,
            waiter: Waiter::new(),
            desk: Desk { shared, jobs: Vec::new(), done: 0 },
        }
    }

    /// Goes on with the batches that run; returns whether one is done.
    fn poll_runs(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        let before = this.desk.done;
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
            this.desk.finish(place, result);
        }
        this.desk.done != before
    }

    /// Waits until a batch is due, or everything is over.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<T, H::Output, H::Error>> {
        let mut this = self.project();
        let shared = &*this.desk.shared;
        loop {
            let mut deadline = None;
            let next = this.waiter.poll_until(&shared.work, cx, &mut || {
                let now = shared.clock.now();
                shared.gatherer.with(|gatherer| {
                    gatherer.on_timer(now);
                    let started = gatherer.start(now);
                    deadline = gatherer.alarm(now);
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
            let Next::Batch(id, batch) = ready!(self.as_mut().poll_next(cx)) else {
                return Poll::Ready(());
            };
            let this = self.as_mut().project();
            let items = this.desk.begin(id, batch);
            match catch(|| Box::pin(this.handler.start(items))) {
                Ok(run) => this.runs.push(run),
                Err(message) => {
                    let last = this.runs.len();
                    this.desk.finish(last, Err(BatchError::Panicked(message)));
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

impl<T, R, E, C: Timer> Desk<T, R, E, C> {
    /// Notes that a batch runs; returns its items.
    fn begin(&mut self, id: BatchId, batch: Batch<T, Carried<R, E>>) -> Vec<T> {
        let (sent, dropped) = (batch.items.len(), batch.dropped);
        self.jobs.push(Job { id, sent, dropped, answers: batch.carried });
        shielded(|| self.shared.make_room(sent));
        batch.items
    }

    /// Notes what became of the batch at `place`, and tells its callers.
    fn finish(&mut self, place: usize, result: Result<Vec<R>, BatchError<E>>) {
        let Job { id, sent, dropped, answers } = self.jobs.remove(place);
        self.done += 1;
        let result = result.and_then(|results| match results.len() {
            got if got == sent => Ok(results),
            got => Err(BatchError::WrongLength { sent, got }),
        });
        let failed = result.is_err();
        let now = self.shared.clock.now();
        // Counted before anybody is told, so whoever has its result finds it in the statistics.
        self.shared.gatherer.with(|gatherer| gatherer.on_done(id, now, failed));
        shielded(|| match answers {
            Some(answers) => {
                let mut outcome = Outcome::new();
                outcome.add(sent, result);
                answers.settle(outcome.behind(dropped));
            }
            None => drop(result),
        });
        // The driver looks at the gatherer next, whatever there is to do.
        let _ = self.shared.gatherer.with(|gatherer| gatherer.on_told(id));
        shielded(|| self.shared.progress.notify_all());
    }
}

/// Runs foreign code (wakers, the destructors of results) whose panic must not end the driver. The panic's message has
/// been printed by the hook.
fn shielded(code: impl FnOnce()) {
    let _ = catch(code);
}

impl<T, R, E, C> Drop for Desk<T, R, E, C> {
    fn drop(&mut self) {
        self.shared.abandon(self.jobs.drain(..).map(|job| job.answers));
    }
}
