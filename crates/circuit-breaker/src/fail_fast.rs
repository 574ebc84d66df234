//! A breaker that is not waited for.

use core::fmt;

use tidegate_core::{Clock, Gate, SystemClock, gate::TryEnter, primitive::Arc};

use crate::{Breaker, ByVerdict, Observer, OwnedPass, Pass, Refused, machine::Machine};

/// A [`Breaker`] as a gate that never waits, borrowed: [`Breaker::fail_fast`]. [`OwnedFailFast`] is its
/// owned form.
#[must_use = "a gate does nothing until it is entered"]
pub struct FailFast<C = SystemClock, O = ()> {
    pub(crate) machine: Machine<C, O>,
}

impl<C, O> fmt::Debug for FailFast<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.machine.show("FailFast", f)
    }
}

impl<'a, C: Clock, O: Observer> Gate for &'a FailFast<C, O> {
    type Pass = Pass<'a, C, O>;
    type Refused = Refused;
    type Enter = TryEnter<Self>;

    #[inline]
    fn try_enter(self) -> Result<Pass<'a, C, O>, Refused> {
        self.machine.enter()
    }

    fn enter(self) -> TryEnter<Self> {
        TryEnter::new(self)
    }
}

/// A [`Breaker`] as a gate that never waits, with a share in it: what moves into a task or a thread.
///
/// An `Arc<Breaker>` is a gate, too, and *waits* while the breaker is open. So what shall fail fast is kept, handed on and
/// asked for as this type, which does not wait by any of its methods; it is made by
/// [`Breaker::fail_fast_owned`], by [`KeyedBreaker::fail_fast`](crate::KeyedBreaker::fail_fast) and from an `Arc`. Its passes
/// are [owned](OwnedPass).
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
pub struct OwnedFailFast<C = SystemClock, O = (), J = ByVerdict> {
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
