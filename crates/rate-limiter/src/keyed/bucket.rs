//! The bucket of a key that is held, waited for or an exception.

use core::fmt;

use tidegate_core::Timestamp;

use crate::{
    algorithm::{Ask, Count, Denied},
    gcra::Gcra,
    grant::Grant,
    quota::Quota,
    terms::Terms,
};

/// The bucket of one key: by the quota of all keys, or by one of its own.
pub struct KeyBucket {
    gcra: Gcra,
    own: Option<Quota>,
}

impl KeyBucket {
    /// Creates a bucket of the common quota that is full at `full_at` units.
    pub(super) fn common(full_at: u64) -> Self {
        Self { gcra: Gcra::new(full_at), own: None }
    }

    /// Creates a bucket of its own quota that is full at `time` and was not before.
    pub(super) fn exception(own: Quota, time: Timestamp) -> Self {
        Self { gcra: Gcra::new(own.terms().present(time)), own: Some(own) }
    }

    /// Returns the terms, and the units at which the bucket is full.
    pub(super) fn full_at(&self, common: &Quota) -> (Terms, u64) {
        let quota = self.quota(common);
        (quota.terms(), self.gcra.update(quota, |_, full_at| (full_at, ())).0)
    }

    #[inline]
    fn quota<'a>(&'a self, common: &'a Quota) -> &'a Quota {
        self.own.as_ref().unwrap_or(common)
    }
}

impl Count for KeyBucket {
    type Rule = Quota;

    fn limit(&self, common: &Quota) -> u32 {
        self.quota(common).max_burst()
    }

    #[inline]
    fn take(&self, common: &Quota, ask: Ask, now: Timestamp) -> Result<Grant, Denied> {
        let quota = self.quota(common);
        self.gcra.take(quota, ask, now).map_err(|denied| denied.timed(|| quota.max_burst()))
    }

    fn behind(&self, common: &Quota, ask: Ask, wanted: u64, now: Timestamp) -> Denied {
        self.gcra.behind(self.quota(common), ask, wanted, now)
    }

    fn owe(&self, common: &Quota, n: u32, now: Timestamp) -> Grant {
        let quota = self.quota(common);
        // Blocked for ever, or at the end of time.
        self.gcra
            .owe(quota, n, now)
            .unwrap_or_else(|| quota.terms().owe(quota.terms().end, n, now).1)
    }

    fn give_back(&self, common: &Quota, n: u32) {
        self.gcra.give_back(self.quota(common), n);
    }

    fn give_back_of(&self, common: &Quota, grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        self.gcra.give_back_of(self.quota(common), grant, n, now);
    }

    fn block_until(&self, common: &Quota, time: Timestamp) {
        self.gcra.block_until(self.quota(common), time);
    }

    fn is_idle(&self, common: &Quota, now: Timestamp) -> bool {
        self.gcra.is_idle(self.quota(common), now)
    }
}

impl fmt::Debug for KeyBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyBucket").field("own_quota", &self.own).finish_non_exhaustive()
    }
}
