//! What semaphores, rate limiters and circuit breakers have in common: they let a caller in before
//! it acts, and may be told how the action went.
//!
//! ```text
//! enter ──▶ Pass ──▶ act ──▶ settle(Success | Failure | Ignored)
//!   │                  └──── dropped: Ignored        panicked: Failure
//!   └──▶ Refused
//! ```
//!
//! In a row each pass is held until the last gate has answered:
//!
//! ```text
//! (breaker, (limiter, semaphore))
//!   enter ──▶ Pass ·························┐ held
//!             enter ──▶ Pass ···············┤ held
//!                       enter ─┬─ at once ──┴──────────────▶ act
//!                              ├─ after a wait ─▶ renew all held ─┬─▶ act
//!                              └─ refused, dropped, panicked ──┐  └ refused ┐
//!                                                              └────────────┴─▶ give all back
//! ```

mod classifier;
mod ending;
mod pair;
mod run;
mod settle_by;
mod try_enter;

use core::future::Future;

pub use self::{
    classifier::{ByResult, Classifier},
    ending::{Ending, Guarded},
    pair::{EnterPair, PairRefused},
    run::RunAsync,
    settle_by::SettleBy,
    try_enter::TryEnter,
};
use crate::primitive::Arc;

/// A handle by which callers are let in.
///
/// A gate is entered by value. `&gate` gives passes that borrow it; an [`Arc`] of it gives passes
/// that keep it alive, for code that moves into a task or a thread. No associated type has a
/// lifetime of its own, so an async block with a gate in it is `Send` where its parts are, whatever
/// they borrow.
///
/// A pair of gates is a gate: it is entered left to right, and the passes that are held are given
/// back when the next gate refuses or the wait is cancelled. Pairs nest: `(breaker, (limiter,
/// semaphore))`. Put first the gate that refuses at the least cost, and last the one whose passes
/// are scarcest. Where a gate further right had to be waited for, the passes further left are
/// [renewed](Pass::renew), so that a breaker which has opened meanwhile still refuses.
///
/// What a result means is up to each gate: its passes are [settled by](SettleBy) the result, as the
/// gate's own rule says. So in a row a breaker's [`Classifier`] decides as it does for the breaker
/// alone, and each other gate goes by its own rule.
///
/// # Examples
///
/// A gate that admits a fixed number of calls in all:
///
/// ```
/// use core::{cell::Cell, future::{Ready, ready}};
/// use tidegate_core::{Closed, Gate, Outcome, Pass, gate::{Classified, Classify, SettleBy}};
///
/// struct Coupons(Cell<u32>);
/// struct Coupon<'a>(&'a Coupons);
///
/// impl<'a> Gate for &'a Coupons {
///     type Pass = Coupon<'a>;
///     type Refused = Closed;
///     type Enter = Ready<Result<Coupon<'a>, Closed>>;
///
///     fn try_enter(self) -> Result<Coupon<'a>, Closed> {
///         self.0.set(self.0.get().checked_sub(1).ok_or(Closed)?);
///         Ok(Coupon(self))
///     }
///     fn enter(self) -> Self::Enter {
///         ready(self.try_enter())
///     }
/// }
///
/// impl Pass for Coupon<'_> {
///     type Refused = Closed;
///
///     // A coupon is used up by a success only.
///     fn settle(self, outcome: Outcome) {
///         if outcome != Outcome::Success {
///             self.0.0.set(self.0.0.get() + 1);
///         }
///     }
/// }
///
/// // The result classifies itself.
/// impl<R: Classify> SettleBy<R> for Coupon<'_> {
///     fn outcome(&self, result: &R) -> Outcome {
///         result.outcome()
///     }
/// }
///
/// let gate = Coupons(Cell::new(1));
/// assert_eq!(gate.run_or_else(|| Err("no luck"), |_| Ok(())), Err("no luck"));
/// assert_eq!(gate.run(|| Classified::new(7, Outcome::Success)).unwrap().value, 7);
/// assert_eq!(gate.run_or_else(|| Ok(()), |Closed| Err("used up")), Err("used up"));
/// ```
///
/// A function over any gate takes the gate by value, names the results that it settles by, and asks
/// for `Clone` if it enters more than once (references and `Arc`s are `Clone`):
///
/// ```
/// use tidegate_core::{Gate, gate::SettleBy};
///
/// async fn twice<G>(gate: G) -> Result<(), G::Refused>
/// where
///     G: Gate<Pass: SettleBy<Result<(), ()>>> + Clone,
/// {
///     gate.clone().run_async(async { Ok(()) }).await?.unwrap();
///     gate.run_async(async { Ok(()) }).await.map(|done| done.unwrap())
/// }
/// ```
pub trait Gate: Sized {
    /// The right to act, until it is settled or dropped.
    type Pass: Pass<Refused = Self::Refused>;

    /// Why the gate refuses a caller.
    type Refused: core::error::Error;

    /// Future of [`enter`](Self::enter). It has a name, so that futures that contain it are `Send`
    /// where it is.
    type Enter: Future<Output = Result<Self::Pass, Self::Refused>>;

    /// Enters if that is possible now.
    ///
    /// # Errors
    ///
    /// Why the caller is not let in now.
    fn try_enter(self) -> Result<Self::Pass, Self::Refused>;

    /// Waits until the caller may enter.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves leaves no trace.
    ///
    /// # Errors
    ///
    /// Why the gate refuses the caller instead of letting it in or having it wait.
    fn enter(self) -> Self::Enter;

    /// Blocks this thread until the caller may enter, runs `act`, and settles the pass by what
    /// `act` returns, as the [gate's own rule](SettleBy) says. A panic settles it as a failure.
    ///
    /// # Errors
    ///
    /// What [`enter`](Self::enter) refuses with; then `act` was not run.
    #[cfg(feature = "std")]
    fn run<R>(self, act: impl FnOnce() -> R) -> Result<R, Self::Refused>
    where
        Self::Pass: SettleBy<R>,
    {
        use crate::wait::Wait;
        self.enter().wait().map(|pass| act_behind(pass, act))
    }

    /// Waits until the caller may enter, then runs `future`, and settles the pass by its output, as
    /// the [gate's own rule](SettleBy) says. A panic settles it as a failure.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it waits leaves no trace. Dropping it while `future` runs settles
    /// the pass as [`Outcome::Ignored`].
    ///
    /// # Errors
    ///
    /// What [`enter`](Self::enter) refuses with; then `future` was not polled.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready, or after `future` has panicked, and
    /// runs nothing then.
    fn run_async<F>(self, future: F) -> RunAsync<Self, F>
    where
        F: Future,
        Self::Pass: SettleBy<F::Output>,
    {
        RunAsync::new(self, future)
    }

    /// If the caller may enter now, runs `act` and settles as [`run`](Self::run) does; else runs
    /// `fallback`. Never waits. A panic of `act` settles the pass as a failure.
    fn run_or_else<R>(self, act: impl FnOnce() -> R, fallback: impl FnOnce(Self::Refused) -> R) -> R
    where
        Self::Pass: SettleBy<R>,
    {
        match self.try_enter() {
            Ok(pass) => act_behind(pass, act),
            Err(refused) => fallback(refused),
        }
    }
}

/// Runs `act` and settles `pass` by what it returns. A panic of `act`, or of the gate's rule,
/// settles it as a failure.
fn act_behind<R, P: SettleBy<R>>(pass: P, act: impl FnOnce() -> R) -> R {
    let guarded = Guarded::new(pass, Ending::Settle(Outcome::Failure));
    let result = act();
    guarded.into_pass().settle_by(&result);
    result
}

/// A type whose [`Arc`] is a [`Gate`], with passes that keep it alive and borrow nothing.
///
/// A crate implements this for its own type, since only this crate may implement [`Gate`] for
/// `Arc`; callers use the methods of `Gate`. Here the `Arc` is an argument and not `self`: as
/// `self` Rust allows only the `Arc` of `alloc`, and some targets lack that one.
///
/// # Examples
///
/// ```
/// use std::{future::{Ready, ready}, sync::{Arc, atomic::{AtomicU32, Ordering}}, thread};
/// use tidegate_core::{Closed, Gate, Outcome, Pass, gate::{OwnedGate, SettleBy}};
///
/// #[derive(Default)]
/// struct Visits(AtomicU32);
/// struct Visit(Arc<Visits>);
///
/// impl OwnedGate for Visits {
///     type Pass = Visit;
///     type Refused = Closed;
///     type Enter = Ready<Result<Visit, Closed>>;
///
///     fn try_enter_owned(visits: Arc<Self>) -> Result<Visit, Closed> {
///         Ok(Visit(visits))
///     }
///     fn enter_owned(visits: Arc<Self>) -> Self::Enter {
///         ready(Self::try_enter_owned(visits))
///     }
/// }
///
/// impl Pass for Visit {
///     type Refused = Closed;
///     fn settle(self, _: Outcome) {
///         self.0.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// // Whatever the action returns, it was a visit.
/// impl<R> SettleBy<R> for Visit {
///     fn outcome(&self, _: &R) -> Outcome {
///         Outcome::Success
///     }
/// }
///
/// let visits = Arc::new(Visits::default());
/// let gate = visits.clone();
/// thread::spawn(move || gate.run(|| ()).unwrap()).join().unwrap();
/// assert_eq!(visits.0.load(Ordering::Relaxed), 1);
/// ```
pub trait OwnedGate {
    /// The right to act, until it is settled or dropped.
    type Pass: Pass<Refused = Self::Refused>;

    /// Why the gate refuses a caller.
    type Refused: core::error::Error;

    /// Future of [`Gate::enter`].
    type Enter: Future<Output = Result<Self::Pass, Self::Refused>>;

    /// Enters if that is possible now: [`Gate::try_enter`].
    ///
    /// # Errors
    ///
    /// Why the caller is not let in now.
    fn try_enter_owned(gate: Arc<Self>) -> Result<Self::Pass, Self::Refused>;

    /// Waits until the caller may enter: [`Gate::enter`].
    ///
    /// # Errors
    ///
    /// Why the gate refuses the caller instead of letting it in or having it wait.
    fn enter_owned(gate: Arc<Self>) -> Self::Enter;
}

impl<G: OwnedGate> Gate for Arc<G> {
    type Pass = G::Pass;
    type Refused = G::Refused;
    type Enter = G::Enter;

    #[inline]
    fn try_enter(self) -> Result<Self::Pass, Self::Refused> {
        G::try_enter_owned(self)
    }

    #[inline]
    fn enter(self) -> Self::Enter {
        G::enter_owned(self)
    }
}

/// Enters as a clone of the `Arc` does, so that a row can be entered again and again: `(&breaker,
/// &limiter)`.
// There is no blanket implementation for `&&T` or for pairs of references: with one, the compiler's
// search for an implementation overflows (E0275) in every function that asks for `&T: Gate`.
impl<G: OwnedGate> Gate for &Arc<G> {
    type Pass = G::Pass;
    type Refused = G::Refused;
    type Enter = G::Enter;

    #[inline]
    fn try_enter(self) -> Result<Self::Pass, Self::Refused> {
        G::try_enter_owned(self.clone())
    }

    #[inline]
    fn enter(self) -> Self::Enter {
        G::enter_owned(self.clone())
    }
}

/// The right to act that a [`Gate`] has given. Dropped unsettled, it counts as
/// [`Outcome::Ignored`].
pub trait Pass: Sized {
    /// Why the pass may no longer be used: what its gate refuses with.
    type Refused: core::error::Error;

    /// Tells the gate that the caller has to wait at a later gate: the action does not begin yet.
    ///
    /// A gate that measures how long actions take does not count the time until
    /// [`renew`](Self::renew). A row of gates calls this once, when the wait begins.
    fn pause(&mut self) {}

    /// Tells the gate that the wait at a later gate is over: the action begins only now.
    ///
    /// A gate that measures how long actions take counts from here. A gate that would no longer let
    /// the caller in refuses, and the pass should then be [given back](Self::give_back). A row of
    /// gates renews and gives back by itself where the caller had to wait at a gate further right;
    /// a pass that is used at once need not be renewed.
    ///
    /// # Errors
    ///
    /// What the gate would refuse with now.
    fn renew(&mut self) -> Result<(), Self::Refused> {
        Ok(())
    }

    /// Tells the gate how the action went.
    fn settle(self, outcome: Outcome);

    /// Tells the gate that nothing was done, so that it can undo what letting the caller in has
    /// cost.
    ///
    /// A rate limiter, for example, gets its tokens back here but not from [`Outcome::Ignored`],
    /// which may mean a request that was sent and then no longer awaited.
    fn give_back(self) {
        self.settle(Outcome::Ignored);
    }
}

/// How an action went, as far as its gate is concerned.
///
/// Exhaustive on purpose: a gate of another crate has to do something for each variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The action worked.
    Success,
    /// The action did not work, and that says something about the service that was called.
    Failure,
    /// The action says nothing about the service: it was cancelled, failed by the caller's own
    /// fault, or was not done at all.
    Ignored,
}

/// A result that classifies itself. [`Gate::run`] and its relatives settle by its outcome where the
/// gate has no [`Classifier`] of its own.
///
/// `Ok` and `()` are successes, `Err` is a failure. To choose another outcome, wrap the value in
/// [`Classified`], or implement this for a type of your own.
pub trait Classify {
    /// Returns the outcome that this result stands for.
    fn outcome(&self) -> Outcome;
}

impl<T, E> Classify for Result<T, E> {
    fn outcome(&self) -> Outcome {
        if self.is_ok() { Outcome::Success } else { Outcome::Failure }
    }
}

impl Classify for () {
    fn outcome(&self) -> Outcome {
        Outcome::Success
    }
}

/// A value with an outcome of the caller's choice, for gates that let a result
/// [classify itself](Classify).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified<T> {
    /// What the action returned.
    pub value: T,
    /// The outcome to settle by.
    pub outcome: Outcome,
}

impl<T> Classified<T> {
    /// Creates a value that counts as `outcome`.
    pub const fn new(value: T, outcome: Outcome) -> Self {
        Self { value, outcome }
    }
}

impl<T> Classify for Classified<T> {
    fn outcome(&self) -> Outcome {
        self.outcome
    }
}
