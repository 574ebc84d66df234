//! The breakers that are measured, behind two traits.

use failsafe::{FailurePolicy, StateMachine};
use tidegate_circuit_breaker::Breaker;
use tidegate_core::Clock;

/// What the guarded call returns.
pub(super) type Answer = Result<(), ()>;

/// A breaker that guards a closure.
pub(super) trait Subject: Send + Sync + 'static {
    /// Whether it let the call through, and the call succeeded.
    fn call(&self, act: impl FnOnce() -> Answer) -> bool;
}

/// A breaker that is asked before a call, and told of its outcome afterwards.
pub(super) trait InSteps: Subject {
    /// Asks, and reports a success if the call is let in. Returns whether it was.
    fn enter_and_succeed(&self) -> bool;
}

impl<C: Clock + Send + Sync + 'static> Subject for Breaker<C> {
    #[inline]
    fn call(&self, act: impl FnOnce() -> Answer) -> bool {
        matches!(self.call(act), Ok(Ok(())))
    }
}

impl<C: Clock + Send + Sync + 'static> InSteps for Breaker<C> {
    #[inline]
    fn enter_and_succeed(&self) -> bool {
        self.try_enter().map(|pass| pass.success()).is_ok()
    }
}

impl<P: FailurePolicy + Send + 'static> Subject for StateMachine<P, ()> {
    #[inline]
    fn call(&self, act: impl FnOnce() -> Answer) -> bool {
        failsafe::CircuitBreaker::call(self, act).is_ok()
    }
}

impl<P: FailurePolicy + Send + 'static> InSteps for StateMachine<P, ()> {
    #[inline]
    fn enter_and_succeed(&self) -> bool {
        let permitted = self.is_call_permitted();
        if permitted {
            self.on_success();
        }
        permitted
    }
}

impl Subject for nobreak::CircuitBreaker {
    #[inline]
    fn call(&self, act: impl FnOnce() -> Answer) -> bool {
        self.call(act).is_ok()
    }
}

impl Subject for recloser::Recloser {
    #[inline]
    fn call(&self, act: impl FnOnce() -> Answer) -> bool {
        self.call(act).is_ok()
    }
}
