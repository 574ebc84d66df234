//! Waiting until the breaker lets one in.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{Timer, Timestamp, event::Waiter};

use crate::{Observer, Pass, Refused, RefusedReason, machine::Machine};

pin_project! {
    /// Future of [`Breaker::enter`](crate::Breaker::enter).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Enter<'a, C, O = ()>
    where
        C: Timer,
    {
        machine: &'a Machine<C, O>,
        waiter: Waiter,
        // When the open time ends, as of the latest look; `None` while only a change can help.
        until: Option<Timestamp>,
        // INVARIANT: sleeps until `until`.
        #[pin]
        sleep: Option<C::Sleep>,
    }
}

impl<'a, C: Timer, O: Observer> Enter<'a, C, O> {
    pub(crate) fn new(machine: &'a Machine<C, O>) -> Self {
        Self { machine, waiter: Waiter::new(), until: None, sleep: None }
    }
}

impl<'a, C: Timer, O: Observer> Future for Enter<'a, C, O> {
    type Output = Result<Pass<'a, C, O>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let machine = *this.machine;
        loop {
            let mut until = *this.until;
            let entered = this.waiter.poll_until(&machine.changed, cx, &mut || match machine
                .admit_woken()
            {
                Ok(pass) => Some(Ok(pass)),
                Err(blocked) if blocked.reason == RefusedReason::ForcedOpen => Some(Err(blocked)),
                Err(blocked) => {
                    until = blocked.until;
                    None
                }
            });
            if until != *this.until || entered.is_ready() {
                *this.until = until;
                this.sleep.set(None);
            }
            if entered.is_ready() {
                // The observer hears of a refusal when nothing is registered and nobody sleeps.
                return entered.map_err(|blocked| machine.refuse(blocked));
            }
            let Some(until) = until else { return Poll::Pending };
            if this.sleep.is_none() {
                this.sleep.set(Some(machine.clock.sleep_until(until)));
            }
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            // The time has come, so look again without being told.
            this.sleep.set(None);
        }
    }
}

impl<C: Timer, O> fmt::Debug for Enter<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter")
            .field("waiter", &self.waiter)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
