//! One key of a limiter in an `Arc` as a gate, whose passes keep the limiter alive.

use core::{fmt, hash::Hash, time::Duration};

use alloc::borrow::ToOwned;

use tidegate_concurrent_map::{Equivalent, TooManyKeys};
use tidegate_core::{Clock, Gate, SystemClock, Timer, Timestamp, primitive::Arc};

use super::{
    bucket::{KeyBucket, KeyState},
    limiter::KeyedLimiter,
};
use crate::{
    gate::{Admission, Admitted, Enter, Entering},
    grant::Refused,
    state::{LimiterRef, StateRef},
};

/// One key of an `Arc<KeyedLimiter>` as a gate that keeps the limiter alive, for tasks and threads;
/// returned by [`KeyedLimiter::gate_owned`]. The key counts as in use while the gate, a clone of it
/// or a pass lives.
///
/// Entering the gate by value returns a pass that owns the gate; entering it by reference, a pass
/// that borrows it.
///
/// # Examples
///
/// ```
/// use std::{num::NonZeroUsize, sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, KeyedLimiter, Quota};
///
/// let max_keys = NonZeroUsize::new(100).unwrap();
/// let hosts = KeyedLimiter::<String>::new(Quota::per_hour(5), max_keys);
/// let hosts = Arc::new(hosts);
/// let gate = hosts.gate_owned("doc.example").unwrap();
/// let thread = thread::spawn(move || gate.run(|| "7".parse::<u32>()));
/// let ran = thread.join().unwrap();
/// assert_eq!(ran.unwrap(), Ok(7));
/// assert_eq!(hosts.balance("doc.example").remaining(), 4);
/// ```
#[must_use = "a gate does nothing until it is entered"]
pub struct OwnedKeyGate<K, C = SystemClock> {
    limiter: Arc<KeyedLimiter<K, C>>,
    bucket: Arc<KeyState>,
}

impl<K: Hash + Eq, C: Clock> KeyedLimiter<K, C> {
    /// Returns the gate of one key that keeps the limiter alive. The key counts as in use while the
    /// gate or a pass lives.
    ///
    /// # Errors
    ///
    /// As [`gate`](Self::gate).
    ///
    /// # Examples
    ///
    /// See [`OwnedKeyGate`].
    #[cfg(target_has_atomic = "ptr")]
    pub fn gate_owned<Q>(self: &Arc<Self>, key: &Q) -> Result<OwnedKeyGate<K, C>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        OwnedKeyGate::of(self, key)
    }
}

impl<K: Hash + Eq, C: Clock> OwnedKeyGate<K, C> {
    /// Returns the gate of a key, and counts the key as in use.
    pub(super) fn of<Q>(limiter: &Arc<KeyedLimiter<K, C>>, key: &Q) -> Result<Self, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let bucket = limiter.gate(key)?.key.state;
        Ok(Self { limiter: limiter.clone(), bucket })
    }
}

impl<K, C> OwnedKeyGate<K, C> {
    /// Grants nothing to this key before `time`; see [`KeyedLimiter::penalize_until`].
    pub fn penalize_until(&self, time: Timestamp) {
        self.state_ref().block_until(time);
    }

    /// Grants nothing to this key for `duration` from this call; see
    /// [`KeyedLimiter::penalize_until`].
    pub fn penalize_for(&self, duration: Duration)
    where
        C: Clock,
    {
        self.penalize_until(self.limiter.shared.clock.deadline_after(duration));
    }
}

impl<K, C> Clone for OwnedKeyGate<K, C> {
    fn clone(&self) -> Self {
        Self { limiter: self.limiter.clone(), bucket: self.bucket.clone() }
    }
}

impl<K, C> LimiterRef for OwnedKeyGate<K, C> {
    type Algorithm = KeyBucket;
    type Clock = C;

    #[inline]
    fn state_ref(&self) -> StateRef<'_, KeyBucket, C> {
        self.limiter.shared.with(&self.bucket)
    }
}

impl<K, C: Timer> Gate for OwnedKeyGate<K, C> {
    type Pass = OwnedKeyAdmission<K, C>;
    type Refused = Refused;
    type Enter = EnterKeyOwned<K, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        Admitted::try_new(self)
    }

    fn enter(self) -> Self::Enter {
        Entering::new(self)
    }
}

impl<'a, K, C: Timer> Gate for &'a OwnedKeyGate<K, C> {
    type Pass = Admission<'a, KeyBucket, C>;
    type Refused = Refused;
    type Enter = Enter<'a, KeyBucket, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        Admitted::try_new(self.state_ref())
    }

    fn enter(self) -> Self::Enter {
        Entering::new(self.state_ref())
    }
}

impl<K, C> fmt::Debug for OwnedKeyGate<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedKeyGate").finish_non_exhaustive()
    }
}

/// An [`Admitted`] that keeps its limiter alive and its key in use, for tasks and threads.
///
/// # Examples
///
/// ```
/// use std::{num::NonZeroUsize, sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, KeyedLimiter, Pass, Quota};
///
/// let quota = Quota::per_hour(1);
/// let hosts = Arc::new(KeyedLimiter::<u32>::new(quota, NonZeroUsize::MIN));
/// let pass = hosts.gate_owned(&7).unwrap().try_enter().unwrap();
/// assert!(hosts.try_acquire(&7, 1).is_err());
/// thread::spawn(move || pass.give_back()).join().unwrap();
/// assert!(hosts.try_acquire(&7, 1).is_ok());
/// ```
pub type OwnedKeyAdmission<K, C> = Admitted<OwnedKeyGate<K, C>>;

/// Future of [`Gate::enter`] of an [`OwnedKeyGate`].
pub type EnterKeyOwned<K, C> = Entering<OwnedKeyGate<K, C>>;
