//! One key of a limiter in an `Arc` as a gate, whose passes keep the limiter alive.

use core::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use alloc::borrow::ToOwned;

use pin_project_lite::pin_project;
use tidegate_concurrent_map::{Equivalent, TooManyKeys};
use tidegate_core::{Clock, Gate, Outcome, Pass, SystemClock, Timer, Timestamp, primitive::Arc};

use super::{
    bucket::{KeyBucket, KeyState},
    limiter::KeyedLimiter,
};
use crate::{
    acquire::Waiting,
    gate::{Admission, Enter},
    grant::{Grant, Refused, Request},
    state::{LimiterRef, Shared, StateRef},
};

/// One key of an `Arc<KeyedLimiter>` as a gate that keeps the limiter alive, for tasks and threads;
/// returned by [`KeyedLimiter::gate_owned`]. The key counts as in use while the gate, a clone of it
/// or a pass lives.
///
/// Entered by value, it returns passes that own it; by reference, passes that borrow it.
///
/// # Examples
///
/// ```
/// use std::{num::NonZeroUsize, sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, KeyedLimiter, Quota};
///
/// let max_keys = NonZeroUsize::new(100).unwrap();
/// let hosts = KeyedLimiter::<String>::new(Quota::per_hour(5)?, max_keys);
/// let hosts = Arc::new(hosts);
/// let gate = hosts.gate_owned("doc.example").unwrap();
/// let thread = thread::spawn(move || gate.run(|| "7".parse::<u32>()));
/// let ran = thread.join().unwrap();
/// assert_eq!(ran.unwrap(), Ok(7));
/// assert_eq!(hosts.balance("doc.example").remaining(), 4);
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
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
        let bucket = self.gate(key)?.key.state;
        Ok(OwnedKeyGate { limiter: self.clone(), bucket })
    }
}

impl<K, C> OwnedKeyGate<K, C> {
    /// Grants nothing to this key before `time`; see [`KeyedLimiter::penalize_until`].
    pub fn penalize_until(&self, time: Timestamp) {
        self.limiter.shared.block_until(&self.bucket, time);
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
    fn shared(&self) -> &Shared<KeyBucket, C> {
        &self.limiter.shared
    }

    #[inline]
    fn state(&self) -> &KeyState {
        &self.bucket
    }
}

impl<K, C: Timer> Gate for OwnedKeyGate<K, C> {
    type Pass = OwnedKeyAdmission<K, C>;
    type Refused = Refused;
    type Enter = EnterKeyOwned<K, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        let shared = &self.limiter.shared;
        let grant = shared.try_acquire_at(&self.bucket, Request::exactly(1), shared.clock.now())?;
        Ok(OwnedKeyAdmission { gate: self, grant })
    }

    fn enter(self) -> Self::Enter {
        EnterKeyOwned { waiting: Waiting::new(self, Request::exactly(1)) }
    }
}

impl<'a, K, C: Timer> Gate for &'a OwnedKeyGate<K, C> {
    type Pass = Admission<'a, KeyBucket, C>;
    type Refused = Refused;
    type Enter = Enter<'a, KeyBucket, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        Admission::try_new(StateRef { shared: self.shared(), state: self.state() })
    }

    fn enter(self) -> Self::Enter {
        Enter::new(StateRef { shared: self.shared(), state: self.state() })
    }
}

impl<K, C> fmt::Debug for OwnedKeyGate<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedKeyGate").finish_non_exhaustive()
    }
}

/// The right to act once: an [`Admission`] that keeps its limiter alive and its key in use, for
/// tasks and threads.
///
/// # Examples
///
/// ```
/// use std::{num::NonZeroUsize, sync::Arc, thread};
/// use tidegate_rate_limiter::{Gate, KeyedLimiter, Pass, Quota};
///
/// let quota = Quota::per_hour(1)?;
/// let hosts = Arc::new(KeyedLimiter::<u32>::new(quota, NonZeroUsize::MIN));
/// let pass = hosts.gate_owned(&7).unwrap().try_enter().unwrap();
/// assert!(hosts.try_acquire(&7, 1).is_err());
/// thread::spawn(move || pass.give_back()).join().unwrap();
/// assert!(hosts.try_acquire(&7, 1).is_ok());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[must_use = "dropping it leaves the token spent"]
pub struct OwnedKeyAdmission<K, C> {
    gate: OwnedKeyGate<K, C>,
    grant: Grant,
}

impl<K, C> OwnedKeyAdmission<K, C> {
    /// Returns what was left after the token was taken.
    pub const fn grant(&self) -> Grant {
        self.grant
    }

    /// Settles the pass by the cost of the act; see [`Admission::cost`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{num::NonZeroUsize, sync::Arc};
    /// use tidegate_rate_limiter::{Gate, KeyedLimiter, Quota};
    ///
    /// let quota = Quota::per_hour(10)?;
    /// let hosts = Arc::new(KeyedLimiter::<u32>::new(quota, NonZeroUsize::MIN));
    /// hosts.gate_owned(&7).unwrap().try_enter().unwrap().cost(7);
    /// assert_eq!(hosts.balance(&7).remaining(), 3);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn cost(self, tokens: u32)
    where
        C: Clock,
    {
        let shared = &self.gate.limiter.shared;
        shared.adjust(&self.gate.bucket, &self.grant, tokens, || shared.clock.now());
    }
}

impl<K, C: Clock> Pass for OwnedKeyAdmission<K, C> {
    type Refused = Refused;

    fn settle(self, _outcome: Outcome) {}

    fn give_back(self) {
        self.cost(0);
    }
}

impl<K, C> fmt::Debug for OwnedKeyAdmission<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedKeyAdmission").field(&self.grant).finish()
    }
}

pin_project! {
    /// Future of [`Gate::enter`] of an [`OwnedKeyGate`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterKeyOwned<K, C>
    where
        C: Timer,
    {
        #[pin]
        waiting: Waiting<OwnedKeyGate<K, C>>,
    }
}

impl<K, C: Timer> Future for EnterKeyOwned<K, C> {
    type Output = Result<OwnedKeyAdmission<K, C>, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waiting = self.project().waiting;
        let polled = waiting.as_mut().poll(cx);
        polled.map_ok(|grant| OwnedKeyAdmission { gate: waiting.limiter().clone(), grant })
    }
}

impl<K, C: Timer> fmt::Debug for EnterKeyOwned<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnterKeyOwned").field(&self.waiting).finish()
    }
}
