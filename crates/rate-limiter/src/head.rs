//! The head of the wait queue, to which the next tokens belong.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{Clock, Timer, Timestamp, event::Waiter};

use crate::{
    algorithm::TokenCounter as _,
    grant::{Denied, Grant, Refused, Request},
    state::{CountedWaiter, LimiterRef, QueueHead, StateRef, Undelivered},
};

pin_project! {
    /// The waiter at the head: it listens for refunds and new quotas, and sleeps until its tokens
    /// are available.
    pub(crate) struct Head<R>
    where
        R: LimiterRef,
        R::Clock: Timer,
    {
        // When the waiter joined the queue.
        since: Timestamp,
        // When `sleep` ends.
        ready_at: Timestamp,
        #[pin]
        sleep: Option<<R::Clock as Timer>::Sleep>,
        waiter: Waiter,
        _turn: QueueHead<R>,
        _counted: CountedWaiter<R>,
    }
}

/// An answer, and for a grant a guard that refunds the tokens unless it is told of their delivery.
type Answer<R> = (Result<Grant, Refused>, Option<Undelivered<R>>);

impl<R: LimiterRef<Clock: Timer>> Head<R> {
    pub(crate) fn new(turn: QueueHead<R>, counted: CountedWaiter<R>, since: Timestamp) -> Self {
        let (ready_at, waiter) = (Timestamp::NEVER, Waiter::new());
        Self { since, ready_at, sleep: None, waiter, _turn: turn, _counted: counted }
    }

    /// Polls for the tokens, which are of no use to the caller after `latest`.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        limiter: &R,
        request: Request,
        latest: Timestamp,
        cx: &mut Context<'_>,
    ) -> Poll<Answer<R>> {
        let mut this = self.project();
        let StateRef { shared, state } = limiter.state_ref();
        for _ in 0..MAX_SLEEPS {
            let mut ready_at = *this.ready_at;
            // Foreign code runs after the tokens are taken and before the caller has them.
            let mut taken = None;
            let mut take = || {
                let now = shared.clock.now();
                let answer = state.algorithm.take(&shared.rule, request, now);
                let denied = answer.as_ref().err().copied();
                if let Some(time) = denied.and_then(|denied| worth_waiting(denied, latest)) {
                    ready_at = time;
                    return None;
                }
                if let Ok(grant) = &answer {
                    taken = Some(Undelivered::new(limiter.clone(), grant.tokens));
                }
                Some(shared.counted(request, answer, now))
            };
            let refunds = &state.wait_queue().head;
            if let Poll::Ready(answer) = this.waiter.poll_until(refunds, cx, &mut take) {
                if let Ok(grant) = &answer {
                    shared.counters.add_wait(grant.at.since(*this.since));
                }
                return Poll::Ready((answer, taken));
            }
            if this.sleep.is_none() || *this.ready_at != ready_at {
                *this.ready_at = ready_at;
                this.sleep.set(Some(shared.clock.sleep_until(ready_at)));
            }
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            this.sleep.set(None);
            // No notification comes with the end of a sleep. A new waiter checks again without one.
            *this.waiter = Waiter::new();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How many sleeps may end in one poll before other tasks run. Without this bound, a poll would not
/// end while a clock lags behind its timer.
pub(crate) const MAX_SLEEPS: u32 = 4;

/// Returns the time until which a denied request has to wait; `None` if a wait would be in vain.
pub(crate) fn worth_waiting(denied: Denied, latest: Timestamp) -> Option<Timestamp> {
    match denied {
        Denied::Until(due) if due.ready_at <= latest => Some(due.ready_at),
        // Blocked for ever: a caller that has set no latest time waits all the same.
        Denied::Never(_) if latest == Timestamp::NEVER => Some(latest),
        _ => None,
    }
}
