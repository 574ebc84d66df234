//! Wakes the task or thread that drives the flow.

use core::task::Waker;

use tidegate_core::lock::Lock;

/// Holds the waker of the flow's latest poll until somebody rings.
///
/// The flow fits the waker *before* it looks for work, and whoever makes work for it does so *before* ringing. Both go
/// through one lock: a ring that finds no waker came before the fitting, and the look after the fitting sees its work.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    waker: Lock<Option<Waker>>,
}

impl Bell {
    /// Makes `waker` the one that the next ring calls.
    pub(crate) fn fit(&self, waker: &Waker) {
        let waker = waker.clone();
        // The old waker is dropped with the lock open: its destructor is foreign code.
        drop(self.waker.with(|fitted| fitted.replace(waker)));
    }

    /// Calls the waker, with the lock open. Until the flow is polled again, further rings are silent.
    pub(crate) fn ring(&self) {
        if let Some(waker) = self.waker.with(Option::take) {
            waker.wake();
        }
    }
}
