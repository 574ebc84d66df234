//! A limiter per key.

mod acquire;
mod bucket;
mod gate;
mod overflow;
mod owned;
mod refused;
mod slot;

use core::{
    fmt,
    hash::Hash,
    num::NonZeroUsize,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};

use alloc::{borrow::ToOwned, boxed::Box};

use tidegate_concurrent_map::{Equivalent, Keyed, Occupancy, TooManyKeys};
use tidegate_core::{
    Clock, SystemClock, Timer, Timestamp,
    primitive::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use self::slot::Slot;
pub use self::{
    acquire::AcquireKey,
    bucket::KeyBucket,
    gate::KeyGate,
    overflow::Overflow,
    owned::{EnterKeyOwned, OwnedKeyAdmission, OwnedKeyGate},
    refused::KeyRefused,
};
use crate::{
    balance::Balance,
    cell::{Cell, Shared},
    grant::{Grant, Refused},
    quota::Quota,
    stats::{Count, Stats},
};

/// What belongs to one key that is held, waited for or an exception.
type Bucket = Cell<KeyBucket>;

/// Says which keys have a quota of their own.
struct Exceptions<K>(Box<Excepting<K>>);

type Excepting<K> = dyn Fn(&K) -> Option<Quota> + Send + Sync;

/// It is called by reference, from several threads: what it changes is behind atomics or locks of its own.
impl<K> UnwindSafe for Exceptions<K> {}
impl<K> RefUnwindSafe for Exceptions<K> {}

/// The same quota for each of many keys: users, hosts, addresses.
///
/// A key takes memory from its first use on: 100 to 130 bytes with a `u64` for a key, in hash tables with room for their
/// churn, and about 100 more from the first [`acquire`](Self::acquire) or [`gate`](Self::gate) of it on, until it is evicted.
/// (`cargo test -p tidegate-rate-limiter --test memory -- --nocapture` prints it.) There are never more than `max_keys`: a new key
/// takes the place of one whose bucket has filled up again, which is the same as one never seen. So a stranger who makes
/// up keys cannot exhaust memory, and no cleaner task is needed. If every key is in use, a new one is refused; choose
/// `max_keys` well above the number of keys active within the time an empty bucket needs to fill.
///
/// A new key costs the same however many keys there are: a key whose bucket has filled up is found by its time. One that was
/// held by a wait or a gate, and is not any more, may be found only by the `max_keys / 64`th new key; see
/// [`Keyed`](tidegate_concurrent_map::Keyed).
///
/// Time that goes backward mints no tokens: a new key's bucket is full when the last of the buckets that made room for others
/// was. A new key that comes with an earlier time finds it that much short of full; with one earlier by more than 36 years,
/// which no clock goes back, it finds it empty.
///
/// Keys are looked up by any borrowed form, and copied only when they are new.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_rate_limiter::{KeyedLimiter, Quota, Wait};
///
/// let max_keys = NonZeroUsize::new(10_000).unwrap();
/// let users = KeyedLimiter::<String>::new(Quota::per_hour(2)?, max_keys);
/// assert!(users.try_acquire("ann", 2).is_ok());
/// assert!(users.try_acquire("ann", 1).is_err());
/// assert!(users.acquire("bob", 1).wait().is_ok());
/// assert_eq!(users.len(), 2);
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub struct KeyedLimiter<K, C = SystemClock> {
    shared: Shared<KeyBucket, C>,
    buckets: Keyed<K, Slot>,
    // INVARIANT: in nanoseconds, not before the time at which any bucket that was evicted was full again: its key may come
    // back with an earlier one.
    evicted_at: AtomicU64,
    exceptions: Option<Exceptions<K>>,
    overflow: Overflow,
    /// Of all keys beyond `max_keys`, where they share one.
    spill: Option<Arc<Bucket>>,
}

impl<K: Hash + Eq> KeyedLimiter<K> {
    /// Creates a limiter for at most `max_keys` keys at a time that reads the system's clock.
    pub fn new(quota: Quota, max_keys: NonZeroUsize) -> Self {
        Self::with_clock(quota, max_keys, SystemClock)
    }
}

impl<K: Hash + Eq, C> KeyedLimiter<K, C> {
    /// Creates a limiter for at most `max_keys` keys at a time that reads `clock`.
    pub fn with_clock(quota: Quota, max_keys: NonZeroUsize, clock: C) -> Self {
        Self {
            shared: Shared::new(quota, clock),
            buckets: Keyed::new(max_keys),
            evicted_at: AtomicU64::new(0),
            exceptions: None,
            overflow: Overflow::Refuse,
            spill: None,
        }
    }

    /// Gives keys quotas of their own: those for which `exceptions` returns one.
    ///
    /// It is asked when a key is new, or comes back after it was idle; [`forget`](Self::forget) makes it be asked again. It
    /// runs under the lock of a shard: it must be short and must not call the limiter. An exception takes about 100 bytes
    /// more.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota};
    ///
    /// let (usual, gold) = (Quota::per_hour(10)?, Quota::per_hour(1000)?);
    /// let users = KeyedLimiter::<u32>::new(usual, NonZeroUsize::new(10_000).unwrap())
    ///     .with_exceptions(move |user| (*user < 100).then_some(gold));
    /// assert_eq!(users.try_acquire(&7, 1).unwrap().limit(), 1000);
    /// assert_eq!(users.try_acquire(&700, 1).unwrap().limit(), 10);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    #[must_use]
    pub fn with_exceptions(
        self,
        exceptions: impl Fn(&K) -> Option<Quota> + Send + Sync + 'static,
    ) -> Self {
        Self { exceptions: Some(Exceptions(Box::new(exceptions))), ..self }
    }

    /// Chooses what happens to a new key when every known key is in use. Without this it is refused.
    #[must_use]
    pub fn with_overflow(self, overflow: Overflow) -> Self {
        let (rule, start) = (&self.shared.rule, Timestamp::ORIGIN);
        let full = || Slot::full_at(rule, None, start, start);
        let spill = (overflow == Overflow::Shared).then(|| full().share());
        Self { overflow, spill, ..self }
    }

    /// The same as [`try_acquire`](Self::try_acquire) at a given time.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota, Timestamp};
    ///
    /// let ports = KeyedLimiter::<u16>::new(Quota::per_second(1)?, NonZeroUsize::MIN);
    /// assert!(ports.try_acquire_at(&80, 1, Timestamp::ORIGIN).is_ok());
    /// // Port 80's bucket is not full yet, and there is a place for one key.
    /// let refused = ports.try_acquire_at(&443, 1, Timestamp::from_nanos(999_999_999)).unwrap_err();
    /// assert!(refused.is_too_many_keys());
    /// assert!(ports.try_acquire_at(&443, 1, Timestamp::from_nanos(1_000_000_000)).is_ok());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    #[inline]
    pub fn try_acquire_at<Q>(&self, key: &Q, n: u32, now: Timestamp) -> Result<Grant, KeyRefused>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.check(key, n)?;
        let take = |slot: &mut Slot| slot.take(&self.shared.rule.terms(), n, now);
        let taken = if n > 0 {
            self.with_slot(key, now, take)
        } else {
            self.found(key, now).map(|mut slot| take(&mut slot))
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(full) => take(&mut self.beyond(key, n, full)?),
        };
        match taken {
            Ok(found) => {
                self.shared.counters.add(Count::Allowed, 1);
                Ok(self.shared.rule.terms().granted(found, n, now))
            }
            Err(found) => found.answer(&self.shared, n, now).map_err(KeyRefused::Refused),
        }
    }

    /// The same as [`balance`](Self::balance) at a given time.
    pub fn balance_at<Q>(&self, key: &Q, now: Timestamp) -> Balance
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        // Looked at when the lock is open.
        let found = self.buckets.get_with(key, |slot| slot.clone());
        let mut slot = found.unwrap_or_else(|| self.new_slot(key, now));
        Balance::of(&self.shared, &slot.share(), now)
    }

    /// Gives `n` tokens of `key` back, as [`Limiter::refund`](crate::Limiter::refund) does. A key that is not known has a
    /// full bucket: nothing happens.
    pub fn refund<Q>(&self, key: &Q, n: u32)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let give_back = |slot: &mut Slot| slot.give_back(&self.shared.rule, n);
        // It may be idle earlier than was known: the next new key looks at it.
        let occupancy = |_: &mut Slot| Occupancy::Idle;
        if let Some(bucket) = self.buckets.get_with_until(key, occupancy, give_back).flatten() {
            self.shared.refund(&bucket, n);
        }
    }

    /// Forgets `key`, and with it what it has spent. Who waits for it already goes on waiting, beside a new bucket.
    pub fn forget<Q>(&self, key: &Q)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.buckets.remove(key);
    }

    /// Refuses what can never be granted, before a place is taken for it.
    #[inline]
    fn check<Q>(&self, key: &Q, n: u32) -> Result<(), KeyRefused>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        if n <= self.shared.rule.max_burst() {
            return Ok(());
        }
        let limit = self.exception(key).unwrap_or(self.shared.rule).max_burst();
        match n <= limit {
            true => Ok(()),
            false => Err(KeyRefused::Refused(Refused::TooMany { asked: n, limit })),
        }
    }

    #[cold]
    fn exception<Q>(&self, key: &Q) -> Option<Quota>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.exceptions.as_ref().and_then(|exceptions| (exceptions.0)(&key.to_owned()))
    }

    /// Runs `f` on the bucket of a key, made if there is none.
    #[inline]
    fn with_slot<Q, R>(
        &self,
        key: &Q,
        now: Timestamp,
        f: impl FnOnce(&mut Slot) -> R,
    ) -> Result<R, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let occupancy = |slot: &mut Slot| self.occupancy(slot, now);
        self.buckets.with_until(key, now.as_nanos(), || self.new_slot(key, now), occupancy, f)
    }

    /// Returns the bucket of a key, made if there is none, for a request that takes nothing: it leaves no trace of a mistaken
    /// time.
    #[cold]
    fn found<Q>(&self, key: &Q, now: Timestamp) -> Result<Slot, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.with_slot(key, now, |slot| slot.clone())
    }

    #[cold]
    fn new_slot<Q>(&self, key: &Q, now: Timestamp) -> Slot
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        // ORDERING: Relaxed: if this key's own bucket was evicted, that was under the lock of the key's shard, which is
        // held here, too.
        let evicted_at = Timestamp::from_nanos(self.evicted_at.load(Ordering::Relaxed));
        Slot::full_at(&self.shared.rule, self.exception(key), evicted_at, now)
    }

    /// Returns the bucket of a key that found no place and asks for `n` tokens.
    #[cold]
    fn beyond<Q>(&self, key: &Q, n: u32, full: TooManyKeys) -> Result<Slot, KeyRefused>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let common = &self.shared.rule;
        match (self.overflow, &self.spill) {
            (Overflow::Refuse, _) => Err(full.into()),
            (Overflow::Shared, Some(spill)) => {
                let limit = self.exception(key).map_or(common.max_burst(), |own| own.max_burst());
                if n > limit {
                    // Not even with a place of its own.
                    return Err(KeyRefused::Refused(Refused::TooMany { asked: n, limit }));
                }
                // More than the others' bucket ever holds: not now, but as soon as the key has a place.
                if n > common.max_burst() {
                    Err(full.into())
                } else {
                    Ok(Slot::Shared(spill.clone()))
                }
            }
            (Overflow::Allow | Overflow::Shared, _) => {
                let own = self.exception(key);
                Ok(Slot::full_at(common, own, Timestamp::ORIGIN, Timestamp::ORIGIN))
            }
        }
    }

    /// Returns whether a bucket can be evicted at `now`, and else from when on.
    fn occupancy(&self, slot: &mut Slot, now: Timestamp) -> Occupancy {
        let (occupancy, full_at) = slot.occupancy(&self.shared.rule, now);
        if occupancy == Occupancy::Idle {
            // ORDERING: Relaxed: as in `new_slot`; the shard's lock is held here.
            self.evicted_at.fetch_max(full_at.as_nanos(), Ordering::Relaxed);
        }
        occupancy
    }
}

impl<K, C> KeyedLimiter<K, C> {
    /// Returns the number of keys that are known. A snapshot; some of them may be idle.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Returns whether no key is known. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Returns the most keys that can be known at a time.
    pub fn max_keys(&self) -> usize {
        self.buckets.max_keys()
    }

    /// Returns the quota of each key without an exception.
    pub const fn quota(&self) -> Quota {
        self.shared.rule
    }

    /// Returns the limiter's clock.
    pub const fn clock(&self) -> &C {
        &self.shared.clock
    }

    /// Returns what the limiter has done so far, for all keys together. A snapshot.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }
}

impl<K: Hash + Eq, C: Clock> KeyedLimiter<K, C> {
    /// Takes `n` tokens of `key` if they are there and nobody waits for that key. Never waits.
    ///
    /// # Errors
    ///
    /// [`KeyRefused::Refused`] as of a [`Limiter`](crate::Limiter); [`KeyRefused::TooManyKeys`] if the key is new and
    /// every known key is in use (and there is no [`Overflow`] for it). A request for more than the burst takes no place, and needs none.
    #[inline]
    pub fn try_acquire<Q>(&self, key: &Q, n: u32) -> Result<Grant, KeyRefused>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.try_acquire_at(key, n, self.shared.clock.now())
    }

    /// Looks at what is there for `key`, without a request: nothing is taken, nothing is counted, and a new key takes no place.
    /// Never waits.
    ///
    /// A key that is not known has what a new one finds that gets a place.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota};
    ///
    /// let users = KeyedLimiter::<String>::new(Quota::per_hour(2)?, NonZeroUsize::new(100).unwrap());
    /// assert!(users.try_acquire("ann", 2).is_ok());
    /// assert_eq!(users.balance("ann").remaining(), 0);
    /// assert_eq!(users.balance("bob").remaining(), 2);
    /// assert_eq!((users.len(), users.stats().allowed), (1, 1));
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn balance<Q>(&self, key: &Q) -> Balance
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.balance_at(key, self.shared.clock.now())
    }

    /// Grants nothing to `key` before `time`, as [`Limiter::penalize_until`](crate::Limiter::penalize_until) does. The
    /// key counts as in use until then.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`] if the key is new and every known key is in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_rate_limiter::{KeyedLimiter, ManualClock, Quota};
    ///
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let hosts = KeyedLimiter::<String, _>::with_clock(Quota::per_second(5)?, max_keys, ManualClock::new());
    /// hosts.penalize_for("slow.example", Duration::from_secs(120)).unwrap();
    /// let refused = hosts.try_acquire("slow.example", 1).unwrap_err();
    /// assert_eq!(refused.retry_after(), Some(Duration::from_secs(120)));
    /// assert!(hosts.try_acquire("fast.example", 1).is_ok());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn penalize_until<Q>(&self, key: &Q, time: Timestamp) -> Result<(), TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let block = |slot: &mut Slot| slot.block_until(&self.shared, time);
        self.with_slot(key, self.shared.clock.now(), block)
    }

    /// Grants nothing to `key` for `duration` from this call; see [`penalize_until`](Self::penalize_until).
    ///
    /// # Errors
    ///
    /// As `penalize_until`.
    pub fn penalize_for<Q>(&self, key: &Q, duration: Duration) -> Result<(), TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.penalize_until(key, self.shared.clock.deadline_after(duration))
    }

    /// Returns the gate of one key. The key counts as in use while the gate lives.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`] if the key is new and every known key is in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{Gate, KeyedLimiter, Quota};
    ///
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let hosts = KeyedLimiter::<String>::new(Quota::per_second(5)?, max_keys);
    /// let gate = hosts.gate("doc.example").unwrap();
    /// assert_eq!(gate.run(|| "7".parse::<u32>()).unwrap(), Ok(7));
    /// assert_eq!(hosts.stats().allowed, 1);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn gate<Q>(&self, key: &Q) -> Result<KeyGate<'_, C>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let beyond = |full| match self.beyond(key, 1, full) {
            Ok(mut slot) => Ok(slot.share()),
            // One token is never too many.
            Err(_) => Err(full),
        };
        Ok(KeyGate { shared: &self.shared, bucket: self.bucket(key).or_else(beyond)? })
    }

    fn bucket<Q>(&self, key: &Q) -> Result<Arc<Bucket>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.with_slot(key, self.shared.clock.now(), Slot::share)
    }

    /// As [`bucket`](Self::bucket), with what becomes of a key too many that asks for `n` tokens.
    fn bucket_or_beyond<Q>(&self, key: &Q, n: u32) -> Result<Arc<Bucket>, KeyRefused>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.bucket(key).or_else(|full| Ok(self.beyond(key, n, full)?.share()))
    }
}

impl<K: Hash + Eq, C: Timer> KeyedLimiter<K, C> {
    /// Waits for `n` tokens of `key`, in line behind those who came before for the same key.
    ///
    /// The key is looked up in this call, and counts as in use while the future lives.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no trace. Who stood behind it moves up.
    ///
    /// # Errors
    ///
    /// As [`Limiter::acquire`](crate::Limiter::acquire); [`KeyRefused::TooManyKeys`] if the key is new and every known key
    /// is in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota, Wait};
    ///
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let hosts = KeyedLimiter::<String>::new(Quota::every(Duration::from_millis(1))?, max_keys);
    /// for _ in 0..3 {
    ///     hosts.acquire("doc.example", 1).wait()?;
    /// }
    /// assert_eq!(hosts.stats().waited, 2);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn acquire<Q>(&self, key: &Q, n: u32) -> AcquireKey<'_, C>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let bucket = self.check(key, n).and_then(|()| self.bucket_or_beyond(key, n));
        AcquireKey::new(&self.shared, bucket, n)
    }
}

impl<K, C> fmt::Debug for KeyedLimiter<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimiter")
            .field("quota", &self.quota())
            .field("len", &self.len())
            .field("max_keys", &self.max_keys())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
