//! How a throttled reader, writer or stream waits for tokens: without a turn in the wait queue.

use alloc::boxed::Box;

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tidegate_core::{Timer, Timestamp, event::Waiter};

use super::refund::Refund;
use crate::{
    algorithm::Algorithm,
    grant::{Denied, Grant, Refused, Request},
    head::MAX_SLEEPS,
    limiter::Limiter,
    stats::{Counter, Counters},
};

/// The wait for tokens in one direction of a reader or writer.
///
/// Each poll is a new request. From poll to poll it keeps only since when the task waits, and when
/// to poll again.
pub(super) struct Pause<'l, C: Timer> {
    // Allocated by the first wait, and reused.
    sleeping: Option<Pin<Box<Sleeping<'l, C>>>>,
}

pin_project! {
    struct Sleeping<'l, C>
    where
        C: Timer,
    {
        // `None` if the reader or writer does not wait.
        counted: Option<CountedSleeper<'l>>,
        // When the tokens are available, as of the last check.
        earliest: Timestamp,
        // When `sleep` ends.
        due: Timestamp,
        #[pin]
        sleep: Option<C::Sleep>,
        // Listens for refunds and new quotas.
        waiter: Waiter,
    }
}

impl<C: Timer> Sleeping<'_, C> {
    const fn new() -> Self {
        let (earliest, due) = (Timestamp::NEVER, Timestamp::NEVER);
        Self { counted: None, earliest, due, sleep: None, waiter: Waiter::new() }
    }

    /// Starts a sleep until the tokens are available, at `earliest`, or keeps the one that runs.
    /// The sleep may end later than that, as sleepers wake one after the other.
    fn sleep_until<A: Algorithm>(
        self: Pin<&mut Self>,
        limiter: &Limiter<A, C>,
        request: Request,
        earliest: Timestamp,
        now: Timestamp,
    ) {
        let mut this = self.project();
        let latest = match this.sleep.is_some() {
            // Tokens were refunded. The new sleep ends sooner by at least as much as the tokens
            // come sooner, even if `due` puts this sleeper behind all others.
            true if earliest < *this.earliest => *this.due - this.earliest.since(earliest),
            true if earliest <= *this.due => return,
            // No sleep runs, or the one that runs ends too early.
            _ => Timestamp::NEVER,
        };
        *this.earliest = earliest;
        *this.due = due(limiter, request, earliest, now).min(latest);
        this.sleep.set(Some(limiter.shared.clock.sleep_until(*this.due)));
    }
}

impl<'l, C: Timer> Pause<'l, C> {
    const fn new() -> Self {
        Self { sleeping: None }
    }

    /// Takes up to `n` tokens, and at least one unless `n` is zero. If none is available, arranges
    /// to wake the task when one may be.
    pub(super) fn poll_take<A: Algorithm>(
        &mut self,
        limiter: &'l Limiter<A, C>,
        cx: &mut Context<'_>,
        n: usize,
    ) -> Poll<Result<Refund<'l, A, C>, Refused>> {
        let request = Request::up_to(u32::try_from(n).unwrap_or(u32::MAX));
        let now = limiter.shared.clock.now();
        match limiter.state_ref().take(request, now) {
            Ok(grant) => Poll::Ready(Ok(self.taken(limiter, grant))),
            Err(denied) => self.poll_denied(limiter, cx, request, denied, now),
        }
    }

    /// Counts the grant and ends the wait, if there was one. Returns the guard of the tokens.
    fn taken<A: Algorithm>(
        &mut self,
        limiter: &'l Limiter<A, C>,
        grant: Grant,
    ) -> Refund<'l, A, C> {
        // The guard comes first, so that the tokens are refunded if the drop of a sleep panics.
        let refund = Refund::new(limiter, grant);
        limiter.shared.counters.add(Counter::Allowed, 1);
        if let Some(sleeping) = &mut self.sleeping {
            let mut sleeping = sleeping.as_mut().project();
            if let Some(counted) = sleeping.counted.take() {
                limiter.shared.counters.add_wait(grant.at.since(counted.since));
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
        request: Request,
        denied: Denied,
        now: Timestamp,
    ) -> Poll<Result<Refund<'l, A, C>, Refused>> {
        let shared = &limiter.shared;
        if let Denied::TooMany(_) = denied {
            return Poll::Ready(Err(Refused::denied(denied, request.least, now)));
        }
        let wait_queue = limiter.state.wait_queue();
        let sleeping = self.sleeping.get_or_insert_with(|| Box::pin(Sleeping::new()));
        let count = || CountedSleeper::new(&shared.counters, shared.clock.fresh_now());
        sleeping.as_mut().project().counted.get_or_insert_with(count);
        let (mut now, mut sleeps) = (now, 0);
        loop {
            let this = sleeping.as_mut().project();
            let mut earliest = Timestamp::NEVER;
            let mut take = || {
                now = shared.clock.now();
                match limiter.state_ref().take(request, now) {
                    // The task sleeps even if `ready_at` is never, as a new quota may change that.
                    Err(Denied::Until(due)) => earliest = due.ready_at,
                    Err(Denied::Never(_)) => {}
                    taken => return Some(taken),
                }
                None
            };
            if let Poll::Ready(taken) = this.waiter.poll_until(&wait_queue.sleepers, cx, &mut take)
            {
                return Poll::Ready(match taken {
                    Ok(grant) => Ok(self.taken(limiter, grant)),
                    Err(denied) => Err(Refused::denied(denied, request.least, now)),
                });
            }
            sleeping.as_mut().sleep_until(limiter, request, earliest, now);
            let mut this = sleeping.as_mut().project();
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            this.sleep.set(None);
            // No notification comes with the end of a sleep. A new waiter checks again without one.
            *this.waiter = Waiter::new();
            sleeps += 1;
            if sleeps == MAX_SLEEPS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Counts a sleeper as waiting until it takes tokens or is dropped.
struct CountedSleeper<'l> {
    counters: &'l Counters,
    since: Timestamp,
}

impl<'l> CountedSleeper<'l> {
    fn new(counters: &'l Counters, since: Timestamp) -> Self {
        counters.add(Counter::Joined, 1);
        Self { counters, since }
    }
}

impl Drop for CountedSleeper<'_> {
    fn drop(&mut self) {
        self.counters.add(Counter::Left, 1);
    }
}

/// Returns when to wake a sleeper whose tokens are available at `earliest`.
fn due<A: Algorithm, C>(
    limiter: &Limiter<A, C>,
    request: Request,
    earliest: Timestamp,
    now: Timestamp,
) -> Timestamp {
    let spacing = spacing(limiter, request, earliest, now);
    match earliest > now {
        true => limiter.state.wait_queue().stagger(earliest, spacing),
        // The tokens are available, but first to the head of the queue, which was not polled yet.
        false => now + spacing.max(Duration::from_millis(1)),
    }
}

/// Returns how long after the first token the next one is available, so that several sleepers do
/// not all wake for the first token.
fn spacing<A: Algorithm, C>(
    limiter: &Limiter<A, C>,
    request: Request,
    earliest: Timestamp,
    now: Timestamp,
) -> Duration {
    match limiter.state.algorithm.deny_behind(&limiter.shared.rule, request, 1, now) {
        Denied::Until(due) => due.ready_at.since(earliest),
        Denied::Never(_) | Denied::TooMany(_) => Duration::ZERO,
    }
}

/// The pauses of both directions: different tasks may wait for them, and each is woken.
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
