//! Limiters as gates.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tidegate_core::{Clock, Gate, Outcome, Pass, Timer};

use crate::{
    acquire::Acquire,
    algorithm::Algorithm,
    grant::{Grant, Refused, Request},
    limiter::Limiter,
    state::StateRef,
};

/// The right to act once, for one token of a limiter.
///
/// The token stays spent however the pass is settled, and also when it is dropped: a request that
/// was sent counts, whatever its outcome. Only [`give_back`](Pass::give_back), which says that
/// nothing was done, refunds the token.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Gate, Pass, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_hour(1)?);
/// let pass = limiter.try_enter().unwrap();
/// assert!(limiter.try_enter().is_err());
/// pass.give_back();
/// assert!(limiter.try_enter().is_ok());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[must_use = "dropping it leaves the token spent"]
pub struct Admission<'a, A: Algorithm, C> {
    limiter: StateRef<'a, A, C>,
    grant: Grant,
}

impl<'a, A: Algorithm, C> Admission<'a, A, C> {
    /// Enters without a wait.
    pub(crate) fn try_new(limiter: StateRef<'a, A, C>) -> Result<Self, Refused>
    where
        C: Clock,
    {
        let StateRef { shared, state } = limiter;
        let grant = shared.try_acquire_at(state, Request::exactly(1), shared.clock.now())?;
        Ok(Self { limiter, grant })
    }

    /// Returns what was left after the token was taken.
    pub const fn grant(&self) -> Grant {
        self.grant
    }

    /// Settles the pass by the cost of the act, which is known only afterwards. A cost of zero
    /// refunds the token; more than one token is taken as a debt.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Gate, Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(10)?);
    /// limiter.try_enter().unwrap().cost(7);
    /// assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 3);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn cost(self, tokens: u32)
    where
        C: Clock,
    {
        let StateRef { shared, state } = self.limiter;
        shared.adjust(state, &self.grant, tokens, || shared.clock.now());
    }
}

impl<A: Algorithm, C: Clock> Pass for Admission<'_, A, C> {
    type Refused = Refused;

    fn settle(self, _outcome: Outcome) {}

    fn give_back(self) {
        self.cost(0);
    }
}

impl<A: Algorithm, C> fmt::Debug for Admission<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admission").field(&self.grant).finish()
    }
}

/// Enters for one token.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Gate, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_hour(1)?);
/// assert_eq!(limiter.run(|| "7".parse::<u32>()).unwrap(), Ok(7));
/// let ran = limiter.run_or_else(|| Ok(()), |refused| Err(refused.is_too_many()));
/// assert_eq!(ran, Err(false));
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
impl<'a, A: Algorithm, C: Timer> Gate for &'a Limiter<A, C> {
    type Pass = Admission<'a, A, C>;
    type Refused = Refused;
    type Enter = Enter<'a, A, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        Admission::try_new(self.state_ref())
    }

    fn enter(self) -> Self::Enter {
        Enter::new(self.state_ref())
    }
}

pin_project! {
    /// Future of [`Gate::enter`] of a limiter.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Enter<'a, A, C>
    where
        A: Algorithm,
        C: Timer,
    {
        #[pin]
        acquire: Acquire<'a, A, C>,
    }
}

impl<'a, A: Algorithm, C: Timer> Enter<'a, A, C> {
    pub(crate) fn new(limiter: StateRef<'a, A, C>) -> Self {
        Self { acquire: Acquire::new(limiter, Request::exactly(1)) }
    }
}

impl<'a, A: Algorithm, C: Timer> Future for Enter<'a, A, C> {
    type Output = Result<Admission<'a, A, C>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut acquire = self.project().acquire;
        let polled = acquire.as_mut().poll(cx);
        polled.map_ok(|grant| Admission { limiter: acquire.limiter(), grant })
    }
}

impl<A: Algorithm, C: Timer> fmt::Debug for Enter<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Enter").field(&self.acquire).finish()
    }
}
