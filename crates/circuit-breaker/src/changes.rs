//! Waiting for a change of state.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{
    Clock, SystemClock,
    event::{Condition, WaitUntil},
};

use crate::{Observer, State, machine::Machine};

/// Future of [`Breaker::closed`](crate::Breaker::closed).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Closed<'a, C = SystemClock, O = ()> {
    wait: WaitUntil<'a, LetsAllThrough<'a, C, O>>,
}

struct LetsAllThrough<'a, C, O>(&'a Machine<C, O>);

impl<'a, C, O> Closed<'a, C, O>
where
    C: Clock,
    O: Observer,
{
    pub(crate) fn new(machine: &'a Machine<C, O>) -> Self {
        Self { wait: machine.turned.wait_until(LetsAllThrough(machine)) }
    }
}

impl<C: Clock, O: Observer> Condition for LetsAllThrough<'_, C, O> {
    type Output = ();

    fn check(&mut self) -> Option<()> {
        match self.0.state() {
            State::Closed | State::ForcedClosed | State::ObserveOnly => Some(()),
            State::Open | State::HalfOpen | State::ForcedOpen => None,
        }
    }
}

impl<C: Clock, O: Observer> Future for Closed<'_, C, O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.wait).poll(cx)
    }
}

impl<C, O> fmt::Debug for Closed<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").field("wait", &self.wait).finish()
    }
}

/// Sees the changes of a breaker's state, one wait after the other: [`Breaker::state_changes`](crate::Breaker::state_changes).
///
/// It sees the newest state, once that is another than the one seen last. Changes that come faster than it looks become one, or
/// none if they lead back to the state that was seen; [`StateChange::generation`] tells how many there were. What must hear of
/// each change, of a reset that changes nothing but the counts, or of a trip that is only observed, is an
/// [`Observer`](crate::Observer).
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
    /// Its number, modulo 2³²; each change of state, each reset and each observed trip takes the next.
    pub generation: u32,
}

impl<'a, C: Clock, O: Observer> StateChanges<'a, C, O> {
    pub(crate) fn new(machine: &'a Machine<C, O>) -> Self {
        Self { machine, seen: machine.state() }
    }

    /// Waits until the state is another than the one seen last, or than the one when this was made.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves leaves no trace: the next one sees what this one would have seen.
    #[allow(clippy::should_implement_trait, reason = "it waits, as a stream's `next` does")]
    pub fn next(&mut self) -> NextChange<'_, 'a, C, O> {
        let wait =
            self.machine.turned.wait_until(Differs { machine: self.machine, seen: self.seen });
        NextChange { seen: &mut self.seen, wait }
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
    seen: &'s mut State,
    wait: WaitUntil<'a, Differs<'a, C, O>>,
}

struct Differs<'a, C, O> {
    machine: &'a Machine<C, O>,
    seen: State,
}

impl<C: Clock, O: Observer> Condition for Differs<'_, C, O> {
    type Output = StateChange;

    fn check(&mut self) -> Option<StateChange> {
        let (state, generation) = self.machine.state_and_generation();
        (state != self.seen).then_some(StateChange { state, generation })
    }
}

impl<C: Clock, O: Observer> Future for NextChange<'_, '_, C, O> {
    type Output = StateChange;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StateChange> {
        let polled = Pin::new(&mut self.wait).poll(cx);
        if let Poll::Ready(change) = &polled {
            *self.seen = change.state;
        }
        polled
    }
}

impl<C, O> fmt::Debug for NextChange<'_, '_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextChange").field("seen", &self.seen).finish_non_exhaustive()
    }
}
