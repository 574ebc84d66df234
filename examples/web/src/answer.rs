//! What became of a call to the upstream.

use std::{fmt, time::Duration};

use axum::body::Bytes;
use tidegate::{circuit_breaker, gate::PairRefused, semaphore};
use tidegate_tower::Refusal;

/// What a request for an item is answered from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The upstream's item.
    Fresh(Bytes),
    /// The fallback, because the upstream's breaker is open.
    Fallback,
    /// Nothing: the adaptive limit was reached for as long as the request would wait.
    Shed,
}

/// Why the gates of the upstream refused: its breaker, or the adaptive limit.
pub type UpstreamRefused = PairRefused<circuit_breaker::Refused, semaphore::TryAcquireError>;

impl Answer {
    /// Returns the answer to a request whose call was refused.
    pub fn instead(refusal: Refusal<UpstreamRefused>) -> Self {
        match refusal {
            Refusal::Refused(PairRefused::First(_)) => Self::Fallback,
            _ => Self::Shed,
        }
    }
}

/// Why a call to the upstream has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamError {
    /// There was no connection, or it broke.
    Unreachable,
    /// The answer is no success.
    Status {
        /// Its status.
        status: u16,
        /// For how long the upstream wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The call took too long.
    TimedOut,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("upstream unreachable"),
            Self::Status { status, .. } => write!(f, "upstream answered {status}"),
            Self::TimedOut => f.write_str("upstream took too long"),
        }
    }
}

impl std::error::Error for UpstreamError {}
