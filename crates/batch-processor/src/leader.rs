//! No driver of its own: the first caller of a batch drives it.
//!
//! ```text
//! submit ─▶ into the batch ─▶ the result is there? ── yes: done
//!                              │ no
//!                             in line for the lead ──my turn──▶ take the driver and poll it, until my result is there
//!                                                               └▶ put it back, let the next in line lead
//! ```
//!
//! One leads at a time, and whoever waits for a result is in line, so the driver is polled for as long as anybody
//! waits. A leader that is dropped puts the driver back as one does whose result is there.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use tidegate_core::{
    Timer, Turnstile,
    lock::Lock,
    turnstile::{Enter, Inside},
};

use crate::{
    batcher::Batcher,
    builder::Builder,
    driver::Driver,
    error::{BuildError, SubmitError},
    handler::Handler,
    stats::Stats,
    submit::Submit,
};

/// Gathers items from many callers into batches, which the callers themselves process: no driver to spawn, no thread.
///
/// The first caller of a batch leads: while it waits for its result, it does what a [`Driver`] would do, for all. When
/// it has its result, the next who waits leads. With [`Policy::Immediate`](crate::Policy::Immediate) a caller that is
/// alone processes its item at once, and those who come meanwhile share the next batch: the group commit of databases.
/// With
/// [`Policy::Delay`](crate::Policy::Delay) the leader waits for company first.
///
/// The leader also waits out the pauses of [`retry`](Builder::retry), and with [`keyed`](Builder::keyed) leads for all
/// keys.
///
/// A blocking handler runs in the poll of whoever leads, a caller among others: do not lead in a task that must not
/// block.
///
/// # Fairness
///
/// Callers lead in the order in which they began to wait.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, Blocking, Policy, Wait};
///
/// let mut commits = 0;
/// let log = Batcher::builder()
///     .policy(Policy::Immediate)
///     .build_led(Blocking::new(move |lines: Vec<String>| {
///         commits += 1; // one write for all of them
///         Ok::<_, ()>(vec![commits; lines.len()])
///     }))?;
/// std::thread::scope(|s| {
///     for n in 0..8 {
///         let log = &log;
///         s.spawn(move || assert!(log.submit(format!("line {n}")).wait().unwrap() <= 8));
///     }
/// });
/// assert_eq!(log.stats().done, 8);
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
pub struct LeaderBatcher<T, H: Handler<T>, C: Timer> {
    batcher: Batcher<T, H::Output, H::Error, C>,
    lead: Turnstile,
    // INVARIANT: `None` while somebody leads. Only who has the turn takes it.
    driver: Lock<Option<Passed<T, H, C>>>,
}

/// A driver that goes from leader to leader.
type Passed<T, H, C> = Pin<Box<Driver<T, H, C>>>;

impl<T, C: Timer> Builder<T, C> {
    /// Builds a batcher whose callers process the batches themselves.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the settings contradict themselves.
    pub fn build_led<H: Handler<T>>(
        self,
        handler: H,
    ) -> Result<LeaderBatcher<T, H, C>, BuildError> {
        let (batcher, driver) = self.build_with(handler)?;
        let driver = Lock::new(Some(Box::pin(driver)));
        Ok(LeaderBatcher { batcher, lead: Turnstile::new(), driver })
    }
}

impl<T, H: Handler<T>, C: Timer> LeaderBatcher<T, H, C> {
    /// Hands an item in and waits for its result, leading a batch if it is its turn.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the item was accepted, the future drops the item with it. Dropped after, it gives up the result;
    /// the item is processed with the batch of the next who waits, or with the future of an asynchronous handler that
    /// another goes on with. If nobody comes any more, it is dropped with the batcher.
    ///
    /// # Errors
    ///
    /// As [`Batcher::submit`].
    pub fn submit(&self, item: T) -> Lead<'_, T, H, C> {
        Lead { submit: self.batcher.submit(item), place: Place::Outside, led: self }
    }

    /// Refuses every item from now on. Returns false if it did already.
    pub fn close(&self) -> bool {
        self.batcher.close()
    }

    /// Returns a snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.batcher.stats()
    }
}

impl<T, H: Handler<T>, C: Timer> fmt::Debug for LeaderBatcher<T, H, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderBatcher").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Future of [`LeaderBatcher::submit`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Lead<'a, T, H: Handler<T>, C: Timer> {
    submit: Submit<'a, T, H::Output, H::Error, C>,
    // Before the driver is put back nobody else may lead: see `drop`.
    place: Place<'a, T, H, C>,
    led: &'a LeaderBatcher<T, H, C>,
}

enum Place<'a, T, H: Handler<T>, C: Timer> {
    Outside,
    InLine(Enter<'a>),
    Leading(Inside<'a>, Passed<T, H, C>),
}

impl<T, H: Handler<T>, C: Timer> Lead<'_, T, H, C> {
    /// Lets the next in line lead.
    fn step_down(&mut self) {
        if let Place::Leading(_inside, driver) = core::mem::replace(&mut self.place, Place::Outside)
        {
            // Before `_inside` goes: whoever has the turn next finds the driver.
            self.led.driver.with(|place| *place = Some(driver));
        }
    }
}

impl<T, H: Handler<T>, C: Timer> Future for Lead<'_, T, H, C> {
    type Output = Result<H::Output, SubmitError<T, H::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(result) = Pin::new(&mut this.submit).poll(cx) {
                this.step_down();
                return Poll::Ready(result);
            }
            match &mut this.place {
                Place::Outside => this.place = Place::InLine(this.led.lead.enter()),
                Place::InLine(enter) => match Pin::new(enter).poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(inside)) => {
                        let driver = this.led.driver.with(Option::take);
                        let driver = driver.expect("who has the turn finds the driver");
                        this.place = Place::Leading(inside, driver);
                    }
                    Poll::Ready(Err(_closed)) => unreachable!("nobody closes the line"),
                },
                Place::Leading(_, driver) => {
                    let polled = driver.as_mut().poll(cx);
                    // What the poll has done may have been our batch.
                    if let Poll::Ready(result) = Pin::new(&mut this.submit).poll(cx) {
                        this.step_down();
                        return Poll::Ready(result);
                    }
                    // Over, it has told everybody; else it will wake us.
                    debug_assert!(polled.is_pending(), "the driver has ended before our batch");
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<T, H: Handler<T>, C: Timer> Drop for Lead<'_, T, H, C> {
    fn drop(&mut self) {
        self.step_down();
    }
}

impl<T, H: Handler<T>, C: Timer> fmt::Debug for Lead<'_, T, H, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_leading = matches!(self.place, Place::Leading(..));
        f.debug_struct("Lead").field("is_leading", &is_leading).finish_non_exhaustive()
    }
}
