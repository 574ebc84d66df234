//! Limiters as gates.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tidegate_core::{Clock, Gate, Outcome, Pass, Timer, gate::SettleBy};

use crate::{
    acquire::Waiting,
    algorithm::Algorithm,
    grant::{Grant, Refused, Request},
    limiter::Limiter,
    state::{LimiterRef, StateRef},
};

/// The right to act once, for one token of a limiter.
///
/// Use one of its aliases: [`Admission`] borrows a limiter,
/// [`OwnedAdmission`](crate::OwnedAdmission) and [`OwnedKeyAdmission`](crate::OwnedKeyAdmission)
/// keep theirs alive, for tasks and threads.
///
/// The token stays spent however the pass is settled, and also when the pass is dropped: a request
/// that was sent counts, whatever its outcome. Only [`give_back`](Pass::give_back), which says that
/// nothing was done, refunds the token.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Gate, Pass, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_hour(1));
/// let pass = limiter.try_enter().unwrap();
/// assert!(limiter.try_enter().is_err());
/// pass.give_back();
/// assert!(limiter.try_enter().is_ok());
/// ```
#[must_use = "dropping it leaves the token spent"]
pub struct Admitted<R> {
    limiter: R,
    grant: Grant,
}

/// An [`Admitted`] that borrows its limiter.
pub type Admission<'a, A, C> = Admitted<StateRef<'a, A, C>>;

impl<R> Admitted<R> {
    /// Returns the grant of the token, which says what was left after it was taken.
    pub const fn grant(&self) -> Grant {
        self.grant
    }
}

impl<R: LimiterRef<Clock: Clock>> Admitted<R> {
    /// Enters without a wait, or refuses.
    #[inline]
    pub(crate) fn try_new(limiter: R) -> Result<Self, Refused> {
        let entered = limiter.state_ref();
        let grant = entered.try_acquire_at(Request::exactly(1), entered.shared.clock.now())?;
        Ok(Self { limiter, grant })
    }

    /// Settles the pass by the cost of the act, which is known only afterwards. A cost of zero
    /// refunds the token; what exceeds one token is taken even if it is not available, as a debt.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate_rate_limiter::{Gate, Quota, RateLimiter};
    ///
    /// let limiter = Arc::new(RateLimiter::new(Quota::per_hour(10)));
    /// (&*limiter).try_enter().unwrap().cost(7);
    /// limiter.clone().try_enter().unwrap().cost(2);
    /// assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 1);
    /// ```
    pub fn cost(self, tokens: u32) {
        let limiter = self.limiter.state_ref();
        limiter.adjust(&self.grant, tokens, || limiter.shared.clock.now());
    }
}

impl<R: LimiterRef<Clock: Clock>> Pass for Admitted<R> {
    type Refused = Refused;

    #[inline]
    fn settle(self, _outcome: Outcome) {}

    fn give_back(self) {
        self.cost(0);
    }
}

/// Takes results of every type: the token stays spent, whatever the result is.
impl<T: ?Sized, R: LimiterRef<Clock: Clock>> SettleBy<T> for Admitted<R> {
    #[inline]
    fn outcome(&self, _result: &T) -> Outcome {
        Outcome::Success
    }

    #[inline]
    fn settle_by(self, _result: &T) {}
}

impl<R> fmt::Debug for Admitted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admitted").field(&self.grant).finish()
    }
}

/// Enters for one token.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Gate, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_hour(1));
/// assert_eq!(limiter.run(|| "7".parse::<u32>()).unwrap(), Ok(7));
/// let ran = limiter.run_or_else(|| Ok(()), |refused| Err(refused.is_too_many()));
/// assert_eq!(ran, Err(false));
/// ```
impl<'a, A: Algorithm, C: Timer> Gate for &'a Limiter<A, C> {
    type Pass = Admission<'a, A, C>;
    type Refused = Refused;
    type Enter = Enter<'a, A, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        Admitted::try_new(self.state_ref())
    }

    fn enter(self) -> Self::Enter {
        Entering::new(self.state_ref())
    }
}

pin_project! {
    /// Future of [`Gate::enter`] of a limiter. Use one of its aliases: [`Enter`],
    /// [`EnterOwned`](crate::future::EnterOwned) or
    /// [`EnterKeyOwned`](crate::future::EnterKeyOwned).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Entering<R>
    where
        R: LimiterRef,
        R::Clock: Timer,
    {
        #[pin]
        waiting: Waiting<R>,
    }
}

/// Future of [`Gate::enter`] of a limiter that is borrowed.
pub type Enter<'a, A, C> = Entering<StateRef<'a, A, C>>;

impl<R: LimiterRef<Clock: Timer>> Entering<R> {
    #[inline]
    pub(crate) fn new(limiter: R) -> Self {
        Self { waiting: Waiting::new(limiter, Request::exactly(1)) }
    }
}

impl<R: LimiterRef<Clock: Timer>> Future for Entering<R> {
    type Output = Result<Admitted<R>, Refused>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waiting = self.project().waiting;
        let polled = waiting.as_mut().poll(cx);
        polled.map_ok(|grant| Admitted { limiter: waiting.take_limiter(), grant })
    }
}

impl<R: LimiterRef<Clock: Timer>> fmt::Debug for Entering<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entering").field(&self.waiting).finish()
    }
}
