//! Events of the crate `tracing`.

use core::fmt;

use alloc::borrow::Cow;

use crate::{
    error::Refused,
    observer::{Observer, Transition},
};

/// The target of the events, whatever file makes them.
const TARGET: &str = "tidegate_circuit_breaker";

/// An observer that makes events of the crate `tracing` of what a breaker does.
///
/// | event | level |
/// | --- | --- |
/// | tripped, or would have if it did more than observe | `WARN` |
/// | half-open, closed, reset, reconfigured | `INFO` |
/// | a state was forced | `WARN` |
/// | refused a caller | `DEBUG` |
///
/// Each has the field `breaker`, the name. A transition has `from`, `to`, `generation`, and the
/// figures of the generation that has ended: `calls`, `failure_rate` and `slow_rate` (0 to 1), and
/// `consecutive_failures`. A trip has `open_for`, too. A refusal has `reason` and, if it is known,
/// `retry_after`.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, TracingObserver, TripRule};
///
/// let breaker = Breaker::builder()
///     .trip_on(TripRule::consecutive(1))
///     .observer(TracingObserver::new("payments"))
///     .build()?;
/// // WARN tidegate_circuit_breaker: tripped breaker="payments" from=closed to=open …
/// let _ = breaker.call(|| Err::<(), _>("no route"));
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TracingObserver {
    name: Cow<'static, str>,
}

impl TracingObserver {
    /// Creates an observer of the breaker called `name`. All breakers of a
    /// [`KeyedBreaker`](crate::KeyedBreaker) have the same name.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into() }
    }
}

impl fmt::Debug for TracingObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TracingObserver").field(&self.name).finish()
    }
}

/// Makes the event of a transition: its level is part of the macro's name.
macro_rules! event {
    ($level:ident, $self:ident, $transition:ident, $message:literal $(, $field:ident = $value:expr)*) => {
        tracing::$level!(
            target: TARGET,
            breaker = &*$self.name,
            from = %$transition.from,
            to = %$transition.to,
            generation = $transition.generation,
            calls = $transition.window.calls,
            failure_rate = $transition.window.failure_rate(),
            slow_rate = $transition.window.slow_rate(),
            consecutive_failures = $transition.window.consecutive_failures,
            $($field = $value,)*
            $message
        )
    };
}

impl Observer for TracingObserver {
    fn on_trip(&self, trip: &Transition) {
        event!(warn, self, trip, "tripped", open_for = trip.open_for.map(tracing::field::debug));
    }

    fn on_half_open(&self, transition: &Transition) {
        event!(info, self, transition, "half-open");
    }

    fn on_close(&self, transition: &Transition) {
        event!(info, self, transition, "closed");
    }

    fn on_reset(&self, transition: &Transition) {
        event!(info, self, transition, "reset");
    }

    fn on_force(&self, transition: &Transition) {
        event!(warn, self, transition, "forced");
    }

    fn on_reconfigure(&self, transition: &Transition) {
        event!(info, self, transition, "reconfigured");
    }

    fn on_refuse(&self, refused: &Refused) {
        tracing::debug!(
            target: TARGET,
            breaker = &*self.name,
            reason = ?refused.reason,
            retry_after = refused.retry_after.map(tracing::field::debug),
            "refused"
        );
    }
}
