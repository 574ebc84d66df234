//! The entry of one key in the table.

use core::time::Duration;

use tidegate_concurrent_map::Occupancy;
use tidegate_core::{Timestamp, primitive::Arc};

use super::bucket::{KeyBucket, KeyState};
use crate::{
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
/// | `Plain` | the number of a bucket of the common quota, without a holder | [`share`](Self::share) |
/// | `Shared` | a bucket that has or had holders, or one with its own quota | nothing |
#[derive(Debug, Clone)]
pub(super) enum Slot {
    Plain(u64),
    Shared(Arc<KeyState>),
}

impl Slot {
    /// Creates, at `now`, a bucket that is full from `time` on.
    ///
    /// If `time` is more than 36 years after `now`, it comes from a mistaken call: the bucket is
    /// then empty, but not in debt.
    pub(super) fn full_at(
        common: &Quota,
        own: Option<Quota>,
        time: Timestamp,
        now: Timestamp,
    ) -> Self {
        let own = own.filter(|own| own != common);
        let math = own.as_ref().unwrap_or(common).math();
        let is_credible = time.since(now) <= Duration::from_nanos(TimeUnits::LONGEST);
        let empty = || now + Duration::from_nanos(math.time_units.nanos(math.depth));
        let time = if is_credible { time } else { empty() };
        match own {
            None => Self::Plain(math.present(time)),
            Some(own) => Self::Shared(Arc::new(KeyState::new(KeyBucket::exception(own, time)))),
        }
    }

    /// Takes tokens out of a plain bucket if they are available, and returns its old number.
    /// Otherwise takes nothing and returns a copy of the entry. From either the caller computes the
    /// answer after the lock is released.
    #[inline]
    pub(super) fn take(&mut self, math: &BucketMath, n: u32, now: Timestamp) -> Result<u64, Self> {
        match self {
            Self::Plain(full_at) => {
                let found = *full_at;
                match math.take(found, Request::exactly(n), now) {
                    Ok((next, _)) => {
                        *full_at = next;
                        Ok(found)
                    }
                    Err(_) => Err(Self::Plain(found)),
                }
            }
            Self::Shared(bucket) => Err(Self::Shared(bucket.clone())),
        }
    }

    /// Answers a request that found this entry under the lock. From a shared bucket it takes the
    /// tokens here.
    #[inline(never)]
    pub(super) fn answer<C>(
        self,
        shared: &Shared<KeyBucket, C>,
        n: u32,
        now: Timestamp,
    ) -> Result<Grant, Refused> {
        let request = Request::exactly(n);
        match self {
            Self::Plain(found) => {
                // Denied under the lock already, for the same number.
                let taken = shared.rule.math().take(found, request, now).map(|(_, grant)| grant);
                shared.counted(request, taken, now)
            }
            Self::Shared(bucket) => shared.with(&bucket).try_acquire_at(request, now),
        }
    }

    /// Grants nothing before `time`.
    pub(super) fn block_until<C>(&mut self, shared: &Shared<KeyBucket, C>, time: Timestamp) {
        match self {
            Self::Plain(full_at) => {
                *full_at = (*full_at).max(shared.rule.math().blocked_until(time));
            }
            Self::Shared(bucket) => shared.with(bucket).block_until(time),
        }
    }

    /// Refunds `n` tokens to a plain bucket. Returns a shared bucket instead: its refund wakes
    /// waiters and so must not run under the lock.
    #[must_use]
    pub(super) fn refund(&mut self, common: &Quota, n: u32) -> Option<Arc<KeyState>> {
        match self {
            // A bucket that is blocked for ever stays so.
            Self::Plain(full_at) if *full_at == common.math().end => None,
            Self::Plain(full_at) => {
                *full_at = full_at.saturating_sub(common.math().price(n));
                None
            }
            Self::Shared(bucket) => Some(bucket.clone()),
        }
    }

    /// Returns the bucket for a holder or a waiter.
    pub(super) fn share(&mut self) -> Arc<KeyState> {
        match self {
            Self::Plain(full_at) => {
                let bucket = Arc::new(KeyState::new(KeyBucket::common(*full_at)));
                *self = Self::Shared(bucket.clone());
                bucket
            }
            Self::Shared(bucket) => bucket.clone(),
        }
    }

    /// Returns whether the bucket has no holder and is full at `now`, and the time at which it is
    /// full.
    pub(super) fn occupancy(&mut self, common: &Quota, now: Timestamp) -> (Occupancy, Timestamp) {
        let (math, full_at) = match self {
            Self::Plain(full_at) => (common.math(), *full_at),
            // `get_mut` is exact: under the lock no caller can get another `Arc`, and what former
            // holders changed is visible.
            Self::Shared(bucket) => match Arc::get_mut(bucket) {
                Some(bucket) => bucket.algorithm.full_at(common),
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
