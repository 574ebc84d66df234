//! The step that all asynchronous forms share.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tidegate_core::Timer;

use super::{
    Throttled,
    pause::{Pause, Pauses},
};
use crate::{algorithm::Algorithm, grant::Refused};

impl<'l, T, A: Algorithm, C: Timer> Throttled<'l, T, A, C> {
    /// Waits for up to `n` tokens, calls `act` with their number, and refunds those that `act` did
    /// not use.
    ///
    /// Only this call's `n` counts, whatever an earlier call requested. `act` returns its result
    /// and how many tokens it used.
    pub(super) fn poll_with<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        direction: impl for<'p> FnOnce(&'p mut Pauses<'l, C>) -> &'p mut Pause<'l, C>,
        n: usize,
        act: impl FnOnce(Pin<&mut T>, &mut Context<'_>, usize) -> (Poll<R>, usize),
    ) -> Poll<Result<R, Refused>> {
        let this = self.project();
        let refund = ready!(direction(this.pauses).poll_take(this.limiter, cx, n))?;
        let (result, used) = act(this.inner, cx, refund.tokens());
        refund.settle(used);
        result.map(Ok)
    }
}

/// Returns a result and the number of bytes that it reports.
#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
pub(super) fn counted<E>(result: Poll<Result<usize, E>>) -> (Poll<Result<usize, E>>, usize) {
    let bytes = match &result {
        Poll::Ready(Ok(bytes)) => *bytes,
        _ => 0,
    };
    (result, bytes)
}
