//! The refund of the tokens that an operation did not use.

use tidegate_core::{Clock, unwind};

use crate::{algorithm::Algorithm, grant::Grant, limiter::Limiter};

/// The tokens of one operation. Its drop refunds those that the operation did not use, also when
/// the inner reader, writer or stream panics.
pub(super) struct Refund<'l, A: Algorithm, C: Clock> {
    limiter: &'l Limiter<A, C>,
    grant: Grant,
    unused: u32,
}

impl<'l, A: Algorithm, C: Clock> Refund<'l, A, C> {
    pub(super) const fn new(limiter: &'l Limiter<A, C>, grant: Grant) -> Self {
        Self { limiter, grant, unused: grant.tokens }
    }

    pub(super) const fn tokens(&self) -> usize {
        self.unused as usize
    }

    /// Refunds the tokens beyond `used`.
    pub(super) fn settle(mut self, used: usize) {
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        self.unused = self.unused.saturating_sub(used);
    }
}

impl<A: Algorithm, C: Clock> Drop for Refund<'_, A, C> {
    fn drop(&mut self) {
        if self.unused > 0 {
            let clock = &self.limiter.shared.clock;
            // Refunds by the age of the grant: tokens that time has refilled, or of a past window,
            // are not granted again. The clock is foreign code, and this may run while a read that
            // panicked is unwound.
            unwind::in_drop(|| {
                self.limiter.state_ref().refund_grant(&self.grant, self.unused, || clock.now());
            });
        }
    }
}
