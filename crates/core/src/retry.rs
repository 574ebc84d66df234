//! Calls that are made again when they fail.
//!
//! ```text
//!            ┌───────── pause, while attempts and budget are left ─────────┐
//!            ▼                                                             │
//! retry ─▶ attempt ──error, or it took too long──▶ is it worth a retry? ──yes
//!            │ success                                │ no, or nothing is left
//!            ▼                                        ▼
//!          value                          RetryError: attempts, reason, last error
//! ```

mod error;

use core::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;

pub use self::error::{GaveUp, RetryError};
use crate::{
    backoff::Retries,
    error::TimedOut,
    time::Timer,
    unwind::{Contained, Foreign, contain},
};

/// How many steps one poll takes at most: an attempt is one, and a pause is one.
const STEPS: u32 = 16;

/// The longest pause that an error may ask for, unless [`Retry::max_retry_after`] says otherwise.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Whether a call that has failed is worth another attempt: what a classifier says of an error. See
/// [`Retry::classify`].
///
/// Exhaustive on purpose: these are the answers that [`retry`] knows what to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retryable {
    /// It is not: another attempt would fail the same way, or would do twice what must be done
    /// once.
    No,
    /// It is, after the pause of the backoff.
    Yes,
    /// It is, after the pause of the backoff, but no earlier than after this time, which the server
    /// has asked for: HTTP's `Retry-After` (RFC 9110, section 10.2.3), gRPC's
    /// `grpc-retry-pushback-ms`.
    After(Duration),
}

/// Calls `attempt` and awaits its future. After an error, pauses and tries again, as the backoff of
/// `retries` says and as often as its attempts and its budget allow.
///
/// Use it for what is safe to do twice. `retries` is a reference or an `Arc`: share one among all
/// calls to a server, so that they share its budget and cannot flood the server together. `timer`
/// measures the pauses: `&SystemClock`, or any other [`Timer`]. Nothing happens before the first
/// poll. A call that works at once reads no clock and allocates nothing. In other calls only the
/// timer may do so.
///
/// A thread waits with [`.wait()`](crate::Wait::wait). `.or_timeout`, `.wait_timeout` and
/// `.or_cancelled` bound the whole call, pauses included; [`Retry::attempt_timeout`] bounds each
/// attempt. Behind a gate, put the gate into `attempt`, so that each attempt is counted and let in
/// on its own.
///
/// The order of the checks: the classifier, the pause that it asks for, attempts, budget. The
/// budget is charged when a pause begins. If no attempt follows the pause, because the future is
/// dropped or `attempt` panics, the charge is refunded.
///
/// # Cancel safety
///
/// Dropping the future drops the attempt that runs, or ends the pause, and refunds its charge.
///
/// # Errors
///
/// [`RetryError`], with the last error and why there was no further attempt.
///
/// # Panics
///
/// Panics if a setting of the backoff is out of its range. The future passes on what `attempt`, its
/// futures and the classifier panic with; after that it is over.
///
/// # Examples
///
/// ```
/// use core::{cell::Cell, time::Duration};
/// use tidegate_core::{Backoff, SystemClock, Wait, backoff::Retries, retry};
///
/// let backoff = Backoff::exponential(Duration::from_millis(1), Duration::from_millis(8));
/// let retries = Retries::new(backoff.max_attempts(4).budget(20));
/// let calls = Cell::new(0);
/// let fetch = || async {
///     calls.set(calls.get() + 1);
///     if calls.get() < 3 { Err("busy") } else { Ok("page") }
/// };
/// assert_eq!(retry(&retries, &SystemClock, fetch).wait(), Ok("page"));
///
/// let error = retry(&retries, &SystemClock, || async { Err::<(), _>("down") }).wait().unwrap_err();
/// assert_eq!((error.attempts(), error.into_inner()), (4, "down"));
/// ```
#[track_caller]
pub fn retry<R, T, A, F, V, E>(retries: R, timer: T, attempt: A) -> Retry<R, T, A, F, E>
where
    R: Deref<Target = Retries>,
    T: Timer,
    A: FnMut() -> F,
    F: Future<Output = Result<V, E>>,
{
    if let Err(error) = retries.backoff().check("retry") {
        panic!("{error}");
    }
    Retry {
        retries: Charged { retries, is_charged: false },
        timer: Foreign::new(timer),
        attempt: Foreign::new(attempt),
        classify: Foreign::new(|_| Retryable::Yes),
        limit: None,
        max_retry_after: MAX_RETRY_AFTER,
        failures: 0,
        stage: Stage::Fresh,
    }
}

pin_project! {
    /// Future of [`retry`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Retry<R, T, A, F, E, C = fn(&E) -> Retryable>
    where
        R: Deref<Target = Retries>,
        T: Timer,
    {
        retries: Charged<R>,
        timer: Foreign<T>,
        attempt: Foreign<A>,
        classify: Foreign<C>,
        // How long an attempt may take, and the error of one that takes longer.
        limit: Option<(Duration, fn(TimedOut) -> E)>,
        max_retry_after: Duration,
        failures: u32,
        #[pin]
        stage: Stage<F, T::Sleep>,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `Fresh` | was not polled | the first poll |
    /// | `Trying` | an attempt runs | its output, or its limit |
    /// | `Pausing` | the next attempt is paid for | the end of the pause |
    /// | `Done` | has ended, or foreign code runs; if that panics, it has ended | the next stage |
    #[project = StageNow]
    enum Stage<F, S> {
        Fresh,
        Trying {
            #[pin]
            future: Contained<F>,
            #[pin]
            limit: Option<Contained<S>>,
        },
        Pausing {
            #[pin]
            sleep: Contained<S>,
        },
        Done,
    }
}

/// A budget, and whether it was charged for a retry that is not made yet. Dropping it refunds the
/// charge.
struct Charged<R: Deref<Target = Retries>> {
    retries: R,
    is_charged: bool,
}

impl<R: Deref<Target = Retries>> Drop for Charged<R> {
    fn drop(&mut self) {
        if self.is_charged {
            self.retries.refund();
        }
    }
}

impl<R, T, A, F, E, C> Retry<R, T, A, F, E, C>
where
    R: Deref<Target = Retries>,
    T: Timer,
{
    /// Lets `classifier` say which errors are worth another attempt, and when. By default all are.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{
    ///     Backoff, SystemClock, Wait,
    ///     backoff::Retries,
    ///     retry,
    ///     retry::{GaveUp, Retryable},
    /// };
    ///
    /// let retries = Retries::new(Backoff::fixed(Duration::from_millis(1)));
    /// // The status of a response, and the seconds of its `Retry-After`.
    /// let ask = |status, after| {
    ///     let call = move || async move { Err::<(), (u16, u64)>((status, after)) };
    ///     let call = retry(&retries, &SystemClock, call).classify(|(status, after)| match status {
    ///         503 => Retryable::After(Duration::from_secs(*after)),
    ///         500.. => Retryable::Yes,
    ///         _ => Retryable::No,
    ///     });
    ///     let error = call.wait().unwrap_err();
    ///     (error.attempts(), error.why())
    /// };
    /// assert_eq!(ask(404, 0), (1, GaveUp::NotRetryable));
    /// assert_eq!(ask(502, 0), (3, GaveUp::Attempts));
    /// // An hour is a longer pause than the call accepts.
    /// assert_eq!(ask(503, 3600), (1, GaveUp::TooLate));
    /// ```
    pub fn classify<D>(self, classifier: D) -> Retry<R, T, A, F, E, D>
    where
        D: FnMut(&E) -> Retryable,
    {
        let Self { retries, timer, attempt, limit, max_retry_after, failures, stage, .. } = self;
        let classify = Foreign::new(classifier);
        Retry { retries, timer, attempt, classify, limit, max_retry_after, failures, stage }
    }

    /// Limits the time for each attempt to `limit`. An attempt that takes longer is dropped, and
    /// has failed with the error that `error` makes; the classifier sees that error, too.
    ///
    /// An attempt that does not give way to its caller, such as a call that blocks, cannot be cut
    /// short.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::pending, time::Duration};
    /// use tidegate_core::{Backoff, SystemClock, TimedOut, Wait, backoff::Retries, retry};
    ///
    /// let retries = Retries::new(Backoff::fixed(Duration::ZERO).max_attempts(2));
    /// let hang = || pending::<Result<(), TimedOut>>();
    /// let call = retry(&retries, &SystemClock, hang)
    ///     .attempt_timeout(Duration::from_millis(1), |late| late);
    /// assert_eq!(call.wait().unwrap_err().attempts(), 2);
    /// ```
    pub fn attempt_timeout(self, limit: Duration, error: fn(TimedOut) -> E) -> Self {
        Self { limit: Some((limit, error)), ..self }
    }

    /// Sets the longest pause that an error may ask for by [`Retryable::After`]: a call whose error
    /// asks for more gives up at once, with [`GaveUp::TooLate`]. Default: 60 seconds.
    ///
    /// [`Duration::MAX`] accepts whatever the server asks for.
    pub fn max_retry_after(self, max: Duration) -> Self {
        Self { max_retry_after: max, ..self }
    }
}

impl<R, T, A, F, E, C> Retry<R, T, A, F, E, C>
where
    R: Deref<Target = Retries>,
    T: Timer,
    A: FnMut() -> F,
    C: FnMut(&E) -> Retryable,
{
    /// Begins an attempt.
    fn start(self: Pin<&mut Self>) {
        let mut this = self.project();
        // If foreign code panics here, the call is over, and its charge is refunded.
        this.stage.set(Stage::Done);
        let future = Contained::new((this.attempt)());
        let limit = this.limit.map(|(limit, _)| Contained::new(this.timer.sleep(limit)));
        this.retries.is_charged = false;
        this.stage.set(Stage::Trying { future, limit });
    }

    /// Begins the pause after an attempt that has failed with `error`; returns the call's error if
    /// there is no further attempt.
    fn pause(self: Pin<&mut Self>, error: E) -> Option<RetryError<E>> {
        let mut this = self.project();
        // The attempt is gone before the classifier runs. A panic of the classifier ends the call.
        this.stage.set(Stage::Done);
        let error = Foreign::new(error);
        *this.failures = this.failures.saturating_add(1);
        let answer = (this.classify)(&error);
        let pause = match next_pause(
            answer,
            *this.max_retry_after,
            *this.failures,
            &this.retries.retries,
        ) {
            Ok(pause) => pause,
            Err(why) => return Some(RetryError::new(*this.failures, why, error.into_inner())),
        };
        this.retries.is_charged = true;
        contain(|| drop(error));
        let sleep = Contained::new(this.timer.sleep(pause));
        this.stage.set(Stage::Pausing { sleep });
        None
    }
}

/// Returns the pause after `failures` failures, and charges the budget for it; else returns why
/// there is none.
fn next_pause(
    answer: Retryable,
    max_retry_after: Duration,
    failures: u32,
    retries: &Retries,
) -> Result<Duration, GaveUp> {
    let least = match answer {
        Retryable::No => return Err(GaveUp::NotRetryable),
        Retryable::Yes => Duration::ZERO,
        Retryable::After(least) if least > max_retry_after => return Err(GaveUp::TooLate),
        Retryable::After(least) => least,
    };
    if failures >= retries.backoff().attempts() {
        return Err(GaveUp::Attempts);
    }
    let pause = retries.pause(failures).ok_or(GaveUp::Budget)?;
    Ok(pause.max(least))
}

impl<R, T, A, F, V, E, C> Future for Retry<R, T, A, F, E, C>
where
    R: Deref<Target = Retries>,
    T: Timer,
    A: FnMut() -> F,
    F: Future<Output = Result<V, E>>,
    C: FnMut(&E) -> Retryable,
{
    type Output = Result<V, RetryError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        for _ in 0..STEPS {
            let mut this = self.as_mut().project();
            let error = match this.stage.as_mut().project() {
                StageNow::Fresh => {
                    this.retries.retries.begin();
                    self.as_mut().start();
                    continue;
                }
                StageNow::Pausing { sleep } => {
                    ready!(sleep.poll(cx));
                    self.as_mut().start();
                    continue;
                }
                StageNow::Trying { future, limit } => match future.poll(cx) {
                    Poll::Ready(Ok(value)) => {
                        this.stage.set(Stage::Done);
                        return Poll::Ready(Ok(value));
                    }
                    Poll::Ready(Err(error)) => error,
                    // The attempt is polled first: a result that is ready in time counts, however
                    // late this poll is.
                    Poll::Pending => match (limit.as_pin_mut(), *this.limit) {
                        (Some(sleep), Some((_, error))) => {
                            ready!(sleep.poll(cx));
                            this.stage.set(Stage::Done);
                            error(TimedOut)
                        }
                        _ => return Poll::Pending,
                    },
                },
                StageNow::Done => panic!("polled after it was ready"),
            };
            if let Some(error) = self.as_mut().pause(error) {
                return Poll::Ready(Err(error));
            }
        }
        // Attempts that fail at once and pauses of zero must not keep the executor's other tasks
        // waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R, T, A, F, E, C> fmt::Debug for Retry<R, T, A, F, E, C>
where
    R: Deref<Target = Retries>,
    T: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Fresh => "fresh",
            Stage::Trying { .. } => "trying",
            Stage::Pausing { .. } => "pausing",
            Stage::Done => "done",
        };
        f.debug_struct("Retry")
            .field("failures", &self.failures)
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
