//! A limiter per key.

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

use super::{
    acquire::{AcquireKey, KeyRef},
    bucket::{KeyBucket, KeyState},
    common_quota::{CommonQuota, LaneIndex, LaneMath},
    gate::KeyGate,
    overflow::Overflow,
    refused::KeyRefused,
    slot::{Found, Slot},
};
use crate::{
    balance::Balance,
    bucket_math::BucketMath,
    grant::{Grant, Refused},
    quota::Quota,
    state::{Shared, StateRef},
    stats::{Counter, Stats},
};

/// Says which keys have a quota of their own.
struct Exceptions<K>(Box<Excepting<K>>);

type Excepting<K> = dyn Fn(&K) -> Option<Quota> + Send + Sync;

/// The closure is `Sync`: it keeps what it changes behind atomics or locks, so a panic shows a
/// caller no more than another thread could see.
impl<K> UnwindSafe for Exceptions<K> {}
impl<K> RefUnwindSafe for Exceptions<K> {}

/// The same quota for each of many keys: users, hosts, addresses.
///
/// A key takes memory from its first use: 100 to 130 bytes if keys are `u64`, with the spare room
/// of the hash tables. The first [`acquire`](Self::acquire) or [`gate`](Self::gate) of a key takes
/// about 100 bytes more until the key is evicted.
/// (`cargo test -p tidegate-rate-limiter --test memory -- --nocapture` prints the numbers.)
///
/// There are never more than `max_keys` keys. A key whose bucket is full again is the same as a key
/// that was never seen: a new key takes its slot. So an unknown client that makes up keys cannot
/// exhaust memory, and no cleaner task is needed. If every key is in use, a new key is refused,
/// unless another [`Overflow`] is chosen. Choose `max_keys` well above the number of keys that are
/// active while an empty bucket fills.
///
/// A new key costs the same for any number of keys: keys whose buckets have filled up are found by
/// time. A key whose last wait or gate has ended may be found later, by the `max_keys / 64`th new
/// key at the latest; see [`Keyed`](tidegate_concurrent_map::Keyed).
///
/// Time that goes backward mints no tokens: the bucket of a new key is full from the latest time at
/// which an evicted bucket was full. A new key with an earlier time finds less in it; with a time
/// that is more than 36 years earlier it finds the bucket empty.
///
/// Keys are looked up by any borrowed form. A key is copied when it is new, and when its exception
/// is looked up (see `with_exceptions`).
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_rate_limiter::{KeyedLimiter, Quota, Wait};
///
/// let max_keys = NonZeroUsize::new(10_000).unwrap();
/// let users = KeyedLimiter::<String>::new(Quota::per_hour(2), max_keys);
/// assert!(users.try_acquire("ann", 2).is_ok());
/// assert!(users.try_acquire("ann", 1).is_err());
/// assert!(users.acquire("bob", 1).wait().is_ok());
/// assert_eq!(users.len(), 2);
/// ```
pub struct KeyedLimiter<K, C = SystemClock> {
    pub(super) shared: Shared<KeyBucket, C>,
    pub(super) common: CommonQuota,
    pub(super) buckets: Keyed<K, Slot>,
    // INVARIANT: in nanoseconds, not before the time at which any evicted bucket was full, as its
    // key may return with an earlier time.
    evicted_at: AtomicU64,
    exceptions: Option<Exceptions<K>>,
    overflow: Overflow,
    /// With `Overflow::Shared`, the bucket of all keys without a slot.
    pub(super) shared_bucket: Option<Arc<KeyState>>,
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
            shared: Shared::new((), clock),
            common: CommonQuota::new(&quota),
            buckets: Keyed::new(max_keys),
            evicted_at: AtomicU64::new(0),
            exceptions: None,
            overflow: Overflow::Refuse,
            shared_bucket: None,
        }
    }

    /// Gives a key its own quota if `exceptions` returns one.
    ///
    /// The closure is called for a new key, for a key that returns after it was evicted, and again
    /// after [`forget`](Self::forget). It is also called for each request for more than the common
    /// burst, for the balance of an unknown key, and for a key without a slot. It may run under the
    /// lock of a shard, so it must be short and must not call the limiter. A key with its own quota
    /// takes about 100 bytes more.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota};
    ///
    /// let (usual, gold) = (Quota::per_hour(10), Quota::per_hour(1000));
    /// let users = KeyedLimiter::<u32>::new(usual, NonZeroUsize::new(10_000).unwrap())
    ///     .with_exceptions(move |user| (*user < 100).then_some(gold));
    /// assert_eq!(users.try_acquire(&7, 1).unwrap().limit(), 1000);
    /// assert_eq!(users.try_acquire(&700, 1).unwrap().limit(), 10);
    /// ```
    #[must_use]
    pub fn with_exceptions(
        self,
        exceptions: impl Fn(&K) -> Option<Quota> + Send + Sync + 'static,
    ) -> Self {
        Self { exceptions: Some(Exceptions(Box::new(exceptions))), ..self }
    }

    /// Chooses what happens to a new key when every known key is in use: by default it is refused.
    #[must_use]
    pub fn with_overflow(self, overflow: Overflow) -> Self {
        let full = || KeyBucket::common(&self.common.math(self.common.lane()), 0);
        let shared_bucket = (overflow == Overflow::Shared).then(|| Arc::new(KeyState::new(full())));
        Self { overflow, shared_bucket, ..self }
    }

    /// Does the same as [`try_acquire`](Self::try_acquire) at a given time.
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
    /// let ports = KeyedLimiter::<u16>::new(Quota::per_second(1), NonZeroUsize::MIN);
    /// assert!(ports.try_acquire_at(&80, 1, Timestamp::ORIGIN).is_ok());
    /// // There is one slot, and the bucket of port 80 is not full yet.
    /// let [early, late] = [999_999_999, 1_000_000_000].map(Timestamp::from_nanos);
    /// assert!(ports.try_acquire_at(&443, 1, early).unwrap_err().is_too_many_keys());
    /// assert!(ports.try_acquire_at(&443, 1, late).is_ok());
    /// ```
    #[inline]
    pub fn try_acquire_at<Q>(&self, key: &Q, n: u32, now: Timestamp) -> Result<Grant, KeyRefused>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.check(key, n)?;
        // The quota of the bucket. It is kept apart, so that what the lock returns stays small.
        let mut by = LaneMath::default();
        let taken = if n > 0 {
            let math = |lane| {
                by = self.common.lane_math(lane);
                by.math()
            };
            self.with_slot(key, now, move |slot| slot.take(math, n, now))
        } else {
            self.find(key, now, &mut by).map(Err)
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(full) => {
                let (math, found) = self.overflow_bucket(key, n, full)?;
                by = math;
                Err(found)
            }
        };
        match taken {
            Ok(next) => {
                self.shared.counters.add(Counter::Allowed, 1);
                Ok(by.math().granted(next, n, now))
            }
            Err(found) => found.answer(&self.shared, by, n, now).map_err(KeyRefused::Refused),
        }
    }

    /// Does the same as [`balance`](Self::balance) at a given time.
    pub fn balance_at<Q>(&self, key: &Q, now: Timestamp) -> Balance
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        // Computed after the lock is released.
        let found =
            self.buckets.get_with(key, |slot| slot.found(|lane| self.common.lane_math(lane)));
        let (math, found) = found.unwrap_or_else(|| {
            let math = self.common.quota().math();
            self.new_slot(key, now, (0, &math)).found(|_| LaneMath::new(&math))
        });
        Balance::of(self.shared.with(&found.into_state(math)), now)
    }

    /// Refunds `n` tokens of `key`, as [`Limiter::refund`](crate::Limiter::refund) does. Does
    /// nothing for an unknown key, whose bucket is full. A key does not remember its penalty: a
    /// refund during the penalty, also by a pass of the key's gate, shortens it by the time that
    /// the refunded tokens take to refill.
    pub fn refund<Q>(&self, key: &Q, n: u32)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let refund = |slot: &mut Slot| slot.refund(&self.common, n);
        // The bucket may be idle earlier than was known: the next new key checks it.
        let occupancy = |_: &mut Slot| Occupancy::Idle;
        if let Some(bucket) = self.buckets.get_with_until(key, occupancy, refund).flatten() {
            self.shared.with(&bucket).refund(n);
        }
    }

    /// Forgets `key` and what it has spent. Waiters and gates of the key keep its old bucket.
    pub fn forget<Q>(&self, key: &Q)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.buckets.remove(key);
    }

    /// Refuses a request that can never be granted, before the key takes a slot.
    #[inline]
    fn check(&self, key: &(impl ToOwned<Owned = K> + ?Sized), n: u32) -> Result<(), KeyRefused> {
        if n <= self.common.max_burst() { Ok(()) } else { self.check_own(key, n) }
    }

    /// Refuses more tokens than the key's own bucket ever holds.
    #[cold]
    fn check_own(
        &self,
        key: &(impl ToOwned<Owned = K> + ?Sized),
        n: u32,
    ) -> Result<(), KeyRefused> {
        let limit = self.exception(key).unwrap_or_else(|| self.common.quota()).max_burst();
        match n <= limit {
            true => Ok(()),
            false => Err(KeyRefused::Refused(Refused::TooMany { asked: n, limit })),
        }
    }

    #[cold]
    fn exception(&self, key: &(impl ToOwned<Owned = K> + ?Sized)) -> Option<Quota> {
        self.exceptions.as_ref().and_then(|exceptions| (exceptions.0)(&key.to_owned()))
    }

    /// Runs `f` on the bucket of a key, which is created if there is none.
    #[inline]
    pub(super) fn with_slot<Q, R>(
        &self,
        key: &Q,
        now: Timestamp,
        f: impl FnOnce(&mut Slot) -> R,
    ) -> Result<R, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let occupancy = move |slot: &mut Slot| self.occupancy(slot, now);
        let make = move || {
            let lane = self.common.lane();
            self.new_slot(key, now, (lane, &self.common.math(lane)))
        };
        self.buckets.with_until(key, now.as_nanos(), make, occupancy, f)
    }

    /// Returns the bucket for a request for no tokens. Changes no plain bucket: a mistaken time
    /// leaves no trace.
    #[cold]
    fn find<Q>(&self, key: &Q, now: Timestamp, by: &mut LaneMath) -> Result<Found, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.with_slot(key, now, |slot| {
            let (math, found) = slot.found(|lane| self.common.lane_math(lane));
            *by = math;
            found
        })
    }

    #[cold]
    fn new_slot(
        &self,
        key: &(impl ToOwned<Owned = K> + ?Sized),
        now: Timestamp,
        common: (LaneIndex, &BucketMath),
    ) -> Slot {
        // ORDERING: Relaxed: if this key's own bucket was evicted, that was under the lock of the
        // key's shard, which is held here, too. Only `balance_at` does not hold it: there an older
        // value makes the answer less exact and is not stored.
        let evicted_at = Timestamp::from_nanos(self.evicted_at.load(Ordering::Relaxed));
        Slot::full_at(common, self.exception(key), evicted_at, now)
    }

    /// Returns a bucket for `n` tokens of a key that found no slot.
    #[cold]
    fn overflow_bucket(
        &self,
        key: &(impl ToOwned<Owned = K> + ?Sized),
        n: u32,
        full: TooManyKeys,
    ) -> Result<(LaneMath, Found), KeyRefused> {
        let common = self.common.quota();
        match (self.overflow, &self.shared_bucket) {
            (Overflow::Refuse, _) => Err(full.into()),
            (Overflow::Shared, Some(shared_bucket)) => {
                // Refuse what the key would not get even with a slot of its own.
                self.check_own(key, n)?;
                // The shared bucket never holds so many tokens, but the key's own would.
                if n > common.max_burst() {
                    Err(full.into())
                } else {
                    Ok((LaneMath::default(), Found::Shared(shared_bucket.clone())))
                }
            }
            (Overflow::Allow | Overflow::Shared, _) => {
                let math = self.exception(key).unwrap_or(common).math();
                Ok((LaneMath::new(&math), Found::Plain(0)))
            }
        }
    }

    /// Returns whether a bucket can be evicted at `now`, or when it can be.
    fn occupancy(&self, slot: &mut Slot, now: Timestamp) -> Occupancy {
        let (occupancy, full_at) = slot.occupancy(&self.common, now);
        if occupancy == Occupancy::Idle {
            // ORDERING: Relaxed: as in `new_slot`; the shard's lock is held here.
            self.evicted_at.fetch_max(full_at.as_nanos(), Ordering::Relaxed);
        }
        occupancy
    }
}

impl<K, C> KeyedLimiter<K, C> {
    /// Returns the number of known keys. A snapshot; some of them may be idle.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Returns whether no key is known. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Returns how many keys can be known at a time.
    pub fn max_keys(&self) -> usize {
        self.buckets.max_keys()
    }

    /// Returns the quota of each key that has no exception.
    pub fn quota(&self) -> Quota {
        self.common.quota()
    }

    /// Returns the limiter's clock.
    pub const fn clock(&self) -> &C {
        &self.shared.clock
    }

    /// Returns the statistics of the limiter, for all keys together. A snapshot.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }
}

impl<K: Hash + Eq, C: Clock> KeyedLimiter<K, C> {
    /// Takes `n` tokens of `key` if they are available and no caller waits for that key. Never
    /// waits.
    ///
    /// # Errors
    ///
    /// [`KeyRefused::Refused`] as for a [`Limiter`](crate::Limiter); [`KeyRefused::TooManyKeys`] if
    /// the key is new, every known key is in use, and the [`Overflow`] has no bucket for the
    /// request. A request for more than the burst takes no slot and needs none.
    #[inline]
    pub fn try_acquire<Q>(&self, key: &Q, n: u32) -> Result<Grant, KeyRefused>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.try_acquire_at(key, n, self.shared.clock.now())
    }

    /// Returns what a request for `key` would get. Takes no tokens and no slot, and counts nothing.
    /// Never waits.
    ///
    /// An unknown key has the balance of a new key that gets a slot.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota};
    ///
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let users = KeyedLimiter::<String>::new(Quota::per_hour(2), max_keys);
    /// assert!(users.try_acquire("ann", 2).is_ok());
    /// assert_eq!(users.balance("ann").remaining(), 0);
    /// assert_eq!(users.balance("bob").remaining(), 2);
    /// assert_eq!((users.len(), users.stats().allowed), (1, 1));
    /// ```
    pub fn balance<Q>(&self, key: &Q) -> Balance
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.balance_at(key, self.shared.clock.now())
    }

    /// Grants nothing to `key` before `time`, as
    /// [`Limiter::penalize_until`](crate::Limiter::penalize_until) does. The key counts as in use
    /// until its bucket is full again after that time.
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
    /// let (quota, clock) = (Quota::per_second(5), ManualClock::new());
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let hosts = KeyedLimiter::<String, _>::with_clock(quota, max_keys, clock);
    /// hosts.penalize_for("slow.example", Duration::from_secs(120)).unwrap();
    /// let refused = hosts.try_acquire("slow.example", 1).unwrap_err();
    /// assert_eq!(refused.retry_after(), Some(Duration::from_secs(120)));
    /// assert!(hosts.try_acquire("fast.example", 1).is_ok());
    /// ```
    pub fn penalize_until<Q>(&self, key: &Q, time: Timestamp) -> Result<(), TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let block = |slot: &mut Slot| slot.block_until(&self.common, time);
        self.with_slot(key, self.shared.clock.now(), block)
    }

    /// Grants nothing to `key` for `duration` from this call; see
    /// [`penalize_until`](Self::penalize_until).
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
    /// [`TooManyKeys`] if the key is new, every known key is in use, and the [`Overflow`] refuses
    /// the key.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_rate_limiter::{Gate, KeyedLimiter, Quota};
    ///
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let hosts = KeyedLimiter::<String>::new(Quota::per_second(5), max_keys);
    /// let gate = hosts.gate("doc.example").unwrap();
    /// assert_eq!(gate.run(|| "7".parse::<u32>()).unwrap(), Ok(7));
    /// assert_eq!(hosts.stats().allowed, 1);
    /// ```
    pub fn gate<Q>(&self, key: &Q) -> Result<KeyGate<'_, C>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        match self.key_ref(key, 1) {
            Ok(key) => Ok(KeyGate { key }),
            Err(KeyRefused::TooManyKeys(full)) => Err(full),
            Err(KeyRefused::Refused(_)) => unreachable!("one token is never above a burst"),
        }
    }

    /// Returns the state from which the key gets `n` tokens: its own, or that of the overflow if
    /// the key finds no slot.
    fn key_ref<Q>(&self, key: &Q, n: u32) -> Result<KeyRef<'_, C>, KeyRefused>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let found = self.with_slot(key, self.shared.clock.now(), |slot| {
            slot.share(|lane| self.common.math(lane))
        });
        let state = match found {
            Ok(state) => state,
            Err(full) => {
                let (math, found) = self.overflow_bucket(key, n, full)?;
                found.into_state(math)
            }
        };
        Ok(StateRef { shared: &self.shared, state })
    }
}

impl<K: Hash + Eq, C: Timer> KeyedLimiter<K, C> {
    /// Waits for `n` tokens of `key`, in the queue behind earlier waiters for the same key.
    ///
    /// The key is looked up in this call, and counts as in use while the future lives.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no trace. The waiters behind it in the queue move up.
    ///
    /// # Errors
    ///
    /// As [`Limiter::acquire`](crate::Limiter::acquire); [`KeyRefused::TooManyKeys`] if the key is
    /// new, every known key is in use, and the [`Overflow`] has no bucket for the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota, Wait};
    ///
    /// let max_keys = NonZeroUsize::new(100).unwrap();
    /// let quota = Quota::every(Duration::from_millis(1));
    /// let hosts = KeyedLimiter::<String>::new(quota, max_keys);
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
        AcquireKey::new(self.check(key, n).and_then(|()| self.key_ref(key, n)), n)
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
