//! One counter of tokens and the line of those who wait for it.
//!
//! ```text
//! try_acquire   anybody in line? ──yes──▶ refused            no ──▶ take: granted or refused
//! acquire       the same ──refused──▶ into the line ──▶ through the turnstile: now the head
//! head          take ──not yet──▶ listen for refunds ──▶ take ──not yet──▶ sleep until it is ready ──▶ take …
//! refund        give back ──▶ wake the head, which looks again
//! ```
//!
//! Only the head has a timer. Whoever leaves, with tokens or without, leaves the turnstile, which makes the next one the
//! head. Tokens are taken in the poll that returns them, so there is no grant on its way that a cancellation could lose.

use core::ops::Deref;

use tidegate_core::{
    Event, Timestamp, Turnstile, const_fn,
    primitive::atomic::{AtomicU64, Ordering},
    wait_list::Supply,
};

use crate::{
    algorithm::Algorithm,
    grant::{Grant, Refused},
    stats::{Count, Counters},
};

/// What belongs to one limiter, or to one key of a keyed one.
#[derive(Debug)]
pub(crate) struct Cell<A> {
    pub(crate) algorithm: A,
    /// The tokens asked for by those in line and by the head; a request for none counts as one. Zero: nobody waits.
    wanted: AtomicU64,
    /// Whoever is inside is the head.
    turnstile: Turnstile,
    /// Tokens came back.
    pub(crate) refunded: Event,
}

impl<A> Cell<A> {
    const_fn! {
        pub(crate) fn new(algorithm: A) -> Self {
            Self {
                algorithm,
                wanted: AtomicU64::new(0),
                turnstile: Turnstile::new(),
                refunded: Event::new(),
            }
        }
    }

    /// Returns the tokens asked for by those who wait.
    #[inline]
    fn wanted(&self) -> u64 {
        // ORDERING: Relaxed: who waits already, in the sense of happens-before, is seen by coherence; between callers at
        // the same time there is no order to keep. The number guards no data.
        self.wanted.load(Ordering::Relaxed)
    }
}

impl<A: Algorithm> Cell<A> {
    /// Returns whether the cell is as good as new. Meant for one that nobody else can reach: then nobody waits.
    pub(crate) fn is_idle(&self, rule: &A::Rule, now: Timestamp) -> bool {
        self.wanted() == 0 && self.algorithm.is_idle(rule, now)
    }
}

/// What the cells of one limiter have in common.
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

    /// Takes `n` tokens if they are there and nobody waits.
    #[inline]
    pub(crate) fn try_acquire_at(
        &self,
        cell: &Cell<A>,
        n: u32,
        now: Timestamp,
    ) -> Result<Grant, Refused> {
        self.answer(n, self.take(cell, n, now), now)
    }

    /// The uncounted take of a newcomer.
    ///
    /// # Errors
    ///
    /// When it can be granted at the earliest.
    #[inline]
    pub(crate) fn take(&self, cell: &Cell<A>, n: u32, now: Timestamp) -> Result<Grant, Timestamp> {
        if !self.can_be_had(n) {
            return Err(Timestamp::NEVER);
        }
        match cell.wanted() {
            0 => cell.algorithm.take(&self.rule, n, now),
            // Behind those who wait.
            wanted => {
                Err(cell.algorithm.ready_at(&self.rule, wanted.saturating_add(n.into()), now))
            }
        }
    }

    /// Counts what came of a take at `now`, and puts a refusal into words.
    #[inline]
    pub(crate) fn answer(
        &self,
        n: u32,
        taken: Result<Grant, Timestamp>,
        now: Timestamp,
    ) -> Result<Grant, Refused> {
        match taken {
            Ok(grant) => {
                self.counters.add(Count::Allowed, 1);
                Ok(grant)
            }
            Err(ready_at) => {
                self.check(n)?;
                self.counters.add(Count::Refused, 1);
                Err(Refused::not_now(ready_at, now))
            }
        }
    }

    /// Returns whether a request for `n` tokens can ever be granted.
    #[inline]
    pub(crate) fn can_be_had(&self, n: u32) -> bool {
        n <= A::limit(&self.rule)
    }

    /// Refuses a request for more tokens than can ever be granted. No counter knows of it.
    #[inline]
    pub(crate) fn check(&self, n: u32) -> Result<(), Refused> {
        match self.can_be_had(n) {
            true => Ok(()),
            false => Err(Refused::TooMany { asked: n, limit: A::limit(&self.rule) }),
        }
    }

    pub(crate) fn refund(&self, cell: &Cell<A>, n: u32, taken_at: Option<Timestamp>) {
        cell.algorithm.give_back(&self.rule, n, taken_at);
        // Begins with a fence: the head either sees the tokens in its check after registering, or is woken.
        cell.refunded.notify(1);
    }

    /// Grants nothing before `time`. The head finds out when its sleep is over.
    pub(crate) fn block_until(&self, cell: &Cell<A>, time: Timestamp) {
        cell.algorithm.block_until(&self.rule, time);
    }
}

/// Being counted among those who wait.
#[derive(Debug)]
pub(crate) struct Waits<'a, A, P: Deref<Target = Cell<A>>> {
    cell: P,
    counters: &'a Counters,
    wants: u64,
}

impl<'a, A, P: Deref<Target = Cell<A>>> Waits<'a, A, P> {
    pub(crate) fn new(cell: P, counters: &'a Counters, n: u32) -> Self {
        let wants = u64::from(n.max(1));
        // ORDERING: Relaxed, as in `Cell::wanted`.
        cell.wanted.fetch_add(wants, Ordering::Relaxed);
        counters.add(Count::Joined, 1);
        Self { cell, counters, wants }
    }
}

impl<A, P: Deref<Target = Cell<A>>> Drop for Waits<'_, A, P> {
    fn drop(&mut self) {
        // ORDERING: Relaxed, as in `Cell::wanted`.
        self.cell.wanted.fetch_sub(self.wants, Ordering::Relaxed);
        self.counters.add(Count::Left, 1);
    }
}

/// The turnstile of a cell, for a [`Turn`](tidegate_core::wait_list::Turn) that points to the cell in its own way.
#[derive(Debug)]
pub(crate) struct Door<P>(pub(crate) P);

impl<A: Algorithm, P: Deref<Target = Cell<A>>> Deref for Door<P> {
    type Target = Turnstile;

    fn deref(&self) -> &Turnstile {
        &self.0.turnstile
    }
}

/// Being the head. Dropping it makes the next one the head.
#[derive(Debug)]
pub(crate) struct Head<A, P: Deref<Target = Cell<A>>> {
    cell: P,
}

impl<A, P: Deref<Target = Cell<A>>> Head<A, P> {
    /// Creates the head from a turn of the cell's door that was granted.
    pub(crate) fn granted(cell: P) -> Self {
        Self { cell }
    }
}

impl<A, P: Deref<Target = Cell<A>>> Drop for Head<A, P> {
    fn drop(&mut self) {
        self.cell.turnstile.give_back(());
    }
}
