//! Waiting until the breaker lets one in.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{Timer, Timestamp, event::Waiter, primitive::Arc};

use crate::{
    Breaker, ByVerdict, Observer, OwnedPass, Pass, Refused, RefusedReason, machine::Machine,
};

pin_project! {
    /// Future of [`Breaker::enter`](crate::Breaker::enter).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Enter<'a, C, O = ()>
    where
        C: Timer,
    {
        // `None` once it was ready.
        machine: Option<&'a Machine<C, O>>,
        #[pin]
        approach: Approach<C>,
    }
}

impl<'a, C: Timer, O: Observer> Enter<'a, C, O> {
    pub(crate) fn new(machine: &'a Machine<C, O>) -> Self {
        Self { machine: Some(machine), approach: Approach::new() }
    }
}

impl<'a, C: Timer, O: Observer> Future for Enter<'a, C, O> {
    type Output = Result<Pass<'a, C, O>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let machine = this.machine.expect("polled after it was ready");
        let entered = ready!(this.approach.poll(machine, cx));
        *this.machine = None;
        Poll::Ready(entered)
    }
}

impl<C: Timer, O> fmt::Debug for Enter<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").field("approach", &self.approach).finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of the [`enter`](tidegate_core::Gate::enter) of an `Arc<Breaker>`: as [`Enter`], and borrows nothing.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use tidegate_circuit_breaker::{Breaker, Gate, Wait};
    ///
    /// let breaker = Arc::new(Breaker::new());
    /// let enter = breaker.clone().enter();
    /// thread::spawn(|| enter.wait().unwrap().success()).join().unwrap();
    /// assert_eq!(breaker.stats().successes, 1);
    /// ```
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterOwned<C, O = (), J = ByVerdict>
    where
        C: Timer,
    {
        // Before the breaker that it is registered with. `None` once it was ready.
        #[pin]
        approach: Approach<C>,
        breaker: Option<Arc<Breaker<C, O, J>>>,
    }
}

impl<C: Timer, O, J> EnterOwned<C, O, J> {
    pub(crate) fn new(breaker: Arc<Breaker<C, O, J>>) -> Self {
        Self { approach: Approach::new(), breaker: Some(breaker) }
    }
}

impl<C: Timer, O: Observer, J> Future for EnterOwned<C, O, J> {
    type Output = Result<OwnedPass<C, O, J>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let breaker = this.breaker.as_ref().expect("polled after it was ready");
        let entered = ready!(this.approach.poll(breaker.machine(), cx)).map(Pass::into_parts);
        let breaker = this.breaker.take();
        Poll::Ready(
            entered.map(|parts| OwnedPass::new(breaker.expect("present until ready"), parts)),
        )
    }
}

impl<C: Timer, O, J> fmt::Debug for EnterOwned<C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterOwned").field("approach", &self.approach).finish_non_exhaustive()
    }
}

/// So many sleeps may end in one poll before other tasks run: a clock that lags behind its timer would keep it for as long as it
/// lags.
const SLEEPS: u32 = 4;

pin_project! {
    /// How far a caller is on its way into a breaker.
    struct Approach<C>
    where
        C: Timer,
    {
        waiter: Waiter,
        // When the open time ends, as of the latest look; `NEVER` while only a change can help.
        until: Timestamp,
        // INVARIANT: sleeps until `until`.
        #[pin]
        sleep: Option<C::Sleep>,
    }
}

impl<C: Timer> Approach<C> {
    fn new() -> Self {
        Self { waiter: Waiter::new(), until: Timestamp::NEVER, sleep: None }
    }

    fn poll<'m, O: Observer>(
        self: Pin<&mut Self>,
        machine: &'m Machine<C, O>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Pass<'m, C, O>, Refused>> {
        let mut this = self.project();
        let mut sleeps = 0;
        loop {
            let mut until = *this.until;
            let entered =
                this.waiter.poll_until(&machine.changed, cx, &mut || match machine.admit() {
                    Ok(pass) => Some(Ok(pass)),
                    Err(blocked) if blocked.reason == RefusedReason::ForcedOpen => {
                        Some(Err(blocked))
                    }
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
                // The observer hears of a refusal when nothing is registered and nobody sleeps.
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
            // The time has come, so look again without being told.
            this.sleep.set(None);
            sleeps += 1;
            if sleeps == SLEEPS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<C: Timer> fmt::Debug for Approach<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approach")
            .field("waiter", &self.waiter)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
