//! A breaker that is not waited for.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{Clock, Gate, SystemClock};

use crate::{Observer, Pass, Refused, machine::Machine};

/// A [`Breaker`](crate::Breaker) as a gate that never waits: [`Breaker::fail_fast`](crate::Breaker::fail_fast).
#[derive(Debug)]
pub struct FailFast<C = SystemClock, O = ()> {
    pub(crate) machine: Machine<C, O>,
}

impl<'a, C: Clock, O: Observer> Gate for &'a FailFast<C, O> {
    type Pass = Pass<'a, C, O>;
    type Refused = Refused;
    type Enter = TryEnter<'a, C, O>;

    #[inline]
    fn try_enter(self) -> Result<Pass<'a, C, O>, Refused> {
        self.machine.enter()
    }

    fn enter(self) -> TryEnter<'a, C, O> {
        TryEnter { machine: Some(&self.machine) }
    }
}

/// Future of [`FailFast`]'s [`enter`](Gate::enter): enters or is refused when first polled.
///
/// # Cancel safety
///
/// Dropped before it is polled, it leaves no trace.
///
/// # Panics
///
/// The future panics if it is polled after it was ready.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, Gate, Wait};
///
/// let breaker = Breaker::new();
/// let enter = breaker.fail_fast().enter();
/// breaker.force_open();
/// assert!(enter.wait().is_err());
/// ```
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct TryEnter<'a, C, O = ()> {
    // `None` once it was ready.
    machine: Option<&'a Machine<C, O>>,
}

impl<'a, C: Clock, O: Observer> Future for TryEnter<'a, C, O> {
    type Output = Result<Pass<'a, C, O>, Refused>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.machine.take().expect("polled after it was ready").enter())
    }
}

impl<C, O> fmt::Debug for TryEnter<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryEnter").field("is_ready", &self.machine.is_none()).finish()
    }
}
