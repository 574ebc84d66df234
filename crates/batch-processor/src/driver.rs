//! The future that waits for batches and hands them over.
//!
//! ```text
//!   ┌───────────────────────────────────────────────────────────────┐
//!   ▼                                                               │
//! idle ──a batch is due──▶ running ──▶ count ─▶ results ─▶ progress ┘
//!   │                      ▲     │         (in this order: a ready flush finds the results)
//!   │ closed,              │     │ another call follows: a retry, or one for a part of the batch
//!   │ everything done      └─ paused
//!   ▼
//!  end
//! ```

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use tidegate_core::{Timer, Timestamp, event::Waiter, future_slots::FutureSlots, primitive::Arc};

use crate::{
    error::BatchError,
    gatherer::{Batch, BatchId},
    handler::Handler,
    in_flight::InFlight,
    recovery::Recovery,
    shared::{Carried, SLEEPS, Shared},
    unwind::{catch, shielded},
};

pin_project! {
    /// Future that hands batches to the handler, until the batcher is closed and every accepted
    /// item is done.
    ///
    /// Spawn it in any executor, or [`wait`](crate::Wait::wait) for it on a thread. The driver
    /// yields after each batch, so that a busy batcher does not keep an executor's thread to
    /// itself. A blocking handler blocks the thread that polls the driver.
    ///
    /// # Cancel safety
    ///
    /// If the driver is dropped before its end, all callers that wait get the error
    /// `DriverDropped`. [`Batcher::shutdown`](crate::Batcher::shutdown) gives back the items that
    /// were not handed over. The futures of an asynchronous handler are dropped with the driver.
    ///
    /// # Panics
    ///
    /// With the feature `std` a panic of the handler is caught, and fails its batch only. Without
    /// `std`, it propagates to the code that polls the driver.
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
        // INVARIANT: the futures of the jobs of `in_flight`, in the same slots.
        runs: FutureSlots<(), H::Run>,
        // Whether there is at most one run: then it is polled with the driver's own waker.
        is_single: bool,
        #[pin]
        sleep: Option<C::Sleep>,
        // When `sleep` ends; `None` without a sleep.
        deadline: Option<Timestamp>,
        waiter: Waiter,
        // The last field, so that the handler's futures are dropped before their callers are told.
        in_flight: InFlight<T, H::Output, H::Error, C>,
    }
}

/// What the driver does next.
enum Next<T, R, E> {
    Batch(BatchId, Batch<T, Carried<R, E>>),
    /// Calls the handler again for a paused batch: its pause is over, or the batcher is closed.
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
        is_single: bool,
    ) -> Self {
        Self {
            handler,
            runs: FutureSlots::new(Arc::default()),
            is_single,
            sleep: None,
            deadline: None,
            waiter: Waiter::new(),
            in_flight: InFlight::new(shared, recovery),
        }
    }

    /// Polls the woken futures of batches, or, if none was woken, one in turn; returns whether a
    /// call of the handler has ended.
    fn poll_runs(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let before = self.in_flight.ended;
        if self.is_single {
            self.as_mut().poll_run(0, cx);
            return self.in_flight.ended != before;
        }
        let this = self.as_mut().project();
        this.runs.task().set(cx.waker());
        this.runs.look();
        let mut next = this.runs.next_woken().or_else(|| this.runs.next_in_turn());
        while let Some(slot) = next {
            self.as_mut().poll_run(slot, cx);
            next = self.as_mut().project().runs.next_woken();
        }
        self.in_flight.ended != before
    }

    /// Polls the future in a slot, if there is one.
    fn poll_run(self: Pin<&mut Self>, slot: usize, cx: &mut Context<'_>) {
        let this = self.project();
        let (runs, is_single) = (this.runs, *this.is_single);
        let polled = catch(|| if is_single { runs.poll_with(slot, cx) } else { runs.poll(slot) });
        let result = match polled {
            Ok(None | Some(Poll::Pending)) => return,
            Ok(Some(Poll::Ready(result))) => result.map_err(|e| BatchError::Handler(Arc::new(e))),
            Err(message) => Err(BatchError::Panicked(message)),
        };
        shielded(|| runs.drop_future(slot));
        runs.free(slot);
        this.in_flight.take(slot);
        this.in_flight.finish(result, &*this.handler);
    }

    /// Waits until a batch can start, a pause is over, or everything is done.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<T, H::Output, H::Error>> {
        let mut this = self.project();
        let shared = &*this.in_flight.shared;
        let paused_until = this.in_flight.paused_until();
        let mut sleeps = 0;
        loop {
            let mut deadline = None;
            let next = this.waiter.poll_until(&shared.work, cx, &mut || {
                let now = shared.clock.now();
                shared.with(|gatherer| {
                    if paused_until
                        .is_some_and(|until| until <= now || gatherer.state().is_closed())
                    {
                        return Some(Next::Again);
                    }
                    let started;
                    (started, deadline) = gatherer.look(now);
                    if let Some(until) = paused_until {
                        deadline = Some(deadline.map_or(until, |alarm| alarm.min(until)));
                    }
                    match started {
                        Some((id, batch)) => Some(Next::Batch(id, batch)),
                        None => gatherer.is_over().then_some(Next::End),
                    }
                })
            });
            // Returns before any foreign code runs, so that a batch that has left the gatherer gets
            // into `in_flight`. The next look sets the alarm.
            if next.is_ready() {
                return next;
            }
            // If the deadline becomes earlier after this look, `work`, with which the waiter is
            // registered, is notified.
            if deadline != *this.deadline {
                *this.deadline = None;
                this.sleep.set(deadline.map(|deadline| shared.clock.sleep_until(deadline)));
                *this.deadline = deadline;
            }
            let Some(sleep) = this.sleep.as_mut().as_pin_mut() else { return Poll::Pending };
            ready!(sleep.poll(cx));
            // The time has come: look again.
            this.sleep.set(None);
            *this.deadline = None;
            sleeps += 1;
            if sleeps == SLEEPS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
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
            // The next batch may be due already, but other tasks get their turn first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let next = ready!(self.as_mut().poll_next(cx));
            let this = self.as_mut().project();
            let (in_flight, handler) = (this.in_flight, this.handler);
            let before = in_flight.ended;
            let items = match next {
                Next::Batch(id, batch) => in_flight.begin(id, batch),
                Next::Again => in_flight.begin_again(),
                Next::End => return Poll::Ready(()),
            };
            match items.and_then(|items| catch(|| handler.start(items))) {
                Ok(run) => {
                    let slot = this.runs.start((), run);
                    in_flight.put(slot);
                    self.as_mut().poll_run(slot, cx);
                }
                Err(message) => in_flight.finish(Err(BatchError::Panicked(message)), &*handler),
            }
            if self.in_flight.ended != before {
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
        f.debug_struct("Driver").field("stats", &self.in_flight.shared).finish_non_exhaustive()
    }
}
