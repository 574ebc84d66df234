//! A breaker as a gate at which no caller waits.

use core::fmt;

use tidegate_core::{Clock, Gate, SystemClock, gate::TryEnter};

use crate::{error::Refused, machine::Machine, observer::Observer, pass::Pass};

/// The side of a [`Breaker`](crate::Breaker) that never waits: a reference to it is a gate.
/// Returned by [`Breaker::fail_fast`](crate::Breaker::fail_fast).
/// [`OwnedFailFast`](crate::OwnedFailFast) is its owned form.
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
