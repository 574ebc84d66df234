//! A future as a job: it has its worker until it ends.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use tidegate_core::{CancelToken, Timestamp, Wait, lock::Lock, primitive::Arc};

use crate::{
    cell::{Draft, Errand, errand_with},
    panic::{Contained, Payload, catch, contain},
};

/// The worker's end of a future. Dropped unrun, the job is cancelled.
///
/// The future writes its output where the errand's closure finds it. So its handle is a handle like all others, and a
/// panic or a cancel settles the same cell.
pub(crate) struct Driven {
    errand: Errand,
    // `None` once it is dropped.
    steps: Option<Steps>,
}

/// What a worker polls: the future, with its output put away. Whether there is one: not if it was cancelled.
type Steps = Pin<Box<dyn Future<Output = bool> + Send>>;

/// How a future ended.
pub(crate) enum End {
    /// With an output, which its errand gives to the handle.
    Output,
    Cancelled,
    Panicked(Payload),
}

/// Makes both ends of a future that `token` can cancel at any of its awaits.
///
/// `limit` makes the token that it really heeds, when it begins.
pub(crate) fn driven<F>(
    future: F,
    token: CancelToken,
    limit: impl FnOnce(CancelToken) -> CancelToken + Send + 'static,
) -> (Driven, Draft<impl FnOnce() -> F::Output + Send + 'static, F::Output, CancelToken>)
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let output = Arc::new(Lock::new(None));
    let slot = output.clone();
    let heeded = token.clone();
    let future = Contained::new(future);
    let steps: Steps = Box::pin(async move {
        let output = future.or_cancelled(&limit(heeded)).await.ok();
        let has_ended = output.is_some();
        slot.with(|slot| *slot = output);
        has_ended
    });
    let give = move || output.with(Option::take).expect("asked for after the future gave it");
    let (errand, draft) = errand_with(give, token);
    (Driven { errand, steps: Some(steps) }, draft)
}

impl Drop for Driven {
    /// What the future has captured is foreign.
    fn drop(&mut self) {
        self.drop_steps();
    }
}

impl Driven {
    /// Polls the future on.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Some(steps) = &mut self.steps else { return Poll::Ready(End::Cancelled) };
        match catch(|| steps.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(true)) => Poll::Ready(End::Output),
            Ok(Poll::Ready(false)) => Poll::Ready(End::Cancelled),
            Err(payload) => Poll::Ready(End::Panicked(payload)),
        }
    }
    /// Drops what is left of the future, and returns what its handle waits for.
    pub(crate) fn into_errand(mut self) -> Errand {
        self.drop_steps();
        self.errand.take()
    }

    fn drop_steps(&mut self) {
        let steps = self.steps.take();
        contain(|| drop(steps));
    }

    /// Notes that a worker begins with it; returns false if its handle has called it off before.
    #[must_use]
    pub(crate) fn begin(&self) -> bool {
        self.errand.begin()
    }

    /// Returns whether its handle has called it off. Final, of a job that no worker has.
    pub(crate) fn is_called_off(&self) -> bool {
        self.errand.is_called_off()
    }

    /// Notes when the job was accepted.
    pub(crate) fn accept(&self, now: Timestamp) {
        self.errand.accept(now);
    }

    /// Returns when it was accepted, if that was noted.
    pub(crate) fn accepted(&self) -> Option<Timestamp> {
        self.errand.accepted()
    }
}
