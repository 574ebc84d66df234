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
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "stream", feature = "tokio-io")),
        allow(dead_code, reason = "only what these features wrap asks for it")
    )]
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
        match self.take_at_once(cell, ask, now) {
            Some(taken) => self.answer(ask, taken, now),
            None => self.try_acquire_slowly(cell, ask, now),
        }
    }

    /// As [`take`](Self::take); `None` if the answer takes longer.
    #[inline(always)]
    pub(crate) fn take_at_once(
        &self,
        cell: &Cell<A>,
        ask: Ask,
        now: Timestamp,
    ) -> Option<Result<Grant, Denied>> {
        if cell.wanted() > 0 {
            return None;
        }
        cell.algorithm.take_at_once(&self.rule, ask, now)
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_slowly(
        &self,
        cell: &Cell<A>,
        ask: Ask,
        now: Timestamp,
    ) -> Result<Grant, Refused> {
        self.answer(ask, self.take(cell, ask, now), now)
    }

    /// The uncounted take of a newcomer.
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
                if !matches!(denied, Denied::Beyond(_)) {
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

/// A way to a cell and to what it has in common with others: borrowed, or keeping them alive.
pub(crate) trait Reach: Clone {
    type Algorithm: Algorithm;
    type Clock;

    fn shared(&self) -> &Shared<Self::Algorithm, Self::Clock>;

    fn cell(&self) -> &Cell<Self::Algorithm>;
}

/// The common part is borrowed, the cell reached by whatever points to it.
#[derive(Debug)]
pub(crate) struct Of<'a, A: Algorithm, C, P> {
    pub(crate) shared: &'a Shared<A, C>,
    pub(crate) cell: P,
}

impl<A: Algorithm, C> Copy for Of<'_, A, C, &Cell<A>> {}

impl<A: Algorithm, C, P: Clone> Clone for Of<'_, A, C, P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared, cell: self.cell.clone() }
    }
}

impl<A: Algorithm, C, P: Deref<Target = Cell<A>> + Clone> Reach for Of<'_, A, C, P> {
    type Algorithm = A;
    type Clock = C;

    #[inline]
    fn shared(&self) -> &Shared<A, C> {
        self.shared
    }

    #[inline]
    fn cell(&self) -> &Cell<A> {
        &self.cell
    }
}

/// Being counted among those who wait.
#[derive(Debug)]
pub(crate) struct Waits<R: Reach> {
    reach: R,
    wants: u64,
}

impl<R: Reach> Waits<R> {
    pub(crate) fn new(reach: R, ask: Ask) -> Self {
        let wants = u64::from(ask.least.max(1));
        // ORDERING: Relaxed, as in `Cell::wanted`.
        reach.cell().wanted.fetch_add(wants, Ordering::Relaxed);
        reach.shared().counters.add(Count::Joined, 1);
        Self { reach, wants }
    }
}

impl<R: Reach> Drop for Waits<R> {
    fn drop(&mut self) {
        // ORDERING: Relaxed, as in `Cell::wanted`.
        self.reach.cell().wanted.fetch_sub(self.wants, Ordering::Relaxed);
        self.reach.shared().counters.add(Count::Left, 1);
    }
}

/// The turnstile of a cell, for a [`Turn`](tidegate_core::wait_list::Turn) that points to the cell in its own way.
#[derive(Debug)]
pub(crate) struct Door<R>(pub(crate) R);

impl<R: Reach> Deref for Door<R> {
    type Target = Turnstile;

    fn deref(&self) -> &Turnstile {
        &self.0.cell().line.get_or_make().turnstile
    }
}

/// Being the head. Dropping it makes the next one the head.
#[derive(Debug)]
pub(crate) struct Head<R: Reach> {
    reach: R,
}

impl<R: Reach> Head<R> {
    /// Creates the head from a turn of the cell's door that was granted.
    pub(crate) fn granted(reach: R) -> Self {
        Self { reach }
    }
}

impl<R: Reach> Drop for Head<R> {
    fn drop(&mut self) {
        self.reach.cell().line.get_or_make().turnstile.give_back(());
    }
}

/// Tokens on their way to a caller: should foreign code panic before they are there, they go back.
pub(crate) struct Taken<R: Reach> {
    reach: R,
    tokens: u32,
}

impl<R: Reach> Taken<R> {
    pub(crate) fn new(reach: R, tokens: u32) -> Self {
        Self { reach, tokens }
    }

    /// The caller has them.
    pub(crate) fn delivered(mut self) {
        self.tokens = 0;
    }
}

impl<R: Reach> Drop for Taken<R> {
    fn drop(&mut self) {
        if self.tokens > 0 {
            // The latest there are, or nearly so; without the clock, whose code is foreign.
            self.reach.shared().refund(self.reach.cell(), self.tokens);
        }
    }
}
