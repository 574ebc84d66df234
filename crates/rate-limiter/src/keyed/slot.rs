//! The entry of one key in the table.

use core::time::Duration;

use tidegate_concurrent_map::Occupancy;
use tidegate_core::{Timestamp, primitive::Arc};

use super::{
    bucket::{KeyBucket, KeyState},
    common_quota::{Change, CommonQuota, LaneIndex, LaneMath},
};
use crate::{
    algorithm::TokenCounter as _,
    bucket_math::BucketMath,
    grant::{Grant, Refused, Request},
    quota::Quota,
    state::Shared,
    time_units::TimeUnits,
};

/// The bucket of one key, reached under the lock of the key's shard.
///
/// | state | what it is | left by |
/// | --- | --- | --- |
/// | `Plain` | the number of a bucket without a holder, by the quota of a lane | [`share`] |
/// | `Shared` | a bucket that has or had holders, or one with its own quota | nothing |
///
/// [`share`]: Self::share
#[derive(Debug, Clone)]
pub(super) enum Slot {
    Plain { lane: LaneIndex, full_at: u64 },
    Shared(Arc<KeyState>),
}

/// What a request found if no plain bucket granted it. From this and the quota of the bucket, the
/// caller computes the answer after the lock is released.
pub(super) enum Found {
    Plain(u64),
    Shared(Arc<KeyState>),
}

impl Slot {
    /// Creates, at `now`, a bucket that is full from `time` on, of the `common` quota of `lane` or
    /// of its `own`.
    ///
    /// If `time` is more than 36 years after `now`, it comes from a mistaken call: the bucket is
    /// then empty, but not in debt.
    pub(super) fn full_at(
        (lane, common): (LaneIndex, &BucketMath),
        own: Option<Quota>,
        time: Timestamp,
        now: Timestamp,
    ) -> Self {
        let math = own.as_ref().map_or(*common, Quota::math);
        let is_credible = time.since(now) <= Duration::from_nanos(TimeUnits::LONGEST);
        let empty = || now + Duration::from_nanos(math.time_units.nanos(math.depth));
        let time = if is_credible { time } else { empty() };
        match own {
            None => Self::Plain { lane, full_at: math.present(time) },
            Some(own) => {
                let bucket = KeyBucket::exception(&own, math.present(time));
                Self::Shared(Arc::new(KeyState::new(bucket)))
            }
        }
    }

    /// Takes tokens out of a plain bucket if they are available, and returns its new number.
    /// Otherwise takes nothing and returns what it found. From either the caller computes the
    /// answer after the lock is released.
    #[inline]
    pub(super) fn take(
        &mut self,
        math: impl FnOnce(LaneIndex) -> BucketMath,
        n: u32,
        now: Timestamp,
    ) -> Result<u64, Found> {
        match self {
            Self::Plain { lane, full_at } => {
                let (math, found) = (math(*lane), *full_at);
                match math.take(found, Request::exactly(n), now) {
                    Ok((next, _)) => {
                        *full_at = next;
                        Ok(next)
                    }
                    Err(_) => Err(Found::Plain(found)),
                }
            }
            Self::Shared(bucket) => Err(Found::Shared(bucket.clone())),
        }
    }

    /// Returns the quota of a plain bucket and its number, or the shared bucket.
    pub(super) fn found(&self, math: impl FnOnce(LaneIndex) -> LaneMath) -> (LaneMath, Found) {
        match self {
            Self::Plain { lane, full_at } => (math(*lane), Found::Plain(*full_at)),
            Self::Shared(bucket) => (LaneMath::default(), Found::Shared(bucket.clone())),
        }
    }

    /// Grants nothing before `time`.
    pub(super) fn block_until(&mut self, common: &CommonQuota, time: Timestamp) {
        match self {
            Self::Plain { lane, full_at } => {
                *full_at = (*full_at).max(common.math(*lane).blocked_until(time));
            }
            Self::Shared(bucket) => bucket.algorithm.block_until(&(), time),
        }
    }

    /// Refunds `n` tokens to a plain bucket. Returns a shared bucket instead: its refund wakes
    /// waiters and so must not run under the lock.
    #[must_use]
    pub(super) fn refund(&mut self, common: &CommonQuota, n: u32) -> Option<Arc<KeyState>> {
        match self {
            Self::Plain { lane, full_at } => {
                let math = common.math(*lane);
                // A bucket that is blocked for ever stays so.
                if *full_at != math.end {
                    *full_at = full_at.saturating_sub(math.price(n));
                }
                None
            }
            Self::Shared(bucket) => Some(bucket.clone()),
        }
    }

    /// Returns the bucket for a holder or a waiter.
    pub(super) fn share(&mut self, common: impl FnOnce(LaneIndex) -> BucketMath) -> Arc<KeyState> {
        match self {
            Self::Plain { lane, full_at } => {
                let bucket = KeyBucket::common(&common(*lane), *full_at);
                let bucket = Arc::new(KeyState::new(bucket));
                *self = Self::Shared(bucket.clone());
                bucket
            }
            Self::Shared(bucket) => bucket.clone(),
        }
    }

    /// Moves a plain bucket to the new quota, in lane `to`. Returns a shared bucket that may have
    /// to be moved: that wakes waiters and so must not run under the lock.
    #[must_use]
    pub(super) fn convert(
        &mut self,
        common: &CommonQuota,
        to: LaneIndex,
        change: &Change,
    ) -> Option<Arc<KeyState>> {
        match self {
            Self::Plain { lane, full_at } => {
                if *lane != to {
                    *full_at = change.convert(&common.math(*lane), *full_at);
                    *lane = to;
                }
                None
            }
            Self::Shared(bucket) => Some(bucket.clone()),
        }
    }

    /// Returns whether the bucket has no holder and is full at `now`, and the time at which it is
    /// full.
    pub(super) fn occupancy(
        &mut self,
        common: &CommonQuota,
        now: Timestamp,
    ) -> (Occupancy, Timestamp) {
        let (math, full_at) = match self {
            Self::Plain { lane, full_at } => (common.math(*lane), *full_at),
            // `get_mut` is exact: under the lock no caller can get another `Arc`, and what former
            // holders changed is visible.
            Self::Shared(bucket) => match Arc::get_mut(bucket) {
                Some(bucket) => bucket.algorithm.full_at(),
                None => return (Occupancy::Busy, Timestamp::NEVER),
            },
        };
        // A bucket that is blocked for ever is not idle at the end of time either.
        let time = math.time(full_at);
        if full_at <= math.present(now) && full_at < math.end {
            return (Occupancy::Idle, time);
        }
        (Occupancy::BusyUntil(time.as_nanos()), time)
    }
}

impl Found {
    /// Returns the shared bucket, or creates one with the number of a plain bucket.
    pub(super) fn into_state(self, math: LaneMath) -> Arc<KeyState> {
        match self {
            Self::Plain(full_at) => {
                Arc::new(KeyState::new(KeyBucket::common(&math.math(), full_at)))
            }
            Self::Shared(bucket) => bucket,
        }
    }

    /// Answers the request. From a shared bucket it takes the tokens here.
    #[inline(never)]
    pub(super) fn answer<C>(
        self,
        shared: &Shared<KeyBucket, C>,
        math: LaneMath,
        n: u32,
        now: Timestamp,
    ) -> Result<Grant, Refused> {
        let request = Request::exactly(n);
        match self {
            Self::Plain(found) => {
                // Denied under the lock already, for the same number, or a request that changes no
                // bucket: for no tokens, or for those of an overflow.
                let taken = math.math().take(found, request, now).map(|(_, grant)| grant);
                shared.counted(request, taken, now)
            }
            Self::Shared(bucket) => shared.with(&bucket).try_acquire_at(request, now),
        }
    }
}
