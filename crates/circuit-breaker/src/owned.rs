//! A breaker in an `Arc`, as a gate that borrows nothing.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{
    Clock, Gate, SystemClock, Timer,
    gate::{OwnedGate, TryEnter},
    primitive::Arc,
};

use crate::{
    breaker::Breaker, classifier::ByResult, enter::EnterState, error::Refused, machine::Entered,
    observer::Observer, owned_pass::OwnedPass,
};

#[cfg(target_has_atomic = "ptr")]
impl<C: Clock, O: Observer, J> Breaker<C, O, J> {
    /// Returns the breaker as a gate that refuses at once and keeps the breaker alive, so it can
    /// move into a task or a thread. An `Arc` of the breaker itself would wait. This method needs a
    /// target with compare-and-swap; elsewhere there is [`OwnedFailFast`]'s `From`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use tidegate_circuit_breaker::{Breaker, Gate};
    ///
    /// let breaker = Arc::new(Breaker::new());
    /// let gate = breaker.clone().fail_fast_owned();
    /// thread::spawn(|| gate.run(|| Err::<(), _>("no route"))).join().unwrap().unwrap().unwrap_err();
    /// assert_eq!(breaker.stats().failed, 1);
    /// ```
    pub fn fail_fast_owned(self: Arc<Self>) -> OwnedFailFast<C, O, J> {
        self.into()
    }
}

/// Waits where [`OwnedFailFast`] refuses: the two are different types, so that neither is taken for
/// the other.
impl<C: Timer, O: Observer, J> OwnedGate for Breaker<C, O, J> {
    type Pass = OwnedPass<C, O, J>;
    type Refused = Refused;
    type Enter = EnterOwned<C, O, J>;

    #[inline]
    fn try_enter_owned(breaker: Arc<Self>) -> Result<OwnedPass<C, O, J>, Refused> {
        let parts = breaker.machine().enter()?.into_parts();
        Ok(OwnedPass::new(breaker, parts))
    }

    fn enter_owned(breaker: Arc<Self>) -> EnterOwned<C, O, J> {
        EnterOwned { state: EnterState::new(), breaker: Some(breaker) }
    }
}

/// A [`Breaker`] in an `Arc`, as a gate that never waits and can move into a task or a thread.
///
/// An `Arc<Breaker>` is a gate, too, and *waits* while the breaker is open. So code that has to
/// fail fast takes this type, none of whose methods waits. It is made by
/// [`Breaker::fail_fast_owned`], by [`KeyedBreaker::fail_fast`](crate::KeyedBreaker::fail_fast) and
/// from an `Arc`. Its passes are [owned](OwnedPass).
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_circuit_breaker::{Breaker, Gate, OwnedFailFast, RefusedReason, Wait};
///
/// let breaker = Arc::new(Breaker::new());
/// let gate: OwnedFailFast = breaker.clone().fail_fast_owned();
/// breaker.force_open();
/// let call = gate.clone().run_async(async { Ok::<_, ()>(7) });
/// let refused = thread::spawn(|| call.wait().unwrap_err()).join().unwrap();
/// assert_eq!(refused.reason, RefusedReason::ForcedOpen);
/// gate.breaker().reset();
/// assert_eq!(gate.run(|| Ok::<_, ()>(7)), Ok(Ok(7)));
/// ```
#[must_use = "a gate does nothing until it is entered"]
pub struct OwnedFailFast<C = SystemClock, O = (), J = ByResult> {
    breaker: Arc<Breaker<C, O, J>>,
}

impl<C, O, J> OwnedFailFast<C, O, J> {
    /// Returns the breaker.
    pub const fn breaker(&self) -> &Arc<Breaker<C, O, J>> {
        &self.breaker
    }
}

impl<C, O, J> From<Arc<Breaker<C, O, J>>> for OwnedFailFast<C, O, J> {
    fn from(breaker: Arc<Breaker<C, O, J>>) -> Self {
        Self { breaker }
    }
}

impl<C, O, J> Clone for OwnedFailFast<C, O, J> {
    fn clone(&self) -> Self {
        Self { breaker: self.breaker.clone() }
    }
}

impl<C: Clock, O: Observer, J> Gate for OwnedFailFast<C, O, J> {
    type Pass = OwnedPass<C, O, J>;
    type Refused = Refused;
    type Enter = TryEnter<Self>;

    #[inline]
    fn try_enter(self) -> Result<OwnedPass<C, O, J>, Refused> {
        let parts = self.breaker.machine().enter()?.into_parts();
        Ok(OwnedPass::new(self.breaker, parts))
    }

    #[inline]
    fn enter(self) -> TryEnter<Self> {
        TryEnter::new(self)
    }
}

/// Enters as a clone does, so that a row can be entered again and again.
impl<C: Clock, O: Observer, J> Gate for &OwnedFailFast<C, O, J> {
    type Pass = OwnedPass<C, O, J>;
    type Refused = Refused;
    type Enter = TryEnter<OwnedFailFast<C, O, J>>;

    #[inline]
    fn try_enter(self) -> Result<OwnedPass<C, O, J>, Refused> {
        self.clone().try_enter()
    }

    fn enter(self) -> TryEnter<OwnedFailFast<C, O, J>> {
        self.clone().enter()
    }
}

impl<C, O, J> fmt::Debug for OwnedFailFast<C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedFailFast").field(&self.breaker).finish()
    }
}

pin_project! {
    /// Future of the [`enter`](tidegate_core::Gate::enter) of an `Arc<Breaker>`: like
    /// [`Enter`](crate::future::Enter), but it borrows nothing.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use tidegate_circuit_breaker::{Breaker, Gate, Wait};
    ///
    /// let breaker = Arc::new(Breaker::new());
    /// let enter = breaker.clone().enter();
    /// thread::spawn(|| enter.wait().unwrap().success()).join().unwrap();
    /// assert_eq!(breaker.stats().succeeded, 1);
    /// ```
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterOwned<C, O = (), J = ByResult>
    where
        C: Timer,
    {
        // Declared before the breaker that it is registered with, so dropped before it. The breaker
        // is `None` once the future was ready.
        #[pin]
        state: EnterState<C>,
        breaker: Option<Arc<Breaker<C, O, J>>>,
    }
}

impl<C: Timer, O: Observer, J> Future for EnterOwned<C, O, J> {
    type Output = Result<OwnedPass<C, O, J>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let breaker = this.breaker.as_ref().expect("polled after it was ready");
        let entered = ready!(this.state.poll(breaker.machine(), cx)).map(Entered::into_parts);
        let breaker = this.breaker.take();
        Poll::Ready(
            entered.map(|parts| OwnedPass::new(breaker.expect("present until ready"), parts)),
        )
    }
}

impl<C: Timer, O, J> fmt::Debug for EnterOwned<C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterOwned").field("state", &self.state).finish_non_exhaustive()
    }
}
