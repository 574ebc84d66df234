//! The states of a breaker.

use core::fmt;

/// What a [`Breaker`](crate::Breaker) does with calls.
///
/// ```text
///            trip                    open time over, a call comes
///  Closed ─────────▶ Open ─────────────────────────────────▶ HalfOpen
///    ▲                ▲               a probe fails             │
///    │                └─────────────────────────────────────────┤
///    └──────────────────────────────────────────────────────────┘
///                      enough probes succeed
/// ```
///
/// A breaker leaves the other three states only by a call of `reset`, `force_open`, `force_closed`
/// or `observe_only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum State {
    /// Lets every call through and counts outcomes.
    Closed,
    /// Refuses every call until its open time is over.
    ///
    /// A breaker whose open time is over still says `Open` until the next caller comes and becomes
    /// its first probe.
    Open,
    /// Lets a few probes through and decides by them.
    HalfOpen,
    /// Refuses every call until another state is forced.
    ForcedOpen,
    /// Lets every call through and never trips.
    ForcedClosed,
    /// Lets every call through and reports trips without acting on them.
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
