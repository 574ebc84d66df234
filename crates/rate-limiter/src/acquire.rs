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
use tidegate_core::{Clock, Timer, Timestamp, event::Waiter, wait_list::Turn};

use crate::{
    algorithm::{Algorithm, TokenCounter as _},
    grant::{Denied, Grant, Refused, Request},
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
        limiter: R,
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
    /// | `Queued` | other waiters are before it | its turn at the turnstile |
    /// | `AtHead` | the next tokens are its own | a grant or a refusal |
    /// | `Done` | has resolved | nothing |
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
            // When it joined the queue.
            since: Timestamp,
        },
        AtHead {
            since: Timestamp,
            // When the sleep ends, and the sleep.
            ready_at: Timestamp,
            #[pin]
            sleep: Option<<R::Clock as Timer>::Sleep>,
            // Listens for refunds and new quotas.
            waiter: Waiter,
            _head: QueueHead<R>,
            _counted: CountedWaiter<R>,
        },
        Done,
    }
}

impl<R: LimiterRef<Clock: Timer>> Stage<R> {
    /// Makes a queued waiter the head after its turn was granted.
    fn become_head(mut self: Pin<&mut Self>, limiter: &R) {
        let head = QueueHead::granted(limiter.clone());
        let queued = self.as_mut().project_replace(Self::Done);
        if let StageLeft::Queued { counted, since, .. } = queued {
            self.set(Self::AtHead {
                since,
                ready_at: Timestamp::NEVER,
                sleep: None,
                waiter: Waiter::new(),
                _head: head,
                _counted: counted,
            });
        }
    }
}

impl<R: LimiterRef<Clock: Timer>> Waiting<R> {
    #[inline]
    pub(crate) fn new(limiter: R, request: Request) -> Self {
        Self { limiter, request, latest: Timestamp::NEVER, stage: Stage::Fresh }
    }

    /// Returns the limiter that it waits for.
    pub(crate) fn limiter(self: Pin<&mut Self>) -> &R {
        self.project().limiter
    }

    pub(crate) fn or_refuse_after(self, duration: Duration) -> Self {
        let latest = self.limiter.shared().clock.deadline_after(duration);
        Self { latest, ..self }
    }

    /// Goes on with the first poll, at `now`, if nothing was granted at once: joins the queue,
    /// unless that is in vain.
    #[cold]
    #[inline(never)]
    fn poll_new(
        mut self: Pin<&mut Self>,
        now: Timestamp,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Grant, Refused>> {
        let mut this = self.as_mut().project();
        let (request, shared) = (*this.request, this.limiter.shared());
        let taken = shared.take(this.limiter.state(), request, now);
        if !taken.is_err_and(|denied| worth_waiting(denied, *this.latest).is_some()) {
            this.stage.set(Stage::Done);
            return Poll::Ready(shared.counted(request, taken, now));
        }
        // The wait is measured from here, however late a cached clock is.
        let since = shared.clock.fresh_now();
        let counted = CountedWaiter::new(this.limiter.clone(), request);
        let turn = Turn::new(QueueRef(this.limiter.clone()), ());
        this.stage.set(Stage::Queued { turn, counted, since });
        self.poll_slow(cx)
    }

    #[cold]
    #[inline(never)]
    fn poll_slow(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Grant, Refused>> {
        let mut this = self.project();
        let (limiter, request, latest) = (&*this.limiter, *this.request, *this.latest);
        let shared = limiter.shared();
        let mut sleeps = 0;
        loop {
            match this.stage.as_mut().project() {
                StageNow::Queued { turn, .. } => {
                    let turned = ready!(Pin::new(turn).poll(cx));
                    turned.expect("nobody closes the turnstile of a limiter");
                    this.stage.as_mut().become_head(limiter);
                }
                StageNow::AtHead { since, ready_at: sleeps_until, mut sleep, waiter, .. } => {
                    let mut ready_at = *sleeps_until;
                    // Guards the tokens until the end of the poll, as foreign code runs before it.
                    let mut taken = None;
                    let mut take = || {
                        let now = shared.clock.now();
                        let answer = limiter.state().algorithm.take(&shared.rule, request, now);
                        let denied = answer.as_ref().err().copied();
                        if let Some(time) = denied.and_then(|denied| worth_waiting(denied, latest))
                        {
                            ready_at = time;
                            return None;
                        }
                        if let Ok(grant) = &answer {
                            taken = Some(Undelivered::new(limiter.clone(), grant.tokens));
                        }
                        Some(shared.counted(request, answer, now))
                    };
                    let refunds = &limiter.state().wait_queue().head;
                    if let Poll::Ready(answer) = waiter.poll_until(refunds, cx, &mut take) {
                        if let Ok(grant) = &answer {
                            shared.counters.add_wait(grant.at.since(*since));
                        }
                        // Drops the sleep, and wakes the next waiter.
                        this.stage.set(Stage::Done);
                        taken.into_iter().for_each(Undelivered::delivered);
                        return Poll::Ready(answer);
                    }
                    if sleep.is_none() || *sleeps_until != ready_at {
                        *sleeps_until = ready_at;
                        sleep.set(Some(shared.clock.sleep_until(ready_at)));
                    }
                    if let Some(sleep) = sleep.as_mut().as_pin_mut() {
                        ready!(sleep.poll(cx));
                    }
                    sleep.set(None);
                    // No notification announces the time: check again like a newcomer.
                    *waiter = Waiter::new();
                    sleeps += 1;
                    if sleeps == MAX_SLEEPS {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                StageNow::Fresh => unreachable!("the first poll is not slow"),
                StageNow::Done => panic!("polled after it was ready"),
            }
        }
    }
}

/// After so many sleeps a poll ends, so that other tasks run: with a clock that lags behind its
/// timer it would go on for as long as the clock lags.
pub(crate) const MAX_SLEEPS: u32 = 4;

/// Returns until when to wait for a denied request; `None` if a wait is in vain.
fn worth_waiting(denied: Denied, latest: Timestamp) -> Option<Timestamp> {
    match denied {
        Denied::Until(due) if due.ready_at <= latest => Some(due.ready_at),
        _ => None,
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
        let shared = this.limiter.shared();
        let now = shared.clock.now();
        match shared.take_at_once(this.limiter.state(), *this.request, now) {
            Some(Ok(grant)) => {
                shared.counters.add(Counter::Allowed, 1);
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

    pub(crate) fn limiter(self: Pin<&mut Self>) -> StateRef<'a, A, C> {
        *self.project().waiting.limiter()
    }

    /// Refuses the request as soon as it is clear that its tokens will not be available within
    /// `duration` from this call, instead of waiting in vain.
    ///
    /// How long a request has to wait is known when it joins the queue: it waits for the tokens of
    /// the waiters before it and for its own. So it is refused at its first poll, or, if the
    /// limiter was penalized meanwhile, when its turn comes. This is no timeout: a head that nobody
    /// polls holds up the waiters behind it. Combine it with
    /// [`wait_timeout`](tidegate_core::Wait::wait_timeout) for a bound in every case.
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] says how long the wait would have been.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(1)?);
    /// assert!(limiter.acquire(1).wait().is_ok());
    /// let acquire = limiter.acquire(1).or_refuse_after(Duration::from_secs(60));
    /// let refused = acquire.wait().unwrap_err();
    /// assert!(refused.retry_after() > Some(Duration::from_secs(3500)));
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
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
