//! A limiter for any number of keys in fixed memory.

mod cells;

use core::{
    fmt,
    hash::{BuildHasher, Hash},
};

use tidegate_concurrent_map::DefaultHashBuilder;
use tidegate_core::{Clock, SystemClock, Timestamp, const_fn, primitive::atomic::AtomicU64};

use self::cells::Cells;
pub use self::cells::FixedCells;

use crate::{
    balance::Balance,
    gcra::Gcra,
    grant::{Grant, Refused, Request},
    keyed::KeyBucket,
    quota::Quota,
    state::Shared,
    stats::Stats,
};

/// The same quota for each of any number of keys, in `N` cells of 8 bytes.
///
/// A key is hashed to a cell, and each cell is a token bucket. Keys are not stored, so nothing
/// grows or is evicted, no lock is taken, and a client that makes up keys gains nothing. The price
/// is that two keys may share a cell and its tokens: a request may be refused because another key
/// has taken the tokens. A cell never grants more than its quota, so no key gets more than its own.
/// With `k` keys in use, a key shares its cell with a probability of about `k / N`.
///
/// The cells are on the heap, and never on the stack, not even while a limiter of a million cells
/// is created or moved into a `Box` or an `Arc`. For a static without a heap, use [`FixedCells`].
///
/// Callers cannot wait for these tokens. Use a [`KeyedLimiter`](crate::KeyedLimiter) for waits,
/// penalties, quotas per key, and if no key may suffer from another.
///
/// With std, the default hasher has a random key, so that clients cannot search for keys that share
/// a cell. Without std, pass such a hasher to [`with_hasher`](Self::with_hasher).
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{FixedKeyedLimiter, Quota};
///
/// // 8 MiB, for the whole internet.
/// let clients = FixedKeyedLimiter::<1_048_576>::new(Quota::per_minute(2));
/// assert!(clients.try_acquire("203.0.113.9", 2).is_ok());
/// let refused = clients.try_acquire("203.0.113.9", 1).unwrap_err();
/// assert!(refused.retry_after().is_some());
/// ```
pub struct FixedKeyedLimiter<const N: usize, C = SystemClock, S = DefaultHashBuilder> {
    cells: Cells<N>,
    hasher: S,
    quota: Quota,
    shared: Shared<KeyBucket, C>,
}

impl<const N: usize> FixedKeyedLimiter<N> {
    /// Creates a limiter with full buckets that reads the system's clock.
    pub fn new(quota: Quota) -> Self {
        Self::with_clock(quota, SystemClock)
    }
}

impl<const N: usize, C> FixedKeyedLimiter<N, C> {
    /// Creates a limiter with full buckets that reads `clock`.
    pub fn with_clock(quota: Quota, clock: C) -> Self {
        Self::with_hasher(quota, clock, DefaultHashBuilder::default())
    }
}

impl<const N: usize, C, S> FixedKeyedLimiter<N, C, S> {
    /// Creates a limiter with full buckets that reads `clock` and hashes keys by `hasher`.
    ///
    /// `N = 0` does not compile.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{hash::RandomState, sync::LazyLock};
    /// use tidegate_rate_limiter::{FixedKeyedLimiter, Quota, SystemClock};
    ///
    /// const QUOTA: Quota = Quota::per_hour(1);
    /// static PORTS: LazyLock<FixedKeyedLimiter<256, SystemClock, RandomState>> =
    ///     LazyLock::new(|| {
    ///         FixedKeyedLimiter::with_hasher(QUOTA, SystemClock, RandomState::new())
    ///     });
    /// assert!(PORTS.try_acquire(&80, 1).is_ok());
    /// assert!(PORTS.try_acquire(&80, 1).is_err());
    /// ```
    pub fn with_hasher(quota: Quota, clock: C, hasher: S) -> Self {
        const { assert!(N > 0, "no cells") };
        Self { cells: Cells::new(), hasher, quota, shared: Shared::new((), clock) }
    }

    const_fn! {
        /// Creates a limiter over `cells`, which lie in a static. It reads `clock` and hashes keys
        /// by `hasher`. Does not allocate.
        ///
        /// The cells keep what they contain. Two limiters over the same cells share their tokens
        /// and must have the same quota and clock.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::hash::{BuildHasherDefault, DefaultHasher};
        /// use tidegate_rate_limiter::{FixedCells, FixedKeyedLimiter, Quota, SystemClock};
        ///
        /// const QUOTA: Quota = Quota::per_hour(1);
        /// type Hasher = BuildHasherDefault<DefaultHasher>;
        /// static CELLS: FixedCells<1024> = FixedCells::new();
        /// static PORTS: FixedKeyedLimiter<1024, SystemClock, Hasher> =
        ///     FixedKeyedLimiter::in_static(&CELLS, QUOTA, SystemClock, Hasher::new());
        /// assert!(PORTS.try_acquire(&80, 1).is_ok());
        /// assert!(PORTS.try_acquire(&80, 1).is_err());
        /// ```
        pub fn in_static(cells: &'static FixedCells<N>, quota: Quota, clock: C, hasher: S) -> Self {
            Self { cells: Cells::Static(cells), hasher, quota, shared: Shared::new((), clock) }
        }
    }

    /// Returns the quota of each cell.
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns the statistics of the limiter, for all keys together. A snapshot.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }
}

impl<const N: usize, C, S: BuildHasher> FixedKeyedLimiter<N, C, S> {
    /// Does the same as [`try_acquire`](Self::try_acquire) at a given time.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    pub fn try_acquire_at<K>(&self, key: &K, n: u32, now: Timestamp) -> Result<Grant, Refused>
    where
        K: Hash + ?Sized,
    {
        let request = Request::exactly(n);
        let taken = self.cell(key).take(&self.quota, request, now);
        self.shared.counted(request, taken, now)
    }

    /// Does the same as [`balance`](Self::balance) at a given time.
    pub fn balance_at<K: Hash + ?Sized>(&self, key: &K, now: Timestamp) -> Balance {
        let (cell, quota) = (self.cell(key), &self.quota);
        let deny = |request| cell.deny_behind(quota, request, 0, now);
        Balance::search(quota.max_burst(), 0, now, deny)
    }

    /// Refunds `n` tokens of `key`, as [`Limiter::refund`](crate::Limiter::refund) does.
    pub fn refund<K: Hash + ?Sized>(&self, key: &K, n: u32) {
        self.cell(key).refund(&self.quota, n);
    }

    fn cell<K: Hash + ?Sized>(&self, key: &K) -> Gcra<&AtomicU64> {
        // Takes the hash as a fraction of all hashes, times N (Lemire, "Fast random integer
        // generation in an interval", 2019), so the index is below N.
        let index = (u128::from(self.hasher.hash_one(key)) * N as u128) >> 64;
        Gcra::of(&self.cells.words()[usize::try_from(index).unwrap_or(0)])
    }
}

impl<const N: usize, C: Clock, S: BuildHasher> FixedKeyedLimiter<N, C, S> {
    /// Takes `n` tokens of `key` if they are available. Never waits.
    ///
    /// # Errors
    ///
    /// As [`Limiter::try_acquire`](crate::Limiter::try_acquire).
    pub fn try_acquire<K: Hash + ?Sized>(&self, key: &K, n: u32) -> Result<Grant, Refused> {
        self.try_acquire_at(key, n, self.shared.clock.now())
    }

    /// Returns what a request for `key` would get, takes no tokens and counts nothing. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{FixedKeyedLimiter, Quota};
    ///
    /// let clients = FixedKeyedLimiter::<8192>::new(Quota::per_hour(2));
    /// assert!(clients.try_acquire("203.0.113.9", 2).is_ok());
    /// assert_eq!(clients.balance("203.0.113.9").remaining(), 0);
    /// assert!(clients.balance("203.0.113.9").retry_after_secs() > 1700);
    /// ```
    pub fn balance<K: Hash + ?Sized>(&self, key: &K) -> Balance {
        self.balance_at(key, self.shared.clock.now())
    }
}

impl<const N: usize, C, S> fmt::Debug for FixedKeyedLimiter<N, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedKeyedLimiter")
            .field("cells", &N)
            .field("quota", &self.quota())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
