//! Waiting for tokens.

use core::{
    fmt,
    future::Future,
    mem,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tidegate_core::{Timer, Timestamp, event::Waiter, wait_list::Turn};

use crate::{
    algorithm::{Algorithm, Ask, Denied},
    cell::{Cell, Door, Head, Shared, Waits},
    grant::{Grant, Refused},
};

pin_project! {
    /// The one state machine of every wait, over a cell that is borrowed or shared.
    pub(crate) struct Waiting<'a, A, C, P>
    where
        A: Algorithm,
        C: Timer,
        P: Deref<Target = Cell<A>>,
    {
        shared: &'a Shared<A, C>,
        cell: P,
        ask: Ask,
        // When waiting is no longer worth it.
        latest: Option<Timestamp>,
        stage: Stage<'a, A, P>,
        // Since when it stands in line.
        since: Timestamp,
        // The head's: listens for refunds and new quotas.
        waiter: Waiter,
        // The head's: what it sleeps until, and the sleep.
        ready_at: Timestamp,
        #[pin]
        sleep: Option<C::Sleep>,
    }
}

/// | stage | meaning | left by |
/// | --- | --- | --- |
/// | `Fresh` | not polled | the first poll |
/// | `InLine` | others are before it | the turnstile |
/// | `AtHead` | the next tokens are its own | taking them, or refusing |
/// | `Done` | has resolved | nothing |
enum Stage<'a, A: Algorithm, P: Deref<Target = Cell<A>>> {
    Fresh,
    InLine { turn: Turn<Door<P>>, waits: Waits<'a, A, P> },
    AtHead { _head: Head<A, P>, _waits: Waits<'a, A, P> },
    Done,
}

impl<'a, A, C, P> Waiting<'a, A, C, P>
where
    A: Algorithm,
    C: Timer,
    P: Deref<Target = Cell<A>> + Clone,
{
    pub(crate) fn new(shared: &'a Shared<A, C>, cell: P, ask: Ask) -> Self {
        Self {
            shared,
            cell,
            ask,
            latest: None,
            stage: Stage::Fresh,
            since: Timestamp::ORIGIN,
            waiter: Waiter::new(),
            ready_at: Timestamp::NEVER,
            sleep: None,
        }
    }

    pub(crate) fn or_refuse_after(self, duration: Duration) -> Self {
        let latest = self.shared.clock.now() + duration;
        Self { latest: Some(latest), ..self }
    }
}

impl<A, C, P> Future for Waiting<'_, A, C, P>
where
    A: Algorithm,
    C: Timer,
    P: Deref<Target = Cell<A>> + Clone,
{
    type Output = Result<Grant, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (shared, ask, latest) = (*this.shared, *this.ask, *this.latest);
        // Until when to wait for what was denied; `None` if that is in vain.
        let worth_waiting = |denied| match denied {
            Denied::Until(ready_at) if latest.is_none_or(|latest| ready_at <= latest) => {
                Some(ready_at)
            }
            _ => None,
        };
        loop {
            match this.stage {
                Stage::Fresh => {
                    let now = shared.clock.now();
                    let answer = match shared.take(this.cell, ask, now) {
                        Err(denied) if worth_waiting(denied).is_some() => {
                            let waits = Waits::new(this.cell.clone(), &shared.counters, ask);
                            let turn = Turn::new(Door(this.cell.clone()), ());
                            *this.since = now;
                            *this.stage = Stage::InLine { turn, waits };
                            continue;
                        }
                        taken => shared.answer(ask, taken, now),
                    };
                    *this.stage = Stage::Done;
                    return Poll::Ready(answer);
                }
                Stage::InLine { turn, .. } => {
                    let Ok(()) = ready!(Pin::new(turn).poll(cx)) else {
                        unreachable!("nobody closes the turnstile of a limiter")
                    };
                    let head = Head::granted(this.cell.clone());
                    if let Stage::InLine { waits, .. } = mem::replace(this.stage, Stage::Done) {
                        *this.stage = Stage::AtHead { _head: head, _waits: waits };
                    }
                }
                Stage::AtHead { .. } => {
                    let mut ready_at = *this.ready_at;
                    let mut take = || {
                        let now = shared.clock.now();
                        let taken = this.cell.algorithm.take(&shared.rule, ask, now);
                        if let Some(time) = taken.err().and_then(worth_waiting) {
                            ready_at = time;
                            return None;
                        }
                        Some(shared.answer(ask, taken, now))
                    };
                    let polled = this.waiter.poll_until(this.cell.changed(), cx, &mut take);
                    if let Poll::Ready(answer) = polled {
                        if let Ok(grant) = &answer {
                            let waited = grant.at.since(*this.since);
                            shared.counters.add_wait(waited);
                        }
                        this.sleep.set(None);
                        *this.stage = Stage::Done;
                        return Poll::Ready(answer);
                    }
                    if this.sleep.is_none() || *this.ready_at != ready_at {
                        *this.ready_at = ready_at;
                        this.sleep.set(Some(shared.clock.sleep_until(ready_at)));
                    }
                    if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                        ready!(sleep.poll(cx));
                    }
                    this.sleep.set(None);
                    // No notification announces the time: look again as if newly come.
                    *this.waiter = Waiter::new();
                }
                Stage::Done => panic!("polled after it was ready"),
            }
        }
    }
}

impl<A, C, P> fmt::Debug for Waiting<'_, A, C, P>
where
    A: Algorithm,
    C: Timer,
    P: Deref<Target = Cell<A>>,
{
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
        waiting: Waiting<'a, A, C, &'a Cell<A>>,
    }
}

impl<'a, A: Algorithm, C: Timer> Acquire<'a, A, C> {
    pub(crate) fn new(shared: &'a Shared<A, C>, cell: &'a Cell<A>, ask: Ask) -> Self {
        Self { waiting: Waiting::new(shared, cell, ask) }
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().waiting.poll(cx)
    }
}

impl<A: Algorithm, C: Timer> fmt::Debug for Acquire<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acquire").field(&self.waiting).finish()
    }
}
