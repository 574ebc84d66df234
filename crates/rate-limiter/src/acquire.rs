//! Waiting for tokens.
//!
//! ```text
//! fresh ──poll: granted──▶ done                      (as `try_acquire`: no lock, no allocation)
//!   ├───poll: denied──▶ queued ──▶ at the head ──▶ done
//!   └───poll: denied, and a wait would be in vain ──▶ done
//! ```

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tidegate_core::{Clock, Timer, Timestamp, wait_list::Turn};

use crate::{
    algorithm::Algorithm,
    grant::{Grant, Refused, Request},
    head::{Head, worth_waiting},
    state::{CountedWaiter, LimiterRef, QueueHead, QueueRef, StateRef, Undelivered},
    stats::Counter,
};

pin_project! {
    /// The one state machine of every wait.
    pub(crate) struct Waiting<R>
    where
        R: LimiterRef,
        R::Clock: Timer,
    {
        // `None` once `Entering` has moved it into the pass.
        limiter: Option<R>,
        request: Request,
        // After this time the caller has no use for the tokens.
        latest: Timestamp,
        #[pin]
        stage: Stage<R>,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `Fresh` | not polled | the first poll |
    /// | `Queued` | other waiters may be before this one | its turn at the turnstile |
    /// | `AtHead` | the next tokens belong to this waiter | a grant or a refusal |
    /// | `Done` | the future has resolved | nothing |
    #[project = StageNow]
    #[project_replace = StageLeft]
    enum Stage<R>
    where
        R: LimiterRef,
        R::Clock: Timer,
    {
        Fresh,
        Queued {
            turn: Turn<QueueRef<R>>,
            counted: CountedWaiter<R>,
            // When the waiter joined the queue.
            since: Timestamp,
        },
        AtHead {
            #[pin]
            head: Head<R>,
        },
        Done,
    }
}

impl<R: LimiterRef<Clock: Timer>> Stage<R> {
    /// Makes a queued waiter the head after its turn was granted.
    fn become_head(mut self: Pin<&mut Self>, limiter: &R) {
        let turn = QueueHead::granted(limiter.clone());
        let queued = self.as_mut().project_replace(Self::Done);
        if let StageLeft::Queued { counted, since, .. } = queued {
            self.set(Self::AtHead { head: Head::new(turn, counted, since) });
        }
    }
}

const POLLED_AGAIN: &str = "polled after it was ready";

impl<R: LimiterRef<Clock: Timer>> Waiting<R> {
    #[inline]
    pub(crate) fn new(limiter: R, request: Request) -> Self {
        Self { limiter: Some(limiter), request, latest: Timestamp::NEVER, stage: Stage::Fresh }
    }

    /// Takes the limiter out of a future that was ready.
    #[inline]
    pub(crate) fn take_limiter(self: Pin<&mut Self>) -> R {
        self.project().limiter.take().expect(POLLED_AGAIN)
    }

    pub(crate) fn or_refuse_after(self, duration: Duration) -> Self {
        let limiter = self.limiter.as_ref().expect(POLLED_AGAIN);
        let latest = limiter.state_ref().shared.clock.deadline_after(duration);
        Self { latest, ..self }
    }

    /// Continues the first poll, at `now`, if nothing was granted at once: tries again, and joins
    /// the queue if the request is denied and worth waiting for.
    #[cold]
    #[inline(never)]
    fn poll_new(
        mut self: Pin<&mut Self>,
        now: Timestamp,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Grant, Refused>> {
        let mut this = self.as_mut().project();
        let found = this.limiter.as_ref().expect(POLLED_AGAIN);
        let (request, limiter) = (*this.request, found.state_ref());
        let (shared, taken) = (limiter.shared, limiter.take(request, now));
        if !taken.is_err_and(|denied| worth_waiting(denied, *this.latest).is_some()) {
            this.stage.set(Stage::Done);
            return Poll::Ready(shared.counted(request, taken, now));
        }
        // The wait is measured from here. A cached clock may lag behind, so its time is refreshed.
        let since = shared.clock.fresh_now();
        let counted = CountedWaiter::new(found.clone(), request);
        let turn = Turn::new(QueueRef(found.clone()), ());
        this.stage.set(Stage::Queued { turn, counted, since });
        self.poll_slow(cx)
    }

    #[cold]
    #[inline(never)]
    fn poll_slow(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Grant, Refused>> {
        let mut this = self.project();
        let limiter = this.limiter.as_ref().expect(POLLED_AGAIN);
        let (request, latest) = (*this.request, *this.latest);
        loop {
            match this.stage.as_mut().project() {
                StageNow::Queued { turn, .. } => {
                    let turned = ready!(Pin::new(turn).poll(cx));
                    turned.expect("the turnstile of a limiter is never closed");
                    this.stage.as_mut().become_head(limiter);
                }
                StageNow::AtHead { head } => {
                    let (answer, taken) = ready!(head.poll(limiter, request, latest, cx));
                    // Drops the sleep, and wakes the next waiter.
                    this.stage.set(Stage::Done);
                    taken.into_iter().for_each(Undelivered::delivered);
                    return Poll::Ready(answer);
                }
                StageNow::Fresh => unreachable!("the first poll is not slow"),
                StageNow::Done => panic!("{POLLED_AGAIN}"),
            }
        }
    }
}

impl<R: LimiterRef<Clock: Timer>> Future for Waiting<R> {
    type Output = Result<Grant, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if !matches!(*this.stage, Stage::Fresh) {
            return self.poll_slow(cx);
        }
        let limiter = this.limiter.as_ref().expect(POLLED_AGAIN).state_ref();
        let now = limiter.shared.clock.now();
        match limiter.take_at_once(*this.request, now) {
            Some(Ok(grant)) => {
                limiter.shared.counters.add(Counter::Allowed, 1);
                this.stage.set(Stage::Done);
                Poll::Ready(Ok(grant))
            }
            _ => self.poll_new(now, cx),
        }
    }
}

impl<R: LimiterRef<Clock: Timer>> fmt::Debug for Waiting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Fresh => "fresh",
            Stage::Queued { .. } => "queued",
            Stage::AtHead { .. } => "at the head",
            Stage::Done => "done",
        };
        f.debug_struct("Waiting")
            .field("request", &self.request)
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Limiter::acquire`](crate::Limiter::acquire) and
    /// [`acquire_up_to`](crate::Limiter::acquire_up_to).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Acquire<'a, A, C>
    where
        A: Algorithm,
        C: Timer,
    {
        #[pin]
        waiting: Waiting<StateRef<'a, A, C>>,
    }
}

impl<'a, A: Algorithm, C: Timer> Acquire<'a, A, C> {
    #[inline]
    pub(crate) fn new(limiter: StateRef<'a, A, C>, request: Request) -> Self {
        Self { waiting: Waiting::new(limiter, request) }
    }

    /// Refuses the request as soon as it is clear that its tokens will not be available within
    /// `duration` from this call, instead of waiting in vain.
    ///
    /// How long a request has to wait is known when it joins the queue: it waits for the tokens of
    /// the waiters before it and for its own. So it is refused at its first poll. If a penalty, a
    /// debt or a slower quota delays its tokens later, it is refused when its turn comes. This is
    /// no timeout: behind a head that is not polled, the request waits longer. Combine it with
    /// [`wait_timeout`](tidegate_core::Wait::wait_timeout) for a bound in every case.
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] says how long the rest of the wait would have been.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// assert!(limiter.acquire(1).wait().is_ok());
    /// let acquire = limiter.acquire(1).or_refuse_after(Duration::from_secs(60));
    /// let refused = acquire.wait().unwrap_err();
    /// assert!(refused.retry_after() > Some(Duration::from_secs(3500)));
    /// ```
    pub fn or_refuse_after(self, duration: Duration) -> Self {
        Self { waiting: self.waiting.or_refuse_after(duration) }
    }
}

impl<A: Algorithm, C: Timer> Future for Acquire<'_, A, C> {
    type Output = Result<Grant, Refused>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().waiting.poll(cx)
    }
}

impl<A: Algorithm, C: Timer> fmt::Debug for Acquire<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acquire").field(&self.waiting).finish()
    }
}
