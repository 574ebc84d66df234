//! The state of one limiter, or of one key of a keyed limiter: its tokens and its wait queue.
//!
//! ```text
//! try_acquire   is a caller waiting? ──yes──▶ refused             no ──▶ take: granted or refused
//! acquire       the same ──refused──▶ join the queue ──▶ pass the turnstile: now the head
//! head          take ──not yet──▶ listen for refunds ──▶ take ──not yet──▶ sleep until ready ──▶ …
//! refund        put tokens back ──▶ wake the head, which checks again; a new quota does the same
//! ```
//!
//! Only the head has a timer. A waiter that leaves, with tokens or without, leaves the turnstile,
//! which makes the next waiter the head. Tokens are taken in the poll that returns them, so there
//! is no grant that a cancelled wait could lose.

use core::ops::Deref;

use tidegate_core::{
    Timestamp, Turnstile, const_fn,
    primitive::atomic::{AtomicU64, Ordering, fence},
    wait_list::Supply,
};

use crate::{
    algorithm::Algorithm,
    grant::{Denied, Grant, Refused, Request},
    stats::{Counter, Counters},
    wait_queue::{LazyWaitQueue, WaitQueue},
};

/// What belongs to one limiter, or to one key of a keyed limiter.
#[derive(Debug)]
pub struct LimiterState<A> {
    pub(crate) algorithm: A,
    /// The sum of the fewest tokens that each waiter accepts; a request for none counts as one.
    /// Zero if there are no waiters.
    queued: AtomicU64,
    wait_queue: LazyWaitQueue,
}

impl<A> LimiterState<A> {
    const_fn! {
        pub(crate) fn new(algorithm: A) -> Self {
            Self { algorithm, queued: AtomicU64::new(0), wait_queue: LazyWaitQueue::new() }
        }
    }

    /// Returns how many tokens all waiters need at least; zero if there are no waiters.
    #[inline]
    pub(crate) fn queued(&self) -> u64 {
        // ORDERING: Relaxed: a waiter that joined before, in the sense of happens-before, is seen
        // by coherence; between callers at the same time there is no order to keep. The number
        // guards no data.
        self.queued.load(Ordering::Relaxed)
    }

    /// Returns the wait queue, and makes it if there is none.
    pub(crate) fn wait_queue(&self) -> &WaitQueue {
        self.wait_queue.get_or_make()
    }

    /// Wakes the head of the queue and all sleepers beside it (throttled readers and writers),
    /// after the quota was changed or a reservation cancelled: they check again.
    pub(crate) fn notify_change(&self) {
        self.notify(WaitQueue::notify_all);
    }

    /// Wakes the head of the queue and one sleeper beside it, after a refund: one is enough for a
    /// few tokens, as the others have timers of their own.
    pub(crate) fn notify_refund(&self) {
        self.notify(WaitQueue::notify_two);
    }

    fn notify(&self, wake: impl FnOnce(&WaitQueue)) {
        // ORDERING: pairs with the fence of `Event::listen`, which comes after the queue was made:
        // either the queue is found here, or the head's check after registering sees the change.
        fence(Ordering::SeqCst);
        if let Some(wait_queue) = self.wait_queue.get() {
            wake(wait_queue);
        }
    }
}

/// What all states of one limiter have in common.
#[derive(Debug)]
pub(crate) struct Shared<A: Algorithm, C> {
    pub(crate) rule: A::Rule,
    pub(crate) clock: C,
    pub(crate) counters: Counters,
}

impl<A: Algorithm, C> Shared<A, C> {
    const_fn! {
        pub(crate) fn new(rule: A::Rule, clock: C) -> Self {
            Self { rule, clock, counters: Counters::new() }
        }
    }

    /// Returns a reference to this shared part and to one of the states that share it.
    #[inline]
    pub(crate) const fn with<'a>(&'a self, state: &'a LimiterState<A>) -> StateRef<'a, A, C> {
        StateRef { shared: self, state }
    }

    /// Counts the outcome of a take at `now`, and translates a denial into a refusal. A request for
    /// more than can ever be granted is not counted.
    #[inline(always)]
    pub(crate) fn counted<T>(
        &self,
        request: Request,
        taken: Result<T, Denied>,
        now: Timestamp,
    ) -> Result<T, Refused> {
        match taken {
            Ok(grant) => {
                self.counters.add(Counter::Allowed, 1);
                Ok(grant)
            }
            Err(denied) => {
                if !matches!(denied, Denied::TooMany(_)) {
                    self.counters.add(Counter::Refused, 1);
                }
                Err(Refused::denied(denied, request.least, now))
            }
        }
    }
}

/// A reference to a limiter's state and shared part, which borrows them or keeps them alive.
pub trait LimiterRef: Clone {
    type Algorithm: Algorithm;
    type Clock;

    /// Returns a reference that borrows both.
    fn state_ref(&self) -> StateRef<'_, Self::Algorithm, Self::Clock>;
}

/// A [`LimiterRef`] that borrows the shared part, and also the state unless `P` is an `Arc` of it.
#[derive(Debug)]
pub struct StateRef<'a, A: Algorithm, C, P = &'a LimiterState<A>> {
    pub(crate) shared: &'a Shared<A, C>,
    pub(crate) state: P,
}

impl<A: Algorithm, C> Copy for StateRef<'_, A, C> {}

impl<A: Algorithm, C, P: Clone> Clone for StateRef<'_, A, C, P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared, state: self.state.clone() }
    }
}

impl<A, C, P> LimiterRef for StateRef<'_, A, C, P>
where
    A: Algorithm,
    P: Deref<Target = LimiterState<A>> + Clone,
{
    type Algorithm = A;
    type Clock = C;

    #[inline]
    fn state_ref(&self) -> StateRef<'_, A, C> {
        self.shared.with(&self.state)
    }
}

impl<A: Algorithm, C> StateRef<'_, A, C> {
    /// Takes tokens if they are available and no caller waits.
    #[inline(always)]
    pub(crate) fn try_acquire_at(self, request: Request, now: Timestamp) -> Result<Grant, Refused> {
        match self.take_at_once(request, now) {
            Some(taken) => self.shared.counted(request, taken, now),
            None => self.try_acquire_slowly(request, now),
        }
    }

    /// Does what [`take`](Self::take) does, or returns `None`, with nothing taken, if a caller
    /// waits or the algorithm cannot answer at once.
    #[inline(always)]
    pub(crate) fn take_at_once(
        self,
        request: Request,
        now: Timestamp,
    ) -> Option<Result<Grant, Denied>> {
        if self.state.queued() > 0 {
            return None;
        }
        self.state.algorithm.take_at_once(&self.shared.rule, request, now)
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_slowly(self, request: Request, now: Timestamp) -> Result<Grant, Refused> {
        self.shared.counted(request, self.take(request, now), now)
    }

    /// Takes tokens for a newcomer, without counting the outcome.
    pub(crate) fn take(self, request: Request, now: Timestamp) -> Result<Grant, Denied> {
        self.deny_if_queued(request, now)?;
        self.state.algorithm.take(&self.shared.rule, request, now)
    }

    /// Denies a request that would overtake waiters.
    #[inline(always)]
    pub(crate) fn deny_if_queued(self, request: Request, now: Timestamp) -> Result<(), Denied> {
        match self.state.queued() {
            0 => Ok(()),
            queued => {
                Err(self.state.algorithm.deny_behind(&self.shared.rule, request, queued, now))
            }
        }
    }

    /// Corrects what a grant took to what the work has cost.
    pub(crate) fn adjust(self, grant: &Grant, cost: u32, now: impl Fn() -> Timestamp) {
        match cost.checked_sub(grant.tokens) {
            None => self.refund_grant(grant, grant.tokens - cost, now),
            Some(0) => {}
            Some(more) => _ = self.state.algorithm.force_take(&self.shared.rule, more, now()),
        }
    }

    /// Refunds `n` tokens that were taken at an unknown time.
    pub(crate) fn refund(self, n: u32) {
        self.state.algorithm.refund(&self.shared.rule, n);
        self.state.notify_refund();
    }

    /// Refunds `n` tokens of `grant`, except those that time has refilled since.
    pub(crate) fn refund_grant(self, grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        self.state.algorithm.refund_grant(&self.shared.rule, grant, n, now);
        self.state.notify_refund();
    }

    /// Grants nothing before `time`. The head finds out when its sleep is over.
    pub(crate) fn block_until(self, time: Timestamp) {
        self.state.algorithm.block_until(&self.shared.rule, time);
    }
}

/// Counts a waiter, and the tokens that it needs at least, until this guard is dropped.
#[derive(Debug)]
pub(crate) struct CountedWaiter<R: LimiterRef> {
    limiter: R,
    tokens: u64,
}

impl<R: LimiterRef> CountedWaiter<R> {
    pub(crate) fn new(limiter: R, request: Request) -> Self {
        let tokens = u64::from(request.least.max(1));
        let StateRef { shared, state } = limiter.state_ref();
        // ORDERING: Relaxed, as in `LimiterState::queued`.
        state.queued.fetch_add(tokens, Ordering::Relaxed);
        shared.counters.add(Counter::Joined, 1);
        Self { limiter, tokens }
    }
}

impl<R: LimiterRef> Drop for CountedWaiter<R> {
    fn drop(&mut self) {
        let StateRef { shared, state } = self.limiter.state_ref();
        // ORDERING: Relaxed, as in `LimiterState::queued`.
        state.queued.fetch_sub(self.tokens, Ordering::Relaxed);
        shared.counters.add(Counter::Left, 1);
    }
}

/// The turnstile of a wait queue, for a [`Turn`](tidegate_core::wait_list::Turn) that reaches it
/// through any kind of [`LimiterRef`].
#[derive(Debug)]
pub(crate) struct QueueRef<R>(pub(crate) R);

impl<R: LimiterRef> Deref for QueueRef<R> {
    type Target = Turnstile;

    fn deref(&self) -> &Turnstile {
        &self.0.state_ref().state.wait_queue().turnstile
    }
}

/// Held by the head of the queue. Dropping it makes the next waiter the head.
#[derive(Debug)]
pub(crate) struct QueueHead<R: LimiterRef> {
    limiter: R,
}

impl<R: LimiterRef> QueueHead<R> {
    /// Creates the guard of a waiter whose turn at the turnstile was granted.
    pub(crate) fn granted(limiter: R) -> Self {
        Self { limiter }
    }
}

impl<R: LimiterRef> Drop for QueueHead<R> {
    fn drop(&mut self) {
        self.limiter.state_ref().state.wait_queue().turnstile.give_back(());
    }
}

/// Tokens that were taken and have not reached their caller: they are refunded if foreign code
/// panics in between.
pub(crate) struct Undelivered<R: LimiterRef> {
    limiter: R,
    tokens: u32,
}

impl<R: LimiterRef> Undelivered<R> {
    pub(crate) fn new(limiter: R, tokens: u32) -> Self {
        Self { limiter, tokens }
    }

    /// Notes that the caller has the tokens.
    pub(crate) fn delivered(mut self) {
        self.tokens = 0;
    }
}

impl<R: LimiterRef> Drop for Undelivered<R> {
    fn drop(&mut self) {
        if self.tokens > 0 {
            // Refunds them as the latest tokens, which they nearly are. Their age is not computed:
            // the clock is foreign code.
            self.limiter.state_ref().refund(self.tokens);
        }
    }
}
