//! How long a call waits for its gate: as long as it takes, for a time at most, or not at all.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tidegate_core::{Gate, Timer, gate::TryEnter};

use crate::error::Refusal;

/// How long calls wait for their gate: [`Waiting`], [`WaitingAtMost`] or [`Refusing`].
pub trait AdmissionPolicy<G: Gate>: private::Sealed {
    /// Future of a call that enters.
    type Enter: Future<Output = Result<G::Pass, Refusal<G::Refused>>>;

    /// Begins to enter.
    fn enter(&self, gate: G) -> Self::Enter;
}

/// Calls wait until they may enter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waiting;

/// Calls wait for a time at most.
#[derive(Debug, Clone, Copy)]
pub struct WaitingAtMost<T> {
    pub(crate) timer: T,
    pub(crate) duration: Duration,
}

/// Calls never wait.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusing;

mod private {
    #[allow(unnameable_types, reason = "only this crate's waits are known to the layers")]
    pub trait Sealed {}
    impl Sealed for super::Waiting {}
    impl<T> Sealed for super::WaitingAtMost<T> {}
    impl Sealed for super::Refusing {}
}

impl<G: Gate> AdmissionPolicy<G> for Waiting {
    type Enter = Enter<G::Enter>;

    #[inline]
    fn enter(&self, gate: G) -> Self::Enter {
        Enter { enter: gate.enter() }
    }
}

impl<G: Gate, T: Timer> AdmissionPolicy<G> for WaitingAtMost<T> {
    type Enter = EnterAtMost<G::Enter, T::Sleep>;

    #[inline]
    fn enter(&self, gate: G) -> Self::Enter {
        EnterAtMost { enter: Some(gate.enter()), sleep: self.timer.sleep(self.duration) }
    }
}

impl<G: Gate> AdmissionPolicy<G> for Refusing {
    type Enter = Enter<TryEnter<G>>;

    #[inline]
    fn enter(&self, gate: G) -> Self::Enter {
        Enter { enter: TryEnter::new(gate) }
    }
}

pin_project! {
    /// Future of a call that enters.
    #[must_use = "futures do nothing unless awaited or waited for"]
    #[derive(Debug)]
    pub struct Enter<F> {
        #[pin]
        enter: F,
    }
}

impl<P, R, F: Future<Output = Result<P, R>>> Future for Enter<F> {
    type Output = Result<P, Refusal<R>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().enter.poll(cx).map_err(Refusal::Refused)
    }
}

pin_project! {
    /// Future of a call that enters within a time.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterAtMost<F, S> {
        // `None` once it was given up: its place in the queue goes with it.
        #[pin]
        enter: Option<F>,
        #[pin]
        sleep: S,
    }
}

impl<P, R, F, S> Future for EnterAtMost<F, S>
where
    F: Future<Output = Result<P, R>>,
    S: Future<Output = ()>,
{
    type Output = Result<P, Refusal<R>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // First the gate: what it grants in time counts, however late the task was polled.
        let enter = this.enter.as_mut().as_pin_mut().expect("polled after it was ready");
        if let Poll::Ready(entered) = enter.poll(cx) {
            return Poll::Ready(entered.map_err(Refusal::Refused));
        }
        ready!(this.sleep.poll(cx));
        this.enter.set(None);
        Poll::Ready(Err(Refusal::TimedOut))
    }
}

impl<F, S> fmt::Debug for EnterAtMost<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gave_up = self.enter.is_none();
        f.debug_struct("EnterAtMost").field("gave_up", &gave_up).finish_non_exhaustive()
    }
}
