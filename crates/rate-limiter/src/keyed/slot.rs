//! What belongs to one key, in the table.

use core::time::Duration;

use tidegate_concurrent_map::Occupancy;
use tidegate_core::{Timestamp, primitive::Arc};

use super::{Bucket, KeyBucket};
use crate::{
    algorithm::Ask,
    cell::{Cell, Shared},
    grant::{Grant, Refused},
    pace::Pace,
    quota::Quota,
    terms::Terms,
};

/// The bucket of one key, reached under the lock of the key's shard.
///
/// | state | what it is | left by |
/// | --- | --- | --- |
/// | `Plain` | a bucket of the common quota that nobody holds: the number of a [`Gcra`](crate::gcra::Gcra), without the atomic | [`share`](Self::share) |
/// | `Shared` | a bucket that somebody holds or held, or one with a quota of its own | nothing |
#[derive(Debug, Clone)]
pub(super) enum Slot {
    Plain(u64),
    Shared(Arc<Bucket>),
}

impl Slot {
    /// Creates a bucket, at `now`, that is full at `time` and was not before.
    ///
    /// A time that is years ahead is that of a mistaken call: it makes the bucket empty, and no more than that.
    pub(super) fn full_at(
        common: &Quota,
        own: Option<Quota>,
        time: Timestamp,
        now: Timestamp,
    ) -> Self {
        let own = own.filter(|own| own != common);
        let terms = own.as_ref().unwrap_or(common).terms();
        let is_credible = time.since(now) <= Duration::from_nanos(Pace::LONGEST);
        let empty = || now + Duration::from_nanos(terms.pace.nanos(terms.depth));
        let time = if is_credible { time } else { empty() };
        match own {
            None => Self::Plain(terms.present(time)),
            Some(own) => Self::Shared(Arc::new(Cell::new(KeyBucket::exception(own, time)))),
        }
    }

    /// Takes out of a plain bucket if the tokens are there, and returns what its number was; the grant is worked out from it
    /// when the shard is open again.
    ///
    /// # Errors
    ///
    /// What was found, from which the answer is worked out then.
    #[inline]
    pub(super) fn take(&mut self, terms: &Terms, n: u32, now: Timestamp) -> Result<u64, Self> {
        match self {
            Self::Plain(full_at) => {
                let found = *full_at;
                match terms.take(found, Ask::exactly(n), now) {
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

    /// Returns what came of finding this when nothing was granted at once: takes it if the bucket is shared.
    #[inline(never)]
    pub(super) fn answer<C>(
        self,
        shared: &Shared<KeyBucket, C>,
        n: u32,
        now: Timestamp,
    ) -> Result<Grant, Refused> {
        let ask = Ask::exactly(n);
        match self {
            Self::Plain(found) => {
                // Found wanting before, by the same look.
                let taken = shared.rule.terms().take(found, ask, now).map(|(_, grant)| grant);
                shared.answer(ask, taken, now)
            }
            Self::Shared(bucket) => shared.try_acquire_at(&bucket, ask, now),
        }
    }

    /// Grants nothing before `time`.
    pub(super) fn block_until<C>(&mut self, shared: &Shared<KeyBucket, C>, time: Timestamp) {
        match self {
            Self::Plain(full_at) => {
                *full_at = (*full_at).max(shared.rule.terms().blocked_until(time));
            }
            Self::Shared(bucket) => shared.block_until(bucket, time),
        }
    }

    /// Takes `n` tokens back. Returns the bucket if that is still to be done, as it wakes who waits for it, and that not
    /// under the lock.
    #[must_use]
    pub(super) fn give_back(&mut self, common: &Quota, n: u32) -> Option<Arc<Bucket>> {
        match self {
            // One that is blocked for ever stays so.
            Self::Plain(full_at) if *full_at == common.terms().end => None,
            Self::Plain(full_at) => {
                *full_at = full_at.saturating_sub(common.terms().price(n));
                None
            }
            Self::Shared(bucket) => Some(bucket.clone()),
        }
    }

    /// Returns the bucket to hold or to wait for.
    pub(super) fn share(&mut self) -> Arc<Bucket> {
        match self {
            Self::Plain(full_at) => {
                let bucket = Arc::new(Cell::new(KeyBucket::common(*full_at)));
                *self = Self::Shared(bucket.clone());
                bucket
            }
            Self::Shared(bucket) => bucket.clone(),
        }
    }

    /// Returns whether nobody holds the bucket and it is as good as new at `now`, and the time from which on it is full.
    pub(super) fn occupancy(&mut self, common: &Quota, now: Timestamp) -> (Occupancy, Timestamp) {
        let (terms, full_at) = match self {
            Self::Plain(full_at) => (common.terms(), *full_at),
            // `get_mut` is exact: under the lock nobody can get what nobody else has, and what was done by those who had
            // it is seen.
            Self::Shared(bucket) => match Arc::get_mut(bucket) {
                Some(bucket) => bucket.algorithm.full_at(common),
                None => return (Occupancy::Busy, Timestamp::NEVER),
            },
        };
        // One that is blocked for ever is not idle at the end of time either.
        let time = terms.time(full_at);
        if full_at <= terms.present(now) && full_at < terms.end {
            return (Occupancy::Idle, time);
        }
        (Occupancy::BusyUntil(time.as_nanos()), time)
    }
}
