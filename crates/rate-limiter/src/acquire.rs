//! Waiting for tokens.
//!
//! ```text
//! fresh ──poll: take──▶ done                          (as `try_acquire`: no lock, no allocation)
//!   ├───poll: denied──▶ in line ──▶ at the head ──▶ done
//!   └───poll: denied, and in vain ─────────────────▶ done
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
    algorithm::{Algorithm, Ask, Count as _, Denied},
    cell::{Cell, Door, Head, Of, Reach, Shared, Taken, Waits},
    grant::{Grant, Refused},
    stats::Count,
};

pin_project! {
    /// The one state machine of every wait, however its cell is reached.
    pub(crate) struct Waiting<R>
    where
        R: Reach,
        R::Clock: Timer,
    {
        reach: R,
        ask: Ask,
        // When waiting is no longer worth it.
        latest: Timestamp,
        #[pin]
        stage: Stage<R>,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `Fresh` | not polled | the first poll |
    /// | `InLine` | others are before it | the turnstile |
    /// | `AtHead` | the next tokens are its own | taking them, or refusing |
    /// | `Done` | has resolved | nothing |
    #[project = StageNow]
    #[project_replace = StageLeft]
    enum Stage<R>
    where
        R: Reach,
        R::Clock: Timer,
    {
        Fresh,
        InLine {
            turn: Turn<Door<R>>,
            waits: Waits<R>,
            // Since when it stands in line.
            since: Timestamp,
        },
        AtHead {
            since: Timestamp,
            // What it sleeps until, and the sleep.
            ready_at: Timestamp,
            #[pin]
            sleep: Option<<R::Clock as Timer>::Sleep>,
            // Listens for refunds and new quotas.
            waiter: Waiter,
            _head: Head<R>,
            _waits: Waits<R>,
        },
        Done,
    }
}

impl<R: Reach<Clock: Timer>> Waiting<R> {
    #[inline]
    pub(crate) fn new(reach: R, ask: Ask) -> Self {
        Self { reach, ask, latest: Timestamp::NEVER, stage: Stage::Fresh }
    }

    /// Returns the way to the cell.
    pub(crate) fn reach(self: Pin<&mut Self>) -> &R {
        self.project().reach
    }

    pub(crate) fn or_refuse_after(self, duration: Duration) -> Self {
        let latest = self.reach.shared().clock.deadline_after(duration);
        Self { latest, ..self }
    }

    /// Goes on with the first poll, at `now`, where nothing was granted at once: joins the line, unless that is in vain.
    #[cold]
    #[inline(never)]
    fn poll_new(
        mut self: Pin<&mut Self>,
        now: Timestamp,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Grant, Refused>> {
        let mut this = self.as_mut().project();
        let (ask, shared) = (*this.ask, this.reach.shared());
        let taken = shared.take(this.reach.cell(), ask, now);
        if !taken.is_err_and(|denied| worth_waiting(denied, *this.latest).is_some()) {
            this.stage.set(Stage::Done);
            return Poll::Ready(shared.answer(ask, taken, now));
        }
        // How long it waits is counted from here, whatever passed since a cached clock was read.
        let since = shared.clock.fresh_now();
        let waits = Waits::new(this.reach.clone(), ask);
        let turn = Turn::new(Door(this.reach.clone()), ());
        this.stage.set(Stage::InLine { turn, waits, since });
        self.poll_slow(cx)
    }

    #[cold]
    #[inline(never)]
    fn poll_slow(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Grant, Refused>> {
        let mut this = self.project();
        let (reach, ask, latest) = (&*this.reach, *this.ask, *this.latest);
        let shared = reach.shared();
        let mut sleeps = 0;
        loop {
            match this.stage.as_mut().project() {
                StageNow::InLine { turn, .. } => {
                    let Ok(()) = ready!(Pin::new(turn).poll(cx)) else {
                        unreachable!("nobody closes the turnstile of a limiter")
                    };
                    let head = Head::granted(reach.clone());
                    let in_line = this.stage.as_mut().project_replace(Stage::Done);
                    if let StageLeft::InLine { waits, since, .. } = in_line {
                        this.stage.set(Stage::AtHead {
                            since,
                            ready_at: Timestamp::NEVER,
                            sleep: None,
                            waiter: Waiter::new(),
                            _head: head,
                            _waits: waits,
                        });
                    }
                }
                StageNow::AtHead { since, ready_at: sleeps_until, mut sleep, waiter, .. } => {
                    let mut ready_at = *sleeps_until;
                    // From the take to the end of the poll: what comes in between runs foreign code.
                    let mut taken = None;
                    let mut take = || {
                        let now = shared.clock.now();
                        let answer = reach.cell().algorithm.take(&shared.rule, ask, now);
                        let denied = answer.as_ref().err().copied();
                        if let Some(time) = denied.and_then(|denied| worth_waiting(denied, latest))
                        {
                            ready_at = time;
                            return None;
                        }
                        if let Ok(grant) = &answer {
                            taken = Some(Taken::new(reach.clone(), grant.tokens));
                        }
                        Some(shared.answer(ask, answer, now))
                    };
                    let polled = waiter.poll_until(reach.cell().changed(), cx, &mut take);
                    if let Poll::Ready(answer) = polled {
                        if let Ok(grant) = &answer {
                            shared.counters.add_wait(grant.at.since(*since));
                        }
                        // Drops the sleep, and wakes the next one.
                        this.stage.set(Stage::Done);
                        if let Some(taken) = taken {
                            taken.delivered();
                        }
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
                    // No notification announces the time: look again as if newly come.
                    *waiter = Waiter::new();
                    sleeps += 1;
                    if sleeps == SLEEPS {
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

/// So many sleeps may end in one poll before other tasks run: a clock that lags behind its timer would keep it for as long as it
/// lags.
pub(crate) const SLEEPS: u32 = 4;

/// Returns until when to wait for what was denied; `None` if that is in vain.
fn worth_waiting(denied: Denied, latest: Timestamp) -> Option<Timestamp> {
    match denied {
        Denied::Until(due) if due.ready_at <= latest => Some(due.ready_at),
        _ => None,
    }
}

impl<R: Reach<Clock: Timer>> Future for Waiting<R> {
    type Output = Result<Grant, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if !matches!(*this.stage, Stage::Fresh) {
            return self.poll_slow(cx);
        }
        let shared = this.reach.shared();
        let now = shared.clock.now();
        match shared.take_at_once(this.reach.cell(), *this.ask, now) {
            Some(Ok(grant)) => {
                shared.counters.add(Count::Allowed, 1);
                this.stage.set(Stage::Done);
                Poll::Ready(Ok(grant))
            }
            _ => self.poll_new(now, cx),
        }
    }
}

impl<R: Reach<Clock: Timer>> fmt::Debug for Waiting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Fresh => "fresh",
            Stage::InLine { .. } => "in line",
            Stage::AtHead { .. } => "at the head",
            Stage::Done => "done",
        };
        f.debug_struct("Waiting")
            .field("ask", &self.ask)
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
        waiting: Waiting<Of<'a, A, C, &'a Cell<A>>>,
    }
}

impl<'a, A: Algorithm, C: Timer> Acquire<'a, A, C> {
    #[inline]
    pub(crate) fn new(shared: &'a Shared<A, C>, cell: &'a Cell<A>, ask: Ask) -> Self {
        Self { waiting: Waiting::new(Of { shared, cell }, ask) }
    }

    /// Returns the limiter's common part, and its cell.
    pub(crate) fn of(self: Pin<&mut Self>) -> (&'a Shared<A, C>, &'a Cell<A>) {
        let Of { shared, cell } = *self.project().waiting.reach();
        (shared, cell)
    }

    /// Refuses as soon as it is clear that the tokens cannot be had within `duration` from this call, instead of waiting
    /// in vain.
    ///
    /// What the request will have to wait for is known when it joins the line: the tokens of those before it and its own.
    /// So it is refused at its first poll, or, if the limiter was penalized meanwhile, when its turn comes. This is no
    /// timeout: a head that nobody polls holds up those behind it. Combine it with
    /// [`wait_timeout`](tidegate_core::Wait::wait_timeout) for a bound in every case.
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] with the time that would have been needed.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(1)?);
    /// assert!(limiter.acquire(1).wait().is_ok());
    /// let refused = limiter.acquire(1).or_refuse_after(Duration::from_secs(60)).wait().unwrap_err();
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
