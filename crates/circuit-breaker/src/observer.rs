//! Notifications of what a breaker does.

use core::time::Duration;

use alloc::boxed::Box;

use tidegate_core::primitive::Arc;

use crate::{error::Refused, state::State, stats::Snapshot};

/// Is notified of what a breaker does, by itself or because a caller told it to. The default `()`
/// ignores everything and costs nothing.
///
/// The methods run on the thread that caused the event, after the event, when no lock is held and
/// every waiter has been woken: they may use the breaker. Two events may arrive out of order on
/// different threads; [`Transition::generation`] tells which of two transitions came first.
///
/// # Panics
///
/// A panic propagates to the caller whose call caused the event; the breaker has changed all the
/// same. If that thread is already unwinding, the observer's panic ends there (without `std` it
/// aborts the process); a panic of `on_refuse` propagates even then.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use tidegate_circuit_breaker::{Breaker, Observer, Transition, TripRule};
///
/// #[derive(Default)]
/// struct Trips(AtomicU64);
///
/// impl Observer for Trips {
///     fn on_trip(&self, trip: &Transition) {
///         assert_eq!(trip.window.consecutive_failures, 2);
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let trips = Arc::new(Trips::default());
/// let breaker =
///     Breaker::builder().trip_on(TripRule::consecutive(2)).observer(trips.clone()).build()?;
/// while let Ok(pass) = breaker.try_enter() {
///     pass.failure();
/// }
/// assert_eq!(trips.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
pub trait Observer {
    /// Is called when the breaker has tripped: the rule was met, or a probe failed or was written
    /// off, or the server asked for it.
    ///
    /// If the breaker only observes, `to` is [`State::ObserveOnly`]; if as many breakers of its
    /// registry are open as may be
    /// ([`KeyedBreaker::max_open_ratio`](crate::KeyedBreaker::max_open_ratio)), it is
    /// [`State::Closed`]. In both cases the next calls are let through.
    fn on_trip(&self, trip: &Transition) {
        let _ = trip;
    }

    /// Is called when the open time is over and the first probe has entered.
    fn on_half_open(&self, transition: &Transition) {
        let _ = transition;
    }

    /// Is called when enough probes have succeeded and the breaker has closed.
    fn on_close(&self, transition: &Transition) {
        let _ = transition;
    }

    /// Is called when [`Breaker::reset`](crate::Breaker::reset) has closed the breaker with fresh
    /// counts, also if it was closed already.
    fn on_reset(&self, transition: &Transition) {
        let _ = transition;
    }

    /// Is called when a caller has forced a state by [`force_open`](crate::Breaker::force_open),
    /// [`force_closed`](crate::Breaker::force_closed) or
    /// [`observe_only`](crate::Breaker::observe_only). `to` is that state; the breaker may have
    /// been in it already.
    fn on_force(&self, transition: &Transition) {
        let _ = transition;
    }

    /// Is called when the breaker has got other settings by
    /// [`reconfigure`](crate::Breaker::reconfigure). The state stays, with fresh counts.
    fn on_reconfigure(&self, transition: &Transition) {
        let _ = transition;
    }

    /// Is called when the breaker has refused a caller.
    fn on_refuse(&self, refused: &Refused) {
        let _ = refused;
    }
}

impl Observer for () {}

/// Implements `Observer` for pointers to observers.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<O: Observer + ?Sized> Observer for $pointer {
            fn on_trip(&self, trip: &Transition) {
                (**self).on_trip(trip);
            }

            fn on_half_open(&self, transition: &Transition) {
                (**self).on_half_open(transition);
            }

            fn on_close(&self, transition: &Transition) {
                (**self).on_close(transition);
            }

            fn on_reset(&self, transition: &Transition) {
                (**self).on_reset(transition);
            }

            fn on_force(&self, transition: &Transition) {
                (**self).on_force(transition);
            }

            fn on_reconfigure(&self, transition: &Transition) {
                (**self).on_reconfigure(transition);
            }

            fn on_refuse(&self, refused: &Refused) {
                (**self).on_refuse(refused);
            }
        }
    )*};
}

forward!(&O, Box<O>, Arc<O>);

/// A change of state, or a fresh start in the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The old state.
    pub from: State,
    /// The new state.
    pub to: State,
    /// The number of this transition, modulo 2³²; each transition takes the next.
    pub generation: u32,
    /// The statistics of the generation that has ended.
    pub window: Snapshot,
    /// For a trip: the open time, also if the breaker does not open because it only observes, or
    /// because of its registry's limit. `None` for other transitions.
    pub open_for: Option<Duration>,
}

impl Transition {
    /// Calls the method of `observer` for this change, which the breaker has made by itself.
    pub(crate) fn notify<O: Observer>(&self, observer: &O) {
        match self.to {
            _ if self.open_for.is_some() => observer.on_trip(self),
            State::HalfOpen => observer.on_half_open(self),
            State::Closed => observer.on_close(self),
            _ => {}
        }
    }
}
