//! One key of a limiter in an `Arc`, looked up when its gate is entered.

use core::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{
    Clock, Gate, Outcome, Pass, SystemClock, Timer, gate::SettleBy, primitive::Arc,
};

use super::{
    common_quota::LaneMath,
    limiter::KeyedLimiter,
    owned::{EnterKeyOwned, OwnedKeyGate},
    refused::KeyRefused,
    slot::Slot,
};
use crate::{gate::Entering, grant::Grant, stats::Counter};

/// One key of an `Arc<KeyedLimiter>` as a gate that looks its key up when it is entered; returned
/// by [`KeyedLimiter::lookup_gate`]. Neither it nor its passes keep the key in use.
///
/// For a gate that is entered once, as for each request of a client: it costs what
/// [`try_acquire`](KeyedLimiter::try_acquire) does, and makes no state for the key unless a caller
/// has to wait. An [`OwnedKeyGate`](crate::OwnedKeyGate) is looked up once and entered often.
///
/// # Examples
///
/// ```
/// use std::{num::NonZeroUsize, sync::Arc};
/// use tidegate_rate_limiter::{Gate, KeyedLimiter, Pass, Quota};
///
/// let max_keys = NonZeroUsize::new(100).unwrap();
/// let clients = Arc::new(KeyedLimiter::<u32>::new(Quota::per_hour(1), max_keys));
/// let pass = clients.lookup_gate(7).try_enter().unwrap();
/// assert!(clients.lookup_gate(7).try_enter().is_err());
/// pass.give_back();
/// assert!(clients.lookup_gate(7).try_enter().is_ok());
/// ```
#[must_use = "a gate does nothing until it is entered"]
pub struct LookupGate<K, C = SystemClock> {
    limiter: Arc<KeyedLimiter<K, C>>,
    key: K,
}

impl<K, C> KeyedLimiter<K, C> {
    /// Returns the gate of `key` that looks the key up when it is entered.
    ///
    /// # Examples
    ///
    /// See [`LookupGate`].
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    pub fn lookup_gate(self: &Arc<Self>, key: K) -> LookupGate<K, C> {
        LookupGate { limiter: self.clone(), key }
    }
}

impl<K: Hash + Eq + Clone, C: Clock> KeyedLimiter<K, C> {
    /// Takes one token of a key if its bucket has no holder, and a token; else takes nothing, or a
    /// slot at most.
    #[inline]
    fn take_plain(&self, key: &K) -> Option<Grant> {
        let now = self.shared.clock.now();
        let mut by = LaneMath::default();
        let math = |lane| {
            by = self.common.lane_math(lane);
            by.math()
        };
        let next = self.with_slot(key, now, move |slot| slot.take(math, 1, now)).ok()?.ok()?;
        self.shared.counters.add(Counter::Allowed, 1);
        Some(by.math().granted(next, 1, now))
    }

    /// Refunds the tokens of `grant` to a key that is known, except those that time has refilled
    /// since.
    fn refund_grant(&self, key: &K, grant: &Grant) {
        let share = |slot: &mut Slot| slot.share(|lane| self.common.math(lane));
        if let Some(state) = self.buckets.get_with(key, share) {
            let now = || self.shared.clock.now();
            self.shared.with(&state).refund_grant(grant, grant.tokens, now);
        }
    }
}

impl<K: Clone, C> Clone for LookupGate<K, C> {
    fn clone(&self) -> Self {
        Self { limiter: self.limiter.clone(), key: self.key.clone() }
    }
}

impl<K: Hash + Eq + Clone, C: Timer> Gate for LookupGate<K, C> {
    type Pass = LookupAdmission<K, C>;
    type Refused = KeyRefused;
    type Enter = EnterLookup<K, C>;

    #[inline]
    fn try_enter(self) -> Result<Self::Pass, KeyRefused> {
        let grant = self.limiter.try_acquire(&self.key, 1)?;
        Ok(LookupAdmission { gate: self, grant })
    }

    #[inline]
    fn enter(self) -> Self::Enter {
        EnterLookup { gate: Some(self), entering: None }
    }
}

impl<K, C> fmt::Debug for LookupGate<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupGate").finish_non_exhaustive()
    }
}

/// The right to act once, for one token of a key that was looked up: as an
/// [`Admitted`](crate::Admitted), but it does not keep the key in use.
///
/// [`give_back`](Pass::give_back) refunds the token to the key's own bucket. A key that is not
/// known any more has a full one; a key that had no slot, because all were in use, gets nothing
/// back.
#[must_use = "dropping it leaves the token spent"]
pub struct LookupAdmission<K, C = SystemClock> {
    gate: LookupGate<K, C>,
    grant: Grant,
}

impl<K, C> LookupAdmission<K, C> {
    /// Returns the grant of the token, which says what was left after it was taken.
    pub const fn grant(&self) -> Grant {
        self.grant
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Pass for LookupAdmission<K, C> {
    type Refused = KeyRefused;

    #[inline]
    fn settle(self, _outcome: Outcome) {}

    fn give_back(self) {
        self.gate.limiter.refund_grant(&self.gate.key, &self.grant);
    }
}

/// Takes results of every type: the token stays spent, whatever the result is.
impl<T: ?Sized, K: Hash + Eq + Clone, C: Clock> SettleBy<T> for LookupAdmission<K, C> {
    #[inline]
    fn outcome(&self, _result: &T) -> Outcome {
        Outcome::Success
    }

    #[inline]
    fn settle_by(self, _result: &T) {
        // Taken apart, so that the compiler does not move the grant for it.
        let Self { gate: LookupGate { limiter: _limiter, key: _key }, .. } = self;
    }
}

impl<K, C> fmt::Debug for LookupAdmission<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LookupAdmission").field(&self.grant).finish()
    }
}

pin_project! {
    /// Future of [`Gate::enter`] of a [`LookupGate`]: looks the key up when it is first polled. The
    /// key counts as in use while the future waits.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterLookup<K, C>
    where
        C: Timer,
    {
        // `None` once the future was ready.
        gate: Option<LookupGate<K, C>>,
        // `Some` while it waits.
        #[pin]
        entering: Option<EnterKeyOwned<K, C>>,
    }
}

impl<K: Hash + Eq + Clone, C: Timer> Future for EnterLookup<K, C> {
    type Output = Result<LookupAdmission<K, C>, KeyRefused>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let LookupGate { limiter, key } = this.gate.as_ref().expect("polled after it was ready");
        if this.entering.is_none() {
            if let Some(grant) = limiter.take_plain(key) {
                let admission = this.gate.take().map(|gate| LookupAdmission { gate, grant });
                return Poll::Ready(Ok(admission.expect("it was there")));
            }
            match OwnedKeyGate::of(limiter, key) {
                Ok(gate) => this.entering.set(Some(Entering::new(gate))),
                Err(full) => {
                    *this.gate = None;
                    return Poll::Ready(Err(full.into()));
                }
            }
        }
        let entering = this.entering.as_mut().as_pin_mut().expect("it was made");
        let entered = ready!(entering.poll(cx));
        this.entering.set(None);
        let gate = this.gate.take().expect("it was there");
        Poll::Ready(match entered {
            Ok(admitted) => Ok(LookupAdmission { gate, grant: admitted.grant() }),
            Err(refused) => Err(KeyRefused::Refused(refused)),
        })
    }
}

impl<K, C: Timer> fmt::Debug for EnterLookup<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = self.entering.is_some();
        f.debug_struct("EnterLookup").field("waits", &waits).finish_non_exhaustive()
    }
}
