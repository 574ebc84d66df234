//! Permits whose number follows the state of the server that they guard.
//!
//! A fixed limit is right for one state of a server: a limit that is set for a good day floods the
//! server on a bad one. An [`AdaptiveSemaphore`] measures each request from its grant to its end,
//! and lets an algorithm move the number of permits between a minimum and a maximum.
//!
//! | algorithm | goes by | right for |
//! | --- | --- | --- |
//! | [`Vegas`] | the queue at the server, worked out from the latency and the latency without a queue | a server with a steady latency of its own; the choice to start with |
//! | [`Gradient2`] | the latency against its long average | latencies that wander or differ by request |
//! | [`Aimd`] | drops, and a latency that is too high | a server that refuses or times out when it is full |
//!
//! # Rounds
//!
//! The limit changes at most once in a *round*: as many samples as the limit (and at least
//! [`min_samples`](Builder::min_samples)), about one round trip of everything in flight. One slow
//! or lucky request among them does not matter much. After a change the next round consists of
//! requests granted since: those granted before were measured under another limit.
//!
//! A request is *dropped* if the server refuses it for overload, or if it times out. A drop ends
//! the round at once and takes at least one permit away, down to the minimum: this is a *cut*. A
//! drop of a request that began before the last cut changes nothing, so a burst of drops is one
//! cut, as in TCP. Here "before" means under an earlier limit than the one that the cut has set;
//! the clock plays no part.
//!
//! The limit grows only if, at the grant of one of the round's requests, at least half of it was in
//! flight: a limit that was not tried proves nothing.
//!
//! # Settings in use
//!
//! The range of the limit can be changed while the semaphore is used:
//! [`set_range`](AdaptiveSemaphore::set_range), with
//! [`AdaptiveSettings::range`] for those of a file.
//!
//! # Sources
//!
//! The algorithms are those of Netflix's
//! [concurrency-limits](https://github.com/Netflix/concurrency-limits); the docs of each say what
//! is different here, and why. Rounds take the place of its `WindowedLimit`, and of the windows of
//! [failsafe-go](https://failsafe-go.dev/adaptive-limiter/)'s adaptive limiter, which last a fixed
//! time. One cut in a round trip is the rule of TCP NewReno (RFC 6582).

mod semaphore;

mod acquire;
mod aimd;
mod algorithm;
mod builder;
mod control;
mod gradient2;
#[cfg(target_has_atomic = "ptr")]
mod owned;
mod permit;
mod round;
mod settings;
mod stats;
mod vegas;

pub use tidegate_core::BuildError;

#[cfg(target_has_atomic = "ptr")]
pub use self::owned::OwnedPermit;
pub use self::{
    aimd::Aimd, algorithm::LimitAlgorithm, builder::Builder, gradient2::Gradient2, permit::Permit,
    semaphore::AdaptiveSemaphore, settings::AdaptiveSettings, stats::Stats, vegas::Vegas,
};

/// The futures of the adaptive semaphore's methods.
pub mod future {
    pub use super::acquire::Acquire;
    #[cfg(target_has_atomic = "ptr")]
    pub use super::owned::AcquireOwned;
}
