//! The bucket of a key that a gate holds, that a caller waits for, or that has its own quota.

use tidegate_core::Timestamp;

use crate::{
    algorithm::TokenCounter,
    bucket_math::BucketMath,
    gcra::Gcra,
    grant::{Denied, Grant, Request},
    quota::Quota,
    state::LimiterState,
};

/// The state of such a key.
pub(crate) type KeyState = LimiterState<KeyBucket>;

/// The bucket of one key, which counts by the quota of all keys or by its own.
#[derive(Debug)]
pub struct KeyBucket {
    gcra: Gcra,
    own: Option<Quota>,
}

impl KeyBucket {
    /// Creates a bucket of the common quota that is full from `full_at` units on.
    pub(super) fn common(full_at: u64) -> Self {
        Self { gcra: Gcra::new(full_at), own: None }
    }

    /// Creates a bucket with its own quota that is full from `time` on.
    pub(super) fn exception(own: Quota, time: Timestamp) -> Self {
        Self { gcra: Gcra::new(own.math().present(time)), own: Some(own) }
    }

    /// Returns the quota, and the units from which the bucket is full.
    pub(super) fn full_at(&self, common: &Quota) -> (BucketMath, u64) {
        let quota = self.quota(common);
        (quota.math(), self.gcra.update(quota, |_, full_at| (full_at, ())).0)
    }

    #[inline]
    fn quota<'a>(&'a self, common: &'a Quota) -> &'a Quota {
        self.own.as_ref().unwrap_or(common)
    }
}

impl TokenCounter for KeyBucket {
    type Rule = Quota;

    fn limit(&self, common: &Quota) -> u32 {
        self.quota(common).max_burst()
    }

    #[inline]
    fn take(&self, common: &Quota, request: Request, now: Timestamp) -> Result<Grant, Denied> {
        self.gcra.take(self.quota(common), request, now)
    }

    fn deny_behind(&self, common: &Quota, request: Request, queued: u64, now: Timestamp) -> Denied {
        self.gcra.deny_behind(self.quota(common), request, queued, now)
    }

    fn force_take(&self, common: &Quota, n: u32, now: Timestamp) -> Grant {
        let quota = self.quota(common);
        // The bucket is blocked for ever, or `now` is at the end of time.
        self.gcra
            .force_take(quota, n, now)
            .unwrap_or_else(|| quota.math().force_take(quota.math().end, n, now).1)
    }

    fn refund(&self, common: &Quota, n: u32) {
        self.gcra.refund(self.quota(common), n);
    }

    fn refund_grant(&self, common: &Quota, grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        self.gcra.refund_grant(self.quota(common), grant, n, now);
    }

    fn block_until(&self, common: &Quota, time: Timestamp) {
        self.gcra.block_until(self.quota(common), time);
    }
}
