//! A wait for tokens that holds no place in line.

use alloc::boxed::Box;

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tidegate_core::{Timer, Timestamp, event::Waiter};

use super::Refund;
use crate::{
    acquire::SLEEPS,
    algorithm::{Algorithm, Ask, Denied},
    grant::{Grant, Refused},
    limiter::Limiter,
    stats::{Count, Counters},
};

/// One direction of a reader or writer: what it sleeps on while the tokens are not there.
///
/// Nothing of it belongs to the call that made it. Each poll asks anew for what it needs, and takes it or not. What is kept
/// from poll to poll only says when to be polled again.
pub(super) struct Pause<'l, C: Timer> {
    // Made by the first wait, and used again.
    sleeping: Option<Pin<Box<Sleeping<'l, C>>>>,
}

pin_project! {
    struct Sleeping<'l, C>
    where
        C: Timer,
    {
        // `None` if it does not wait.
        waits: Option<Waits<'l>>,
        // When the tokens could be there at the earliest, when this was last asked.
        earliest: Timestamp,
        // What it sleeps until, and the sleep.
        due: Timestamp,
        #[pin]
        sleep: Option<C::Sleep>,
        // Listens for refunds and new quotas.
        waiter: Waiter,
    }
}

impl<'l, C: Timer> Pause<'l, C> {
    const fn new() -> Self {
        Self { sleeping: None }
    }

    /// Takes up to `n` tokens, at least one unless `n` is zero; or else sees to it that the task is woken when they may be
    /// there.
    pub(super) fn poll_take<A: Algorithm>(
        &mut self,
        limiter: &'l Limiter<A, C>,
        cx: &mut Context<'_>,
        n: usize,
    ) -> Poll<Result<Refund<'l, A, C>, Refused>> {
        let ask = Ask::up_to(u32::try_from(n).unwrap_or(u32::MAX));
        let now = limiter.shared.clock.now();
        match limiter.shared.take(&limiter.cell, ask, now) {
            Ok(grant) => Poll::Ready(Ok(self.taken(limiter, grant))),
            Err(denied) => self.poll_denied(limiter, cx, ask, denied, now),
        }
    }

    /// Ends the wait, if there was one.
    fn taken<A: Algorithm>(
        &mut self,
        limiter: &'l Limiter<A, C>,
        grant: Grant,
    ) -> Refund<'l, A, C> {
        // First, so that the tokens go back if the drop of a sleep panics.
        let refund = Refund::new(limiter, grant);
        limiter.shared.counters.add(Count::Allowed, 1);
        if let Some(sleeping) = &mut self.sleeping {
            let mut sleeping = sleeping.as_mut().project();
            if let Some(waits) = sleeping.waits.take() {
                limiter.shared.counters.add_wait(grant.at.since(waits.since));
                *sleeping.waiter = Waiter::new();
                sleeping.sleep.set(None);
            }
        }
        refund
    }

    #[cold]
    fn poll_denied<A: Algorithm>(
        &mut self,
        limiter: &'l Limiter<A, C>,
        cx: &mut Context<'_>,
        ask: Ask,
        denied: Denied,
        now: Timestamp,
    ) -> Poll<Result<Refund<'l, A, C>, Refused>> {
        let shared = &limiter.shared;
        if let Denied::Beyond(_) = denied {
            return Poll::Ready(Err(Refused::denied(denied, ask.least, now)));
        }
        let line = limiter.cell.line();
        let sleeping = self.sleeping.get_or_insert_with(|| {
            Box::pin(Sleeping {
                waits: None,
                earliest: Timestamp::NEVER,
                due: Timestamp::NEVER,
                sleep: None,
                waiter: Waiter::new(),
            })
        });
        let waits = sleeping.as_mut().project().waits;
        waits.get_or_insert_with(|| Waits::new(&shared.counters, shared.clock.fresh_now()));
        let (mut now, mut sleeps) = (now, 0);
        loop {
            let this = sleeping.as_mut().project();
            let mut earliest = Timestamp::NEVER;
            let mut take = || {
                now = shared.clock.now();
                match shared.take(&limiter.cell, ask, now) {
                    Err(Denied::Until(due)) => {
                        earliest = due.ready_at;
                        None
                    }
                    // Stopped; but the quota may change.
                    Err(Denied::Never) => {
                        earliest = Timestamp::NEVER;
                        None
                    }
                    taken => Some(taken),
                }
            };
            if let Poll::Ready(taken) = this.waiter.poll_until(&line.eased, cx, &mut take) {
                return Poll::Ready(match taken {
                    Ok(grant) => Ok(self.taken(limiter, grant)),
                    Err(denied) => Err(Refused::denied(denied, ask.least, now)),
                });
            }
            let mut this = sleeping.as_mut().project();
            // Anew if that was too early, or if tokens have come back.
            if this.sleep.is_none() || *this.due < earliest || earliest < *this.earliest {
                *this.earliest = earliest;
                let spacing = spacing(limiter, ask, earliest, now);
                *this.due = match earliest > now {
                    true => line.queue_up(earliest, spacing),
                    // The tokens are there, for the head of the line, which has not been polled yet.
                    false => now + spacing.max(Duration::from_millis(1)),
                };
                this.sleep.set(Some(shared.clock.sleep_until(*this.due)));
            }
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            this.sleep.set(None);
            // No notification announces the time: look again as if newly come.
            *this.waiter = Waiter::new();
            sleeps += 1;
            if sleeps == SLEEPS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Being counted among those who wait: until the tokens are taken, or the reader is dropped.
struct Waits<'l> {
    counters: &'l Counters,
    since: Timestamp,
}

impl<'l> Waits<'l> {
    fn new(counters: &'l Counters, since: Timestamp) -> Self {
        counters.add(Count::Joined, 1);
        Self { counters, since }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.counters.add(Count::Left, 1);
    }
}

/// Returns how long after the first token there is one more, so that those who sleep for one each do not all wake for it.
fn spacing<A: Algorithm, C>(
    limiter: &Limiter<A, C>,
    ask: Ask,
    earliest: Timestamp,
    now: Timestamp,
) -> Duration {
    match limiter.cell.algorithm.behind(&limiter.shared.rule, ask, 1, now) {
        Denied::Until(due) => due.ready_at.since(earliest),
        Denied::Never | Denied::Beyond(_) => Duration::ZERO,
    }
}

/// The pauses of both directions: they belong to different tasks, and each to be woken.
pub(super) struct Pauses<'l, C: Timer> {
    pub(super) reading: Pause<'l, C>,
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "tokio-io")),
        allow(dead_code, reason = "a stream is not written to")
    )]
    pub(super) writing: Pause<'l, C>,
}

impl<C: Timer> Pauses<'_, C> {
    pub(super) const fn new() -> Self {
        Self { reading: Pause::new(), writing: Pause::new() }
    }
}
