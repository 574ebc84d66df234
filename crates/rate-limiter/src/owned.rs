//! Limiters in an `Arc` as gates, whose passes keep the limiter alive.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tidegate_core::{Clock, Outcome, Pass, Timer, gate::OwnedGate, primitive::Arc};

use crate::{
    acquire::Waiting,
    algorithm::Algorithm,
    grant::{Grant, Refused, Request},
    limiter::Limiter,
    state::{LimiterRef, LimiterState, Shared},
};

impl<A: Algorithm, C> LimiterRef for Arc<Limiter<A, C>> {
    type Algorithm = A;
    type Clock = C;

    #[inline]
    fn shared(&self) -> &Shared<A, C> {
        &self.shared
    }

    #[inline]
    fn state(&self) -> &LimiterState<A> {
        &self.state
    }
}

/// The right to act once: an [`Admission`](crate::Admission) that keeps its limiter alive, for
/// tasks and threads.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, Pass, Quota, RateLimiter};
///
/// let limiter = Arc::new(RateLimiter::new(Quota::per_hour(1)?));
/// let pass = limiter.clone().try_enter().unwrap();
/// thread::spawn(move || pass.give_back()).join().unwrap();
/// assert!(limiter.try_acquire(1).is_ok());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[must_use = "dropping it leaves the token spent"]
pub struct OwnedAdmission<A: Algorithm, C> {
    limiter: Arc<Limiter<A, C>>,
    grant: Grant,
}

impl<A: Algorithm, C> OwnedAdmission<A, C> {
    /// Returns what was left after the token was taken.
    pub const fn grant(&self) -> Grant {
        self.grant
    }

    /// Settles the pass by the cost of the act; see [`Admission::cost`](crate::Admission::cost).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate_rate_limiter::{Gate, Quota, RateLimiter};
    ///
    /// let limiter = Arc::new(RateLimiter::new(Quota::per_hour(10)?));
    /// limiter.clone().try_enter().unwrap().cost(7);
    /// assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 3);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn cost(self, tokens: u32)
    where
        C: Clock,
    {
        self.limiter.adjust(self.grant, tokens);
    }
}

impl<A: Algorithm, C: Clock> Pass for OwnedAdmission<A, C> {
    type Refused = Refused;

    fn settle(self, _outcome: Outcome) {}

    fn give_back(self) {
        self.limiter.adjust(self.grant, 0);
    }
}

impl<A: Algorithm, C> fmt::Debug for OwnedAdmission<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedAdmission").field(&self.grant).finish()
    }
}

/// Enters for one token. The pass keeps the `Arc`.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, Quota, RateLimiter};
///
/// let limiter = Arc::new(RateLimiter::new(Quota::per_hour(1)?));
/// let gate = limiter.clone();
/// let thread = thread::spawn(move || gate.run(|| "7".parse::<u32>()));
/// let ran = thread.join().unwrap();
/// assert_eq!(ran.unwrap(), Ok(7));
/// assert!(limiter.try_enter().is_err());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
impl<A: Algorithm, C: Timer> OwnedGate for Limiter<A, C> {
    type Pass = OwnedAdmission<A, C>;
    type Refused = Refused;
    type Enter = EnterOwned<A, C>;

    fn try_enter_owned(limiter: Arc<Self>) -> Result<Self::Pass, Refused> {
        let grant = limiter.try_acquire(1)?;
        Ok(OwnedAdmission { limiter, grant })
    }

    fn enter_owned(limiter: Arc<Self>) -> Self::Enter {
        EnterOwned { waiting: Waiting::new(limiter, Request::exactly(1)) }
    }
}

pin_project! {
    /// Future of [`Gate::enter`](tidegate_core::Gate::enter) of an `Arc` of a limiter.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterOwned<A, C>
    where
        A: Algorithm,
        C: Timer,
    {
        #[pin]
        waiting: Waiting<Arc<Limiter<A, C>>>,
    }
}

impl<A: Algorithm, C: Timer> Future for EnterOwned<A, C> {
    type Output = Result<OwnedAdmission<A, C>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waiting = self.project().waiting;
        let polled = waiting.as_mut().poll(cx);
        polled.map_ok(|grant| OwnedAdmission { limiter: waiting.limiter().clone(), grant })
    }
}

impl<A: Algorithm, C: Timer> fmt::Debug for EnterOwned<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnterOwned").field(&self.waiting).finish()
    }
}
