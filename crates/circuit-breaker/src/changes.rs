//! Waiting for a change of state.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{Clock, SystemClock, event::Waiter};

use crate::{machine::Machine, observer::Observer, state::State};

/// Future of [`Breaker::closed`](crate::Breaker::closed).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct UntilClosed<'a, C = SystemClock, O = ()> {
    machine: &'a Machine<C, O>,
    waiter: Waiter,
}

impl<'a, C, O> UntilClosed<'a, C, O> {
    pub(crate) const fn new(machine: &'a Machine<C, O>) -> Self {
        Self { machine, waiter: Waiter::new() }
    }
}

impl<C: Clock, O: Observer> Future for UntilClosed<'_, C, O> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.waiter.poll_until(
            &this.machine.state_changed,
            cx,
            &mut || match this.machine.state() {
                State::Closed | State::ForcedClosed | State::ObserveOnly => Some(()),
                State::Open | State::HalfOpen | State::ForcedOpen => None,
            },
        )
    }
}

impl<C, O> fmt::Debug for UntilClosed<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilClosed").field("waiter", &self.waiter).finish_non_exhaustive()
    }
}

/// Sees the changes of a breaker's state, one wait after the other:
/// [`Breaker::state_changes`](crate::Breaker::state_changes).
///
/// A wait ends as soon as the state is not the one seen last, and returns it. Changes that come
/// faster than the waiter polls become one, or none if they lead back to the state seen last;
/// [`StateChange::generation`] tells how many transitions there were. Code that must be notified of
/// each change, of a reset that changes nothing but the counts, or of a trip that is only observed,
/// implements [`Observer`](crate::Observer).
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, State, Wait};
///
/// let breaker = Breaker::new();
/// let mut changes = breaker.state_changes();
/// std::thread::scope(|s| {
///     s.spawn(|| breaker.force_open());
///     assert_eq!(changes.next().wait().state, State::ForcedOpen);
/// });
/// breaker.observe_only();
/// breaker.reset();
/// let change = changes.next().wait();
/// assert_eq!((change.state, change.generation), (State::Closed, 3));
/// ```
#[must_use = "it tells of changes only when it is asked"]
pub struct StateChanges<'a, C = SystemClock, O = ()> {
    machine: &'a Machine<C, O>,
    seen: State,
}

/// A breaker's state after it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateChange {
    /// The state.
    pub state: State,
    /// The number of the transition to it, modulo 2³². Each change of state, each reset, each
    /// forced state and each trip that is only observed takes the next number.
    pub generation: u32,
}

impl<'a, C: Clock, O: Observer> StateChanges<'a, C, O> {
    pub(crate) fn new(machine: &'a Machine<C, O>) -> Self {
        Self { machine, seen: machine.state() }
    }

    /// Waits until the state differs from the one seen last, which is at first the state in which
    /// the breaker was when this watcher was made.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves leaves no trace: the next future sees what this one
    /// would have seen.
    #[allow(clippy::should_implement_trait, reason = "it waits, as a stream's `next` does")]
    pub fn next(&mut self) -> NextChange<'_, 'a, C, O> {
        NextChange { changes: self, waiter: Waiter::new() }
    }
}

impl<C, O> fmt::Debug for StateChanges<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateChanges").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// Future of [`StateChanges::next`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct NextChange<'s, 'a, C = SystemClock, O = ()> {
    changes: &'s mut StateChanges<'a, C, O>,
    waiter: Waiter,
}

impl<C: Clock, O: Observer> Future for NextChange<'_, '_, C, O> {
    type Output = StateChange;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StateChange> {
        let this = self.get_mut();
        let StateChanges { machine, seen } = this.changes;
        let polled = this.waiter.poll_until(&machine.state_changed, cx, &mut || {
            let word = machine.load();
            let (state, generation) = (word.state(), word.generation());
            (state != *seen).then_some(StateChange { state, generation })
        });
        if let Poll::Ready(change) = &polled {
            *seen = change.state;
        }
        polled
    }
}

impl<C, O> fmt::Debug for NextChange<'_, '_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextChange").field("seen", &self.changes.seen).finish_non_exhaustive()
    }
}
