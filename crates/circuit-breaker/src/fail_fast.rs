//! A breaker as a gate at which no caller waits.

use core::fmt;

use tidegate_core::SystemClock;

use crate::{classifier::ByResult, machine::Machine};

/// A [`Breaker`](crate::Breaker) without its methods that wait: a reference to this type is a gate.
/// Returned by [`Breaker::fail_fast`](crate::Breaker::fail_fast).
/// [`OwnedFailFast`](crate::OwnedFailFast) is its owned form.
#[must_use = "a gate does nothing until it is entered"]
pub struct FailFast<C = SystemClock, O = (), J = ByResult> {
    pub(crate) machine: Machine<C, O>,
    pub(crate) classifier: J,
}

impl<C, O, J> fmt::Debug for FailFast<C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.machine.show("FailFast", f)
    }
}
