//! A [`Keyed`] of values that callers keep.

use core::hash::{BuildHasher, Hash};

use alloc::borrow::ToOwned;

use equivalent::Equivalent;
use tidegate_core::primitive::Arc;

use crate::keyed::{Keyed, TooManyKeys};

impl<K: Hash + Eq, T, S: BuildHasher> Keyed<K, Arc<T>, S> {
    /// Returns the value of `key`, made by `make` if there is none.
    ///
    /// While the returned `Arc` or a `Weak` of it lives, its entry stays, unless
    /// [`remove`](Self::remove) or [`retain`](Self::retain) takes it out: `is_idle` runs only on
    /// values that no caller holds, and only when a new key finds the registry full.
    ///
    /// `make` and `is_idle` run under a shard's lock: they must be short and must not call the
    /// registry.
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with).
    ///
    /// # Panics
    ///
    /// As `with`.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, sync::atomic::{AtomicU32, Ordering}};
    /// use std::sync::Arc;
    /// use tidegate_concurrent_map::Keyed;
    ///
    /// let visits = Keyed::<u64, Arc<AtomicU32>>::new(NonZeroUsize::MIN);
    /// let of =
    ///     |user: u64| visits.get_or_insert_with(&user, AtomicU32::default, |_| true);
    /// let held = of(7)?;
    /// held.fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(of(7)?.load(Ordering::Relaxed), 1);
    /// assert!(of(8).is_err());
    /// drop(held);
    /// assert_eq!(of(8)?.load(Ordering::Relaxed), 0);
    /// # Ok::<(), tidegate_concurrent_map::TooManyKeys>(())
    /// ```
    pub fn get_or_insert_with<Q>(
        &self,
        key: &Q,
        make: impl FnOnce() -> T,
        is_idle: impl Fn(&T) -> bool,
    ) -> Result<Arc<T>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        // `get_mut` is exact here: if it returns the value, no caller has it, none can get it while
        // the shard is locked, and what earlier holders did is seen.
        let is_idle = |value: &mut Arc<T>| Arc::get_mut(value).is_some_and(|value| is_idle(value));
        self.with(key, || Arc::new(make()), is_idle, |value| value.clone())
    }
}
