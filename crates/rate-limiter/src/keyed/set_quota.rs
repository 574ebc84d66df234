//! A new quota for all keys.

use core::hash::Hash;

use alloc::vec::Vec;

use tidegate_core::{Clock, Timestamp};

use super::limiter::KeyedLimiter;
use crate::{inherit::Inherit, quota::Quota};

impl<K: Hash + Eq, C> KeyedLimiter<K, C> {
    /// Does the same as [`set_quota`](Self::set_quota) at a given time.
    pub fn set_quota_at(&self, quota: Quota, inherit: Inherit, now: Timestamp) {
        let mut shared = Vec::new();
        self.common.change(&quota, inherit, now, |lane, change| {
            self.buckets.retain(|_, slot| {
                shared.extend(slot.convert(&self.common, lane, change));
                true
            });
            shared.extend(self.shared_bucket.clone());
            shared.iter().for_each(|bucket| bucket.algorithm.convert(change));
        });
        shared.iter().for_each(|bucket| bucket.notify_change());
    }
}

impl<K: Hash + Eq, C: Clock> KeyedLimiter<K, C> {
    /// Changes the quota of all keys that have no exception, while the limiter is used. `inherit`
    /// says what becomes of the tokens that a key has left.
    ///
    /// Whatever `inherit` says, a key whose bucket is full counts as one never seen: it has the
    /// whole new burst. And a key whose bucket is less than empty, by a debt or a penalty, gets its
    /// next token when it would have got it by the old quota. A bucket does not tell a debt from a
    /// penalty, and counts a penalty shorter than one token's interval as tokens taken.
    ///
    /// No request is counted half by the old quota and half by the new one. Waiters keep their
    /// order, and the first of each key checks again at once; one that requests more than the new
    /// burst is refused when its turn comes. A pass of the key's gate that was granted by the old
    /// quota refunds nothing. A gate or waiter of a key that was forgotten, or has no slot under
    /// [`Overflow::Allow`](crate::Overflow::Allow), keeps the old quota.
    ///
    /// The change visits each known key, and locks one shard of them at a time: a request waits at
    /// most for the visit of the shard of its key. If the new quota refills sooner, keys become
    /// idle before the times that were noted for them. Until those times, a new key finds their
    /// slots only by the search that goes on where the last one has ended, as it finds a key whose
    /// last gate is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{Inherit, KeyedLimiter, Quota};
    ///
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let users = KeyedLimiter::<String>::new(Quota::per_hour(10), max_keys);
    /// assert!(users.try_acquire("ann", 8).is_ok());
    /// users.set_quota(Quota::per_hour(15), Inherit::Additive);
    /// assert_eq!(users.balance("ann").remaining(), 7);
    /// assert_eq!(users.balance("bob").remaining(), 15);
    /// ```
    pub fn set_quota(&self, quota: Quota, inherit: Inherit) {
        self.set_quota_at(quota, inherit, self.shared.clock.now());
    }
}
