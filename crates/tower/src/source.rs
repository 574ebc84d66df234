//! Where a layer gets the gate of a request from.

use tidegate_core::Gate;

/// Has the gate of each request: a gate itself, which is the same for all, or a
/// [keyed](crate::GateLayer::keyed) one.
pub trait GateSource<Req> {
    /// The gate.
    type Gate: Gate;

    /// Why a request is turned away.
    type Refused;

    /// Returns the gate of `request`.
    ///
    /// # Errors
    ///
    /// It has none.
    fn gate(&self, request: &Req) -> Result<Self::Gate, Self::Refused>;

    /// Translates a refusal of the gate.
    fn refused(refused: <Self::Gate as Gate>::Refused) -> Self::Refused;
}

impl<Req, G: Gate + Clone> GateSource<Req> for G {
    type Gate = G;
    type Refused = G::Refused;

    #[inline]
    fn gate(&self, _: &Req) -> Result<G, G::Refused> {
        Ok(self.clone())
    }

    fn refused(refused: G::Refused) -> G::Refused {
        refused
    }
}
