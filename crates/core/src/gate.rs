//! What semaphores, rate limiters and circuit breakers have in common: they let you in before you act, and may want to
//! hear how it went.
//!
//! ```text
//! enter ──▶ Pass ──▶ act ──▶ settle(Success | Failure | Ignored)
//!   │                  └──── dropped: Ignored        panicked: Failure
//!   └──▶ Refused
//! ```

mod pair;
mod run;

use core::future::Future;

use self::run::FailOnUnwind;
pub use self::{
    pair::{EnterPair, PairRefused},
    run::RunAsync,
};
use crate::primitive::Arc;

/// Something that lets callers in.
///
/// A pair of gates is a gate: it is entered left to right, and what was entered is given back when the next one refuses
/// or the wait is cancelled. Pairs nest: `(breaker, (limiter, semaphore))`. Put first what refuses cheaply, last what is
/// held longest.
///
/// # Examples
///
/// A gate that admits a fixed number of calls in all:
///
/// ```
/// use core::{cell::Cell, future::{Ready, ready}};
/// use tidegate_core::{Closed, Gate, Outcome, Pass, gate::Judged};
///
/// struct Coupons(Cell<u32>);
/// struct Coupon<'a>(&'a Coupons);
///
/// impl Gate for Coupons {
///     type Pass<'a> = Coupon<'a>;
///     type Refused = Closed;
///     type Enter<'a> = Ready<Result<Coupon<'a>, Closed>>;
///
///     fn try_enter(&self) -> Result<Coupon<'_>, Closed> {
///         self.0.set(self.0.get().checked_sub(1).ok_or(Closed)?);
///         Ok(Coupon(self))
///     }
///     fn enter(&self) -> Self::Enter<'_> {
///         ready(self.try_enter())
///     }
/// }
///
/// impl Pass for Coupon<'_> {
///     // A coupon is used up by a success only.
///     fn settle(self, outcome: Outcome) {
///         if outcome != Outcome::Success {
///             self.0.0.set(self.0.0.get() + 1);
///         }
///     }
/// }
///
/// let gate = Coupons(Cell::new(1));
/// assert_eq!(gate.run_or_else(|| Err("no luck"), |_| Ok(())), Err("no luck"));
/// assert_eq!(gate.run(|| Judged::new(7, Outcome::Success)).unwrap().value, 7);
/// assert_eq!(gate.run_or_else(|| Ok(()), |Closed| Err("used up")), Err("used up"));
/// ```
pub trait Gate {
    /// The right to act, until it is settled or dropped.
    type Pass<'a>: Pass
    where
        Self: 'a;

    /// Why a caller is turned away.
    type Refused: core::error::Error;

    /// Future of [`enter`](Self::enter). Named, so that its users can be `Send` where it is.
    type Enter<'a>: Future<Output = Result<Self::Pass<'a>, Self::Refused>>
    where
        Self: 'a;

    /// Enters if that is possible now.
    ///
    /// # Errors
    ///
    /// Why not.
    fn try_enter(&self) -> Result<Self::Pass<'_>, Self::Refused>;

    /// Waits until it may enter.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves leaves no trace.
    ///
    /// # Errors
    ///
    /// Why waiting is of no use.
    fn enter(&self) -> Self::Enter<'_>;

    /// Waits on this thread until it may enter, runs `act`, and settles by what it returns. A panic settles as a failure.
    ///
    /// # Errors
    ///
    /// What [`enter`](Self::enter) refuses with; then `act` was not run.
    #[cfg(feature = "std")]
    fn run<R: Verdict>(&self, act: impl FnOnce() -> R) -> Result<R, Self::Refused> {
        use crate::wait::Wait;
        self.enter().wait().map(|pass| FailOnUnwind::new(pass).settle_by(act))
    }

    /// Waits until it may enter, then runs `future`, and settles by its output. A panic settles as a failure.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits: no trace. Dropped while `future` runs: settled as [`Outcome::Ignored`].
    ///
    /// # Errors
    ///
    /// What [`enter`](Self::enter) refuses with; then `future` was not polled.
    fn run_async<F>(&self, future: F) -> RunAsync<'_, Self, F>
    where
        Self: Sized,
        F: Future<Output: Verdict>,
    {
        RunAsync::new(self, future)
    }

    /// Runs `act` if it may enter now, else `fallback`. Never waits. A panic in `act` settles as a failure.
    fn run_or_else<R: Verdict>(
        &self,
        act: impl FnOnce() -> R,
        fallback: impl FnOnce(Self::Refused) -> R,
    ) -> R {
        match self.try_enter() {
            Ok(pass) => FailOnUnwind::new(pass).settle_by(act),
            Err(refused) => fallback(refused),
        }
    }
}

/// The right to act that a [`Gate`] has given. Dropped unsettled, it counts as [`Outcome::Ignored`].
pub trait Pass {
    /// Tells the gate how it went.
    fn settle(self, outcome: Outcome);

    /// Tells the gate that nothing was done: what can be taken back is taken back.
    ///
    /// A rate limiter, for example, gets its tokens back here but not from [`Outcome::Ignored`], which may mean a
    /// request that was sent and then no longer awaited.
    fn give_back(self)
    where
        Self: Sized,
    {
        self.settle(Outcome::Ignored);
    }
}

/// How an action went, as far as its gate is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It worked.
    Success,
    /// It did not work, and that says something about what was called.
    Failure,
    /// It says nothing: cancelled, refused by the caller's own fault, not done at all.
    Ignored,
}

/// A result that knows how it went: the classifier of [`Gate::run`] and its relatives.
///
/// `Ok` and `()` are successes, `Err` is a failure. For other opinions wrap the value in [`Judged`], or implement this
/// for a type of your own.
pub trait Verdict {
    /// Returns how it went.
    fn outcome(&self) -> Outcome;
}

impl<T, E> Verdict for Result<T, E> {
    fn outcome(&self) -> Outcome {
        if self.is_ok() { Outcome::Success } else { Outcome::Failure }
    }
}

impl Verdict for () {
    fn outcome(&self) -> Outcome {
        Outcome::Success
    }
}

/// A value with a verdict of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged<T> {
    /// What the action returned.
    pub value: T,
    /// How it went.
    pub outcome: Outcome,
}

impl<T> Judged<T> {
    /// Creates a value that counts as `outcome`.
    pub const fn new(value: T, outcome: Outcome) -> Self {
        Self { value, outcome }
    }
}

impl<T> Verdict for Judged<T> {
    fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl<G: Gate + ?Sized> Gate for &G {
    type Pass<'a>
        = G::Pass<'a>
    where
        Self: 'a;
    type Refused = G::Refused;
    type Enter<'a>
        = G::Enter<'a>
    where
        Self: 'a;

    fn try_enter(&self) -> Result<Self::Pass<'_>, Self::Refused> {
        (**self).try_enter()
    }

    fn enter(&self) -> Self::Enter<'_> {
        (**self).enter()
    }
}

impl<G: Gate + ?Sized> Gate for Arc<G> {
    type Pass<'a>
        = G::Pass<'a>
    where
        Self: 'a;
    type Refused = G::Refused;
    type Enter<'a>
        = G::Enter<'a>
    where
        Self: 'a;

    fn try_enter(&self) -> Result<Self::Pass<'_>, Self::Refused> {
        (**self).try_enter()
    }

    fn enter(&self) -> Self::Enter<'_> {
        (**self).enter()
    }
}
