//! Calls behind a breaker, settled by its classifier.

use core::{future::Future, mem::ManuallyDrop};

#[cfg(target_has_atomic = "ptr")]
use tidegate_core::primitive::Arc;
use tidegate_core::{
    Clock, Gate, Outcome, Timer, Timestamp,
    gate::{Classified, RunAsync},
};

use crate::{
    breaker::Breaker,
    classifier::{ByResult, Classifier},
    error::Refused,
    fail_fast::FailFast,
    machine::{Entered, Machine},
    observer::Observer,
    owned::OwnedFailFast,
    word::Word,
};

impl<C: Clock, O: Observer, J> Breaker<C, O, J> {
    /// Runs `act` if the breaker lets the call through, and settles by the result of `act`, as the
    /// breaker's [`Classifier`] says. Without one, the result's [`Classify`](crate::gate::Classify)
    /// says what counts as a failure; a [`Classified`] carries the outcome that the caller chose. A
    /// panic of `act` or of the classifier propagates to the caller, and the call counts as a
    /// failure. Never waits.
    ///
    /// # Errors
    ///
    /// [`Refused`]; then `act` was not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Outcome, gate::Classified};
    ///
    /// let breaker = Breaker::new();
    /// // The caller's own fault says nothing about the server.
    /// let status = breaker.call(|| Classified::new(404, Outcome::Ignored)).unwrap().value;
    /// assert_eq!((status, breaker.stats().ignored), (404, 1));
    /// ```
    #[inline]
    pub fn call<R>(&self, act: impl FnOnce() -> R) -> Result<R, Refused>
    where
        J: Classifier<R>,
    {
        let failing = Failing::new(self.machine().enter()?);
        let result = act();
        let outcome = self.fail_fast().classifier.outcome(&result);
        failing.settle(outcome);
        Ok(result)
    }

    /// Runs `act` if the breaker lets the call through, else `fallback`. Otherwise as
    /// [`call`](Self::call).
    #[inline]
    pub fn call_or_else<R>(&self, act: impl FnOnce() -> R, fallback: impl FnOnce(Refused) -> R) -> R
    where
        J: Classifier<R>,
    {
        match self.call(act) {
            Ok(result) => result,
            Err(refused) => fallback(refused),
        }
    }

    /// Runs `future` if the breaker lets the call through at the first poll, and settles by the
    /// output of `future` as [`call`](Self::call) does. A panic of `future` counts as a failure.
    ///
    /// Waits for `future`, never for the breaker; [`run_async`](Self::run_async) waits for both.
    /// The returned future borrows the breaker; for a task that outlives the breaker there is
    /// [`call_async_owned`](Self::call_async_owned).
    ///
    /// # Cancel safety
    ///
    /// If the returned future is dropped while `future` runs, the call counts as ignored. If it is
    /// dropped before it is polled, it leaves no trace.
    ///
    /// # Errors
    ///
    /// [`Refused`]; then `future` was not polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Wait};
    ///
    /// let breaker = Breaker::new();
    /// let answer = breaker.call_async(async { Ok::<_, ()>(7) }).wait();
    /// assert_eq!(answer, Ok(Ok(7)));
    /// ```
    pub fn call_async<F>(&self, future: F) -> CallAsync<'_, F, C, O, J>
    where
        F: Future,
        J: Classifier<F::Output>,
    {
        self.fail_fast().run_async(future)
    }

    /// Waits on this thread until the breaker lets the caller in, then runs `act`, and settles as
    /// [`call`](Self::call) does.
    ///
    /// The same as [`Gate::run`], without an import of the trait.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the breaker is forced open; then `act` was not run.
    #[cfg(feature = "std")]
    pub fn run<R>(&self, act: impl FnOnce() -> R) -> Result<R, Refused>
    where
        C: Timer,
        J: Classifier<R>,
    {
        Gate::run(self, act)
    }

    /// Waits until the breaker lets the caller in, then runs `future`, and settles as
    /// [`call`](Self::call) does.
    ///
    /// The same as [`Gate::run_async`], without an import of the trait.
    ///
    /// # Cancel safety
    ///
    /// If the returned future is dropped while it waits, it leaves no trace; if it is dropped while
    /// `future` runs, the call counts as ignored.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the breaker is forced open; then `future` was not polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Outcome, Wait};
    ///
    /// let breaker = Breaker::builder()
    ///     .classify(|status: &u16| if *status < 500 { Outcome::Success } else { Outcome::Failure })
    ///     .build()?;
    /// assert_eq!(breaker.run_async(async { 503 }).wait(), Ok(503));
    /// assert_eq!(breaker.stats().failed, 1);
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn run_async<F>(&self, future: F) -> RunClassified<'_, F, C, O, J>
    where
        C: Timer,
        F: Future,
        J: Classifier<F::Output>,
    {
        Gate::run_async(self, future)
    }

    /// Does what [`call_or_else`](Self::call_or_else) does, under the name that it has in [`Gate`]:
    /// unlike [`run_async`](Self::run_async), it never waits.
    pub fn run_or_else<R>(&self, act: impl FnOnce() -> R, fallback: impl FnOnce(Refused) -> R) -> R
    where
        J: Classifier<R>,
    {
        self.call_or_else(act, fallback)
    }

    /// Returns `result` with the outcome that the breaker's [`Classifier`] gives it, and counts
    /// nothing: for another gate, at which results classify themselves. In a row that this breaker
    /// is a part of, its classifier settles its own pass anyway; each other gate has its own rule.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Gate, Outcome};
    ///
    /// let breaker = Breaker::builder()
    ///     .classify(|status: &u16| if *status < 500 { Outcome::Success } else { Outcome::Failure })
    ///     .build()?;
    /// let other = Breaker::new();
    /// let status = other.run(|| breaker.classify(503)).unwrap().value;
    /// assert_eq!((status, other.stats().failed, breaker.stats().failed), (503, 1, 0));
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn classify<R>(&self, result: R) -> Classified<R>
    where
        J: Classifier<R>,
    {
        let outcome = self.fail_fast().classifier.outcome(&result);
        Classified::new(result, outcome)
    }
}

/// Calls that keep the breaker alive. They need a target with compare-and-swap.
#[cfg(target_has_atomic = "ptr")]
impl<C: Clock, O: Observer, J> Breaker<C, O, J> {
    /// Does what [`call_async`](Self::call_async) does, with a future that owns a share of the
    /// breaker and can move into a task.
    ///
    /// # Cancel safety
    ///
    /// As [`call_async`](Self::call_async).
    ///
    /// # Errors
    ///
    /// As [`call_async`](Self::call_async).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use tidegate_circuit_breaker::{Breaker, Wait};
    ///
    /// let breaker = Arc::new(Breaker::new());
    /// let call = breaker.clone().call_async_owned(async { Err::<(), _>("no route") });
    /// assert_eq!(thread::spawn(|| call.wait()).join().unwrap(), Ok(Err("no route")));
    /// assert_eq!(breaker.stats().failed, 1);
    /// ```
    pub fn call_async_owned<F>(self: Arc<Self>, future: F) -> CallAsyncOwned<F, C, O, J>
    where
        F: Future,
        J: Classifier<F::Output>,
    {
        OwnedFailFast::from(self).run_async(future)
    }
}

/// A call that counts as a failure if a panic drops it.
struct Failing<'a, C: Clock, O: Observer> {
    machine: &'a Machine<C, O>,
    parts: (Word, Timestamp),
}

impl<'a, C: Clock, O: Observer> Failing<'a, C, O> {
    #[inline]
    fn new(entered: Entered<'a, C, O>) -> Self {
        Self { machine: entered.machine(), parts: entered.into_parts() }
    }

    #[inline]
    fn settle(self, outcome: Outcome) {
        // It is not dropped, since the drop would settle it again.
        let Self { machine, parts } = &*ManuallyDrop::new(self);
        machine.settle(parts.0, parts.1, outcome);
    }
}

impl<C: Clock, O: Observer> Drop for Failing<'_, C, O> {
    // The fields go by value into a function that is hardly ever called: as long as it is not
    // called, they stay in registers.
    #[inline]
    fn drop(&mut self) {
        fail(self.machine, self.parts.0, self.parts.1);
    }
}

#[cold]
#[inline(never)]
fn fail<C: Clock, O: Observer>(machine: &Machine<C, O>, stamp: Word, started: Timestamp) {
    machine.settle(stamp, started, Outcome::Failure);
}

/// Future of [`Breaker::call_async`].
pub type CallAsync<'a, F, C, O = (), J = ByResult> = RunAsync<&'a FailFast<C, O, J>, F>;

/// Future of [`Breaker::call_async_owned`](crate::Breaker).
pub type CallAsyncOwned<F, C, O = (), J = ByResult> = RunAsync<OwnedFailFast<C, O, J>, F>;

/// Future of [`Breaker::run_async`].
pub type RunClassified<'a, F, C, O = (), J = ByResult> = RunAsync<&'a Breaker<C, O, J>, F>;
