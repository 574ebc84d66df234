//! One counter of tokens and the line of those who wait for it.
//!
//! ```text
//! try_acquire   anybody in line? ──yes──▶ refused            no ──▶ take: granted or refused
//! acquire       the same ──refused──▶ into the line ──▶ through the turnstile: now the head
//! head          take ──not yet──▶ listen for refunds ──▶ take ──not yet──▶ sleep until it is ready ──▶ take …
//! refund        give back ──▶ wake the head, which looks again; a new quota does the same
//! ```
//!
//! Only the head has a timer. Whoever leaves, with tokens or without, leaves the turnstile, which makes the next one the
//! head. Tokens are taken in the poll that returns them, so there is no grant on its way that a cancellation could lose.

use core::ops::Deref;

use tidegate_core::{
    Event, Timestamp, Turnstile, const_fn,
    primitive::atomic::{AtomicU64, Ordering, fence},
    wait_list::Supply,
};

use crate::{
    algorithm::{Algorithm, Ask, Denied},
    grant::{Grant, Refused},
    line::{LazyLine, Line},
    stats::{Count, Counters},
};

/// What belongs to one limiter, or to one key of a keyed one.
#[derive(Debug)]
pub(crate) struct Cell<A> {
    pub(crate) algorithm: A,
    /// The tokens asked for by those in line and by the head; a request for none counts as one. Zero: nobody waits.
    wanted: AtomicU64,
    line: LazyLine,
}

impl<A> Cell<A> {
    const_fn! {
        pub(crate) fn new(algorithm: A) -> Self {
            Self {
                algorithm,
                wanted: AtomicU64::new(0),
                line: LazyLine::new(),
            }
        }
    }

    /// Returns the tokens asked for by those who wait.
    #[inline]
    pub(crate) fn wanted(&self) -> u64 {
        // ORDERING: Relaxed: who waits already, in the sense of happens-before, is seen by coherence; between callers at
        // the same time there is no order to keep. The number guards no data.
        self.wanted.load(Ordering::Relaxed)
    }

    /// What the head listens to.
    pub(crate) fn changed(&self) -> &Event {
        &self.line.get_or_make().changed
    }

    /// Returns the line, made if there is none.
    pub(crate) fn line(&self) -> &Line {
        self.line.get_or_make()
    }

    /// Lets the head look again, and all who sleep beside the line: the quota changed, or tokens came back.
    pub(crate) fn announce(&self) {
        self.announce_to(usize::MAX);
    }

    /// As [`announce`](Self::announce), for a few tokens: one of those beside the line is enough, as the others have timers of
    /// their own.
    pub(crate) fn announce_tokens(&self) {
        self.announce_to(1);
    }

    fn announce_to(&self, beside: usize) {
        // ORDERING: pairs with the fence of `Event::listen`, which comes after the line was made: either the line is
        // found here, or the head's check after registering sees what is announced.
        fence(Ordering::SeqCst);
        if let Some(line) = self.line.get() {
            line.changed.notify(1);
            match beside {
                usize::MAX => line.eased.notify_all(),
                few => line.eased.notify(few),
            }
        }
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

    /// Takes tokens if they are there and nobody waits.
    #[inline(always)]
    pub(crate) fn try_acquire_at(
        &self,
        cell: &Cell<A>,
        ask: Ask,
        now: Timestamp,
    ) -> Result<Grant, Refused> {
        self.answer(ask, self.take(cell, ask, now), now)
    }

    /// The uncounted take of a newcomer.
    #[inline(always)]
    pub(crate) fn take(&self, cell: &Cell<A>, ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        self.unless_waited_for(cell, ask, now)?;
        cell.algorithm.take(&self.rule, ask, now)
    }

    /// Denies what would overtake those who wait.
    #[inline(always)]
    pub(crate) fn unless_waited_for(
        &self,
        cell: &Cell<A>,
        ask: Ask,
        now: Timestamp,
    ) -> Result<(), Denied> {
        match cell.wanted() {
            0 => Ok(()),
            wanted => Err(cell.algorithm.behind(&self.rule, ask, wanted, now)),
        }
    }

    /// Counts what came of a take at `now`, and puts a refusal into words. A request for more than can ever be granted is
    /// not counted.
    #[inline(always)]
    pub(crate) fn answer<T>(
        &self,
        ask: Ask,
        taken: Result<T, Denied>,
        now: Timestamp,
    ) -> Result<T, Refused> {
        match taken {
            Ok(grant) => {
                self.counters.add(Count::Allowed, 1);
                Ok(grant)
            }
            Err(denied) => {
                if let Denied::Until(_) = denied {
                    self.counters.add(Count::Refused, 1);
                }
                Err(Refused::denied(denied, ask.least, now))
            }
        }
    }

    /// Takes `n` tokens, whether they are there or not.
    pub(crate) fn consume(&self, cell: &Cell<A>, n: u32, now: Timestamp) -> Grant {
        self.counters.add(Count::Allowed, 1);
        cell.algorithm.owe(&self.rule, n, now)
    }

    /// Corrects what a grant took to what it has cost.
    pub(crate) fn adjust(
        &self,
        cell: &Cell<A>,
        grant: &Grant,
        cost: u32,
        now: impl Fn() -> Timestamp,
    ) {
        match cost.checked_sub(grant.tokens) {
            None => self.refund_of(cell, grant, grant.tokens - cost, now),
            Some(0) => {}
            Some(more) => _ = cell.algorithm.owe(&self.rule, more, now()),
        }
    }

    /// Takes `n` tokens back of which nobody knows when they were taken.
    pub(crate) fn refund(&self, cell: &Cell<A>, n: u32) {
        cell.algorithm.give_back(&self.rule, n);
        cell.announce_tokens();
    }

    /// Takes `n` tokens of `grant` back, as far as they would be missing still.
    pub(crate) fn refund_of(
        &self,
        cell: &Cell<A>,
        grant: &Grant,
        n: u32,
        now: impl Fn() -> Timestamp,
    ) {
        cell.algorithm.give_back_of(&self.rule, grant, n, now);
        cell.announce_tokens();
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
    pub(crate) fn new(cell: P, counters: &'a Counters, ask: Ask) -> Self {
        let wants = u64::from(ask.least.max(1));
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
        &self.0.line.get_or_make().turnstile
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
        self.cell.line.get_or_make().turnstile.give_back(());
    }
}
