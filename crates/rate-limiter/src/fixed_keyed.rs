//! Limiters for any number of keys in fixed memory.

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
    algorithm::{Ask, Denied},
    balance::Balance,
    gcra::Gcra,
    grant::{Grant, Refused},
    quota::Quota,
    stats::{Count, Counters, Stats},
};

/// The same quota for each of any number of keys, in `N` cells of 8 bytes, whatever comes.
///
/// A key is hashed to a cell, and the cell is a token bucket. Keys are not stored, so nothing grows, nothing is evicted,
/// no lock is taken, and who makes up keys gains nothing. The price is that two keys may fall into one cell and then share
/// its tokens: a request may be refused for what another key has done. A cell never grants more than its quota, so no key
/// gets more than its own. With `k` keys in use a key shares its cell with a probability of about `k / N`.
///
/// The cells are on the heap, all zero and made one by one: neither a limiter of a million cells nor moving it into a `Box` or an
/// `Arc` needs the stack for them. For a static without a heap there are [`FixedCells`].
///
/// Nobody can wait here. Use a [`KeyedLimiter`](crate::KeyedLimiter) for waits, penalties, quotas per key, and where
/// no key may suffer for another.
///
/// The default hasher has a random key with std, so that nobody can look for keys that fall together; without std, give
/// one of your own to [`with_hasher`](Self::with_hasher).
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{FixedKeyed, Quota};
///
/// // 8 MiB, for the whole internet.
/// let clients = FixedKeyed::<1_048_576>::new(Quota::per_minute(2)?);
/// assert!(clients.try_acquire("203.0.113.9", 2).is_ok());
/// assert!(clients.try_acquire("203.0.113.9", 1).unwrap_err().retry_after().is_some());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub struct FixedKeyed<const N: usize, C = SystemClock, S = DefaultHashBuilder> {
    cells: Cells<N>,
    quota: Quota,
    clock: C,
    hasher: S,
    counters: Counters,
}

impl<const N: usize> FixedKeyed<N> {
    /// Creates a limiter with full buckets that reads the system's clock.
    pub fn new(quota: Quota) -> Self {
        Self::with_clock(quota, SystemClock)
    }
}

impl<const N: usize, C> FixedKeyed<N, C> {
    /// Creates a limiter with full buckets that reads `clock`.
    pub fn with_clock(quota: Quota, clock: C) -> Self {
        Self::with_hasher(quota, clock, DefaultHashBuilder::default())
    }
}

impl<const N: usize, C, S> FixedKeyed<N, C, S> {
    /// Creates a limiter with full buckets that reads `clock` and hashes keys by `hasher`.
    ///
    /// `N = 0` does not compile.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{hash::RandomState, sync::LazyLock};
    /// use tidegate_rate_limiter::{FixedKeyed, Quota, SystemClock};
    ///
    /// static PORTS: LazyLock<FixedKeyed<256, SystemClock, RandomState>> = LazyLock::new(|| {
    ///     FixedKeyed::with_hasher(Quota::expect(Quota::per_hour(1)), SystemClock, RandomState::new())
    /// });
    /// assert!(PORTS.try_acquire(&80, 1).is_ok());
    /// assert!(PORTS.try_acquire(&80, 1).is_err());
    /// ```
    pub fn with_hasher(quota: Quota, clock: C, hasher: S) -> Self {
        const { assert!(N > 0, "no cells") };
        Self { cells: Cells::new(), quota, clock, hasher, counters: Counters::new() }
    }

    const_fn! {
        /// Creates a limiter over `cells`, which are in a static, that reads `clock` and hashes keys by `hasher`. Does not
        /// allocate.
        ///
        /// The cells are taken as they are. Two limiters over the same cells share their tokens; they must have the same
        /// quota and the same clock.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::hash::{BuildHasherDefault, DefaultHasher};
        /// use tidegate_rate_limiter::{FixedCells, FixedKeyed, Quota, SystemClock};
        ///
        /// static CELLS: FixedCells<1_048_576> = FixedCells::new();
        /// static PORTS: FixedKeyed<1_048_576, SystemClock, BuildHasherDefault<DefaultHasher>> =
        ///     FixedKeyed::in_static(
        ///         &CELLS,
        ///         Quota::expect(Quota::per_hour(1)),
        ///         SystemClock,
        ///         BuildHasherDefault::new(),
        ///     );
        /// assert!(PORTS.try_acquire(&80, 1).is_ok());
        /// assert!(PORTS.try_acquire(&80, 1).is_err());
        /// ```
        pub fn in_static(cells: &'static FixedCells<N>, quota: Quota, clock: C, hasher: S) -> Self {
            Self { cells: Cells::Static(cells), quota, clock, hasher, counters: Counters::new() }
        }
    }

    /// Returns the quota of each cell.
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns what the limiter has done so far, for all keys together. A snapshot.
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }
}

impl<const N: usize, C, S: BuildHasher> FixedKeyed<N, C, S> {
    /// The same as [`try_acquire`](Self::try_acquire) at a given time.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    pub fn try_acquire_at<K>(&self, key: &K, n: u32, now: Timestamp) -> Result<Grant, Refused>
    where
        K: Hash + ?Sized,
    {
        let cell = self.cell(key);
        cell.take(&self.quota, Ask::exactly(n), now)
            .inspect(|_| self.counters.add(Count::Allowed, 1))
            .map_err(|denied| {
                let denied = denied.timed(|| self.quota.max_burst());
                let refused = Refused::denied(denied, n, now);
                if !refused.is_too_many() {
                    self.counters.add(Count::Refused, 1);
                }
                refused
            })
    }

    /// The same as [`balance`](Self::balance) at a given time.
    pub fn balance_at<K: Hash + ?Sized>(&self, key: &K, now: Timestamp) -> Balance {
        let cell = self.cell(key);
        Balance::look(self.quota.max_burst(), 0, now, |n| {
            match cell.behind(&self.quota, Ask::exactly(n), 0, now) {
                Denied::Until(due) => due.ready_at,
                _ => Timestamp::NEVER,
            }
        })
    }

    /// Gives `n` tokens of `key` back, as [`Limiter::refund`](crate::Limiter::refund) does.
    pub fn refund<K: Hash + ?Sized>(&self, key: &K, n: u32) {
        self.cell(key).give_back(&self.quota, n);
    }

    fn cell<K: Hash + ?Sized>(&self, key: &K) -> Gcra<&AtomicU64> {
        // The hash as a fraction of all hashes, times the number of cells (Lemire, "Fast random integer generation in an
        // interval", 2019): below N.
        let index = (u128::from(self.hasher.hash_one(key)) * N as u128) >> 64;
        Gcra::of(&self.cells.words()[usize::try_from(index).unwrap_or(0)])
    }
}

impl<const N: usize, C: Clock, S: BuildHasher> FixedKeyed<N, C, S> {
    /// Takes `n` tokens of `key` if they are there. Never waits.
    ///
    /// # Errors
    ///
    /// As [`Limiter::try_acquire`](crate::Limiter::try_acquire).
    pub fn try_acquire<K: Hash + ?Sized>(&self, key: &K, n: u32) -> Result<Grant, Refused> {
        self.try_acquire_at(key, n, self.clock.now())
    }

    /// Looks at what is there for `key`, without a request: nothing is taken, and nothing is counted. Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{FixedKeyed, Quota};
    ///
    /// let clients = FixedKeyed::<8192>::new(Quota::per_hour(2)?);
    /// assert!(clients.try_acquire("203.0.113.9", 2).is_ok());
    /// assert_eq!(clients.balance("203.0.113.9").remaining(), 0);
    /// assert!(clients.balance("203.0.113.9").retry_after_secs() > 1700);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn balance<K: Hash + ?Sized>(&self, key: &K) -> Balance {
        self.balance_at(key, self.clock.now())
    }
}

impl<const N: usize, C, S> fmt::Debug for FixedKeyed<N, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedKeyed")
            .field("cells", &N)
            .field("quota", &self.quota)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
