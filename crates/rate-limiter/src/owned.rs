//! Limiters in an `Arc` as gates, whose passes keep the limiter alive.

use tidegate_core::{Timer, gate::OwnedGate, primitive::Arc};

use crate::{
    algorithm::Algorithm,
    gate::{Admitted, Entering},
    grant::Refused,
    limiter::Limiter,
    state::{LimiterRef, StateRef},
};

impl<A: Algorithm, C> LimiterRef for Arc<Limiter<A, C>> {
    type Algorithm = A;
    type Clock = C;

    #[inline]
    fn state_ref(&self) -> StateRef<'_, A, C> {
        self.shared.with(&self.state)
    }
}

/// An [`Admitted`] that keeps its limiter alive, for tasks and threads.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, Pass, Quota, RateLimiter};
///
/// let limiter = Arc::new(RateLimiter::new(Quota::per_hour(1)));
/// let pass = limiter.clone().try_enter().unwrap();
/// thread::spawn(move || pass.give_back()).join().unwrap();
/// assert!(limiter.try_acquire(1).is_ok());
/// ```
pub type OwnedAdmission<A, C> = Admitted<Arc<Limiter<A, C>>>;

/// Future of [`Gate::enter`](tidegate_core::Gate::enter) of an `Arc` of a limiter.
pub type EnterOwned<A, C> = Entering<Arc<Limiter<A, C>>>;

/// Enters for one token. The pass keeps the `Arc`.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, Quota, RateLimiter};
///
/// let limiter = Arc::new(RateLimiter::new(Quota::per_hour(1)));
/// let gate = limiter.clone();
/// let thread = thread::spawn(move || gate.run(|| "7".parse::<u32>()));
/// let ran = thread.join().unwrap();
/// assert_eq!(ran.unwrap(), Ok(7));
/// assert!(limiter.try_enter().is_err());
/// ```
impl<A: Algorithm, C: Timer> OwnedGate for Limiter<A, C> {
    type Pass = OwnedAdmission<A, C>;
    type Refused = Refused;
    type Enter = EnterOwned<A, C>;

    #[inline]
    fn try_enter_owned(limiter: Arc<Self>) -> Result<Self::Pass, Refused> {
        Admitted::try_new(limiter)
    }

    #[inline]
    fn enter_owned(limiter: Arc<Self>) -> Self::Enter {
        Entering::new(limiter)
    }
}
