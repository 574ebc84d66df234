//! A service behind a gate of each key: a rate limit per client, a circuit breaker per server.

use core::{fmt, hash::Hash};

use tidegate_core::primitive::Arc;

use tidegate_circuit_breaker::{KeyedBreaker, Observer, OwnedFailFast, TooManyKeys};
use tidegate_core::{Clock, Gate, Timer};
use tidegate_rate_limiter::{KeyRefused, KeyedLimiter, LookupGate, Refused};

use crate::source::GateSource;

/// Finds the key of a request: who sent it, or where it goes.
///
/// Every `Fn(&Request) -> Option<Key>` does.
pub trait KeyOf<Req> {
    /// The key.
    type Key;

    /// Returns the key of `request`; `None` if it has none, and must be refused.
    fn key_of(&self, request: &Req) -> Option<Self::Key>;
}

impl<Req, K, F: Fn(&Req) -> Option<K>> KeyOf<Req> for F {
    type Key = K;

    fn key_of(&self, request: &Req) -> Option<K> {
        self(request)
    }
}

/// Has a gate for each key, and a bound on the number of keys.
pub trait KeyedGate<K> {
    /// The gate of one key.
    type Gate: Gate;

    /// Why the gate of one key refuses.
    type Refused;

    /// Returns the gate of `key`.
    ///
    /// # Errors
    ///
    /// There are as many keys as allowed, and all are in use.
    fn gate_of(&self, key: K) -> Result<Self::Gate, TooManyKeys>;

    /// Translates a refusal of the gate, which may find only when it is entered that there are as
    /// many keys as may be.
    fn refused(refused: <Self::Gate as Gate>::Refused) -> KeyedRefused<Self::Refused>;
}

/// Looks a key up when the call enters.
impl<K, C> KeyedGate<K> for Arc<KeyedLimiter<K, C>>
where
    K: Hash + Eq + Clone,
    C: Timer,
{
    type Gate = LookupGate<K, C>;
    type Refused = Refused;

    #[inline]
    fn gate_of(&self, key: K) -> Result<Self::Gate, TooManyKeys> {
        Ok(self.lookup_gate(key))
    }

    fn refused(refused: KeyRefused) -> KeyedRefused<Refused> {
        match refused {
            KeyRefused::Refused(refused) => KeyedRefused::Refused(refused),
            _ => KeyedRefused::TooManyKeys,
        }
    }
}

/// Refuses at once while a server's breaker is open.
impl<K, C, O, J> KeyedGate<K> for Arc<KeyedBreaker<K, C, O, J>>
where
    K: Hash + Eq + Clone,
    C: Clock,
    O: Observer,
{
    type Gate = OwnedFailFast<C, O, J>;
    type Refused = <Self::Gate as Gate>::Refused;

    fn gate_of(&self, key: K) -> Result<Self::Gate, TooManyKeys> {
        self.fail_fast(&key)
    }

    fn refused(refused: Self::Refused) -> KeyedRefused<Self::Refused> {
        KeyedRefused::Refused(refused)
    }
}

/// Why a keyed gate refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyedRefused<R> {
    /// The request has no key.
    NoKey,
    /// Its key is new, and there are as many keys as allowed.
    TooManyKeys,
    /// The gate of its key refused.
    Refused(R),
}

impl<R: fmt::Display> fmt::Display for KeyedRefused<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("the request has no key"),
            Self::TooManyKeys => f.write_str("too many keys"),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl<R: core::error::Error + 'static> core::error::Error for KeyedRefused<R> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its message is this one's.
            Self::Refused(refused) => refused.source(),
            Self::NoKey | Self::TooManyKeys => None,
        }
    }
}

/// A gate for each key of the requests: [`GateLayer::keyed`](crate::GateLayer::keyed).
#[derive(Debug, Clone, Copy)]
pub struct GateByKey<G, F> {
    pub(crate) gates: G,
    pub(crate) key: F,
}

impl<Req, G: KeyedGate<F::Key>, F: KeyOf<Req>> GateSource<Req> for GateByKey<G, F> {
    type Gate = G::Gate;
    type Refused = KeyedRefused<G::Refused>;

    #[inline]
    fn gate(&self, request: &Req) -> Result<Self::Gate, Self::Refused> {
        let key = self.key.key_of(request).ok_or(KeyedRefused::NoKey)?;
        self.gates.gate_of(key).map_err(|TooManyKeys { .. }| KeyedRefused::TooManyKeys)
    }

    fn refused(refused: <G::Gate as Gate>::Refused) -> Self::Refused {
        G::refused(refused)
    }
}
