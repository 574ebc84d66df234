//! What the asynchronous forms have in common.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tidegate_core::Timer;

use super::{Refund, Throttled, clamped};
use crate::{algorithm::Algorithm, grant::Refused};

impl<T, A: Algorithm, C: Timer> Throttled<'_, T, A, C> {
    /// Waits for up to `n` tokens, lets `act` use them, and gives back those of which it says that it did not.
    ///
    /// `act` returns its result, and how many tokens that took.
    pub(super) fn poll_with<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        n: usize,
        act: impl FnOnce(Pin<&mut T>, &mut Context<'_>, usize) -> (Poll<R>, usize),
    ) -> Poll<Result<R, Refused>> {
        let mut this = self.project();
        if this.acquire.is_none() {
            this.acquire.set(Some(this.limiter.acquire_up_to(clamped(n))));
        }
        let tokens = match this.acquire.as_mut().as_pin_mut() {
            Some(acquire) => ready!(acquire.poll(cx)),
            None => unreachable!("it was put there"),
        };
        this.acquire.set(None);
        let refund = Refund { limiter: this.limiter, tokens: tokens?.tokens() };
        let (result, used) = act(this.inner, cx, refund.tokens as usize);
        refund.but(used);
        result.map(Ok)
    }
}
