//! What a breaker may be doing.

use core::fmt;

/// What a [`Breaker`](crate::Breaker) does with those who come.
///
/// ```text
///            trip                    open time over, somebody comes
///  Closed ─────────▶ Open ─────────────────────────────────▶ HalfOpen
///    ▲                ▲               a probe fails             │
///    │                └─────────────────────────────────────────┤
///    └──────────────────────────────────────────────────────────┘
///                      enough probes succeed
/// ```
///
/// The other three are left only by a call of `reset`, `force_open`, `force_closed` or `observe_only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Lets everybody through and watches how it goes.
    Closed,
    /// Refuses everybody until its open time is over.
    ///
    /// A breaker whose open time is over still says `Open` until the next caller comes and becomes its first probe.
    Open,
    /// Lets a few probes through and decides by them.
    HalfOpen,
    /// Refuses everybody until told otherwise.
    ForcedOpen,
    /// Lets everybody through and never trips.
    ForcedClosed,
    /// Lets everybody through and reports trips without acting on them.
    ObserveOnly,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
            Self::ObserveOnly => "observe-only",
        })
    }
}
