//! Waiting until the breaker lets the caller in.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{Timer, Timestamp, event::Waiter};

use crate::{
    classifier::ByResult,
    error::{Refused, RefusedReason},
    fail_fast::FailFast,
    machine::{Entered, Machine},
    observer::Observer,
    pass::Pass,
};

pin_project! {
    /// Future of [`Breaker::enter`](crate::Breaker::enter).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Enter<'a, C, O = (), J = ByResult>
    where
        C: Timer,
    {
        // `None` once it was ready.
        gate: Option<&'a FailFast<C, O, J>>,
        #[pin]
        state: EnterState<C>,
    }
}

impl<'a, C: Timer, O: Observer, J> Enter<'a, C, O, J> {
    pub(crate) fn new(gate: &'a FailFast<C, O, J>) -> Self {
        Self { gate: Some(gate), state: EnterState::new() }
    }
}

impl<'a, C: Timer, O: Observer, J> Future for Enter<'a, C, O, J> {
    type Output = Result<Pass<'a, C, O, J>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let gate = this.gate.expect("polled after it was ready");
        let entered = ready!(this.state.poll(&gate.machine, cx));
        *this.gate = None;
        Poll::Ready(entered.map(|entered| Pass::new(gate, entered)))
    }
}

impl<C: Timer, O, J> fmt::Debug for Enter<'_, C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").field("state", &self.state).finish_non_exhaustive()
    }
}

/// How many sleeps may end in one poll before other tasks run. Without this limit a poll would not
/// end while the clock lags behind its timer.
const SLEEPS: u32 = 4;

pin_project! {
    /// The registration and the sleep of a caller that waits to enter.
    pub(crate) struct EnterState<C>
    where
        C: Timer,
    {
        waiter: Waiter,
        // When the caller checks again without a notification, as the latest check found it: when
        // the open time ends, or when the first probe becomes overdue (that check then trips the
        // breaker). `NEVER` while only a notification can help.
        until: Timestamp,
        // INVARIANT: sleeps until `until`.
        #[pin]
        sleep: Option<C::Sleep>,
    }
}

impl<C: Timer> EnterState<C> {
    pub(crate) fn new() -> Self {
        Self { waiter: Waiter::new(), until: Timestamp::NEVER, sleep: None }
    }

    pub(crate) fn poll<'m, O: Observer>(
        self: Pin<&mut Self>,
        machine: &'m Machine<C, O>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Entered<'m, C, O>, Refused>> {
        let mut this = self.project();
        let mut sleeps = 0;
        loop {
            let mut until = *this.until;
            let entered = this.waiter.poll_until(&machine.may_enter, cx, &mut || match machine
                .admit()
            {
                Ok(entered) => Some(Ok(entered)),
                Err(blocked) if blocked.reason == RefusedReason::ForcedOpen => Some(Err(blocked)),
                Err(blocked) => {
                    until = blocked.until.unwrap_or(Timestamp::NEVER);
                    None
                }
            });
            if until != *this.until || entered.is_ready() {
                *this.until = until;
                this.sleep.set(None);
            }
            if entered.is_ready() {
                // The observer, which is foreign code, is told of a refusal only now that nothing
                // is registered and no sleep is running.
                return entered.map_err(|blocked| machine.refuse(blocked));
            }
            if until == Timestamp::NEVER {
                return Poll::Pending;
            }
            if this.sleep.is_none() {
                this.sleep.set(Some(machine.clock.sleep_until(until)));
            }
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            // The time has come, so check again without a notification.
            this.sleep.set(None);
            sleeps += 1;
            if sleeps == SLEEPS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<C: Timer> fmt::Debug for EnterState<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterState")
            .field("waiter", &self.waiter)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
