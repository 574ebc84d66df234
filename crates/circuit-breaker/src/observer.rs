//! Notifications of what a breaker does.

use core::time::Duration;

use alloc::boxed::Box;

use tidegate_core::primitive::Arc;

use crate::{error::Refused, state::State, stats::Snapshot};

/// Is notified of what a breaker does, by itself or because it was told to. The default `()`
/// ignores everything and costs nothing.
///
/// The methods run on the thread that caused the event, after the event, with every lock open and
/// every waiter woken: they may use the breaker. Two events may arrive out of order on different
/// threads; [`Transition::generation`] tells which came first.
///
/// # Panics
///
/// A panic propagates to the caller whose call caused the event; the breaker has changed all the
/// same. If that thread is already unwinding, the observer's panic ends there (without `std` it
/// aborts the process).
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
    /// It has tripped: the rule was met, or a probe failed or was written off, or the server asked
    /// for it.
    ///
    /// When observing only, `to` is [`State::ObserveOnly`]; when too many of a registry are open
    /// ([`KeyedBreaker::max_open_ratio`](crate::KeyedBreaker::max_open_ratio)), it is
    /// [`State::Closed`]. The next calls are let through then.
    fn on_trip(&self, trip: &Transition) {
        let _ = trip;
    }

    /// Its open time is over and the first probe has entered.
    fn on_half_open(&self, transition: &Transition) {
        let _ = transition;
    }

    /// Enough probes have succeeded.
    fn on_close(&self, transition: &Transition) {
        let _ = transition;
    }

    /// It was told to be closed with fresh counts: [`Breaker::reset`](crate::Breaker::reset), also
    /// of a closed breaker.
    fn on_reset(&self, transition: &Transition) {
        let _ = transition;
    }

    /// It was told what to be until told otherwise: [`force_open`](crate::Breaker::force_open),
    /// [`force_closed`](crate::Breaker::force_closed) or
    /// [`observe_only`](crate::Breaker::observe_only). `to` says which; it may be the state that it
    /// had.
    fn on_force(&self, transition: &Transition) {
        let _ = transition;
    }

    /// It has refused a caller.
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

            fn on_refuse(&self, refused: &Refused) {
                (**self).on_refuse(refused);
            }
        }
    )*};
}

forward!(&O, Box<O>, Arc<O>);

/// A change of state, or a fresh start in the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The old state.
    pub from: State,
    /// The new state.
    pub to: State,
    /// The number of the new state, modulo 2³²; each change of state takes the next.
    pub generation: u32,
    /// The statistics of the old state.
    pub window: Snapshot,
    /// For a trip: how long it will refuse, or would if it did more than observe.
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
