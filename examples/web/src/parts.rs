//! What the guard is made of: a limiter, a breaker and an adaptive limit, as the settings say.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{extract::ConnectInfo, http::Extensions};
use tidegate::{
    Breaker, BuildError, KeyedLimiter, SystemClock,
    circuit_breaker::{Observer, Transition},
    rate_limiter::Inherit,
    semaphore::adaptive::{AdaptiveSemaphore, Vegas},
};
use tidegate_tower::http::PeerIp;

use crate::{retry::RetryLayer, settings::GuardSettings};

/// What the guard is made of. Clones share the limiter, the breaker and the limit.
#[derive(Debug, Clone)]
pub struct Parts {
    /// A bucket of tokens for each client.
    pub clients: Arc<KeyedLimiter<IpAddr>>,
    /// Which client sent a request.
    pub client: PeerIp,
    /// Opens when the upstream fails.
    pub breaker: Arc<Breaker<SystemClock, Told>>,
    /// How many calls to the upstream may be in flight.
    pub limit: Arc<AdaptiveSemaphore<Vegas>>,
    /// Which calls are tried again.
    pub retry: RetryLayer,
    /// How long a request waits for the limit.
    pub patience: Duration,
    /// How long a call to the upstream may take.
    pub timeout: Duration,
}

impl Parts {
    /// Makes the parts.
    ///
    /// # Errors
    ///
    /// A setting is out of range; the error names it.
    pub fn new(settings: &GuardSettings) -> Result<Self, BuildError> {
        let breaker = settings.breaker.builder().observer(Told).build();
        // Vegas, for the upstream's latency has a minimum: that of an empty queue.
        let limit = settings.limit.builder(Vegas::new()).build();
        let GuardSettings { retry, max_retry_after, .. } = *settings;
        retry.check("initial").map_err(|error| error.within("retry"))?;
        Ok(Self {
            retry: RetryLayer::new(retry, max_retry_after, SystemClock),
            clients: Arc::new(KeyedLimiter::new(settings.quota, settings.max_clients)),
            client: client(settings.trusted_hops),
            breaker: Arc::new(breaker.map_err(|error| error.within("breaker"))?),
            limit: Arc::new(limit.map_err(|error| error.within("limit"))?),
            patience: settings.patience,
            timeout: settings.timeout,
        })
    }

    /// Checks settings for [`apply`](Self::apply).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn check(settings: &GuardSettings) -> Result<(), BuildError> {
        let mut settings = settings.clone();
        // The limit that it had at the start may lie outside of a new range.
        settings.limit.initial = None;
        Self::new(&settings).map(drop)
    }

    /// Applies the settings that differ from those `before`: limiter, breaker and limit stay the
    /// same objects. Returns the parts for new layers.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); then only a part of the settings is applied.
    pub fn apply(&self, new: &GuardSettings, before: &GuardSettings) -> Result<Self, BuildError> {
        if new.quota != before.quota {
            self.clients.set_quota(new.quota, Inherit::AsIs);
        }
        // A breaker that is told the same settings would forget its window.
        if new.breaker != before.breaker {
            self.breaker.reconfigure(&new.breaker)?;
        }
        self.limit.set_range(new.limit.range())?;
        let retry = self.retry.clone().with(new.retry, new.max_retry_after);
        let (client, patience, timeout) = (client(new.trusted_hops), new.patience, new.timeout);
        Ok(Self { client, retry, patience, timeout, ..self.clone() })
    }
}

fn client(trusted_hops: usize) -> PeerIp {
    match trusted_hops {
        0 => PeerIp::of_connection(connection),
        hops => PeerIp::behind(hops),
    }
}

fn connection(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
}

/// Tells the terminal what the breaker does.
#[derive(Debug, Clone, Copy)]
pub struct Told;

impl Observer for Told {
    fn on_trip(&self, trip: &Transition) {
        tracing::warn!(failed = trip.window.failed, calls = trip.window.calls, "breaker opened");
    }

    fn on_half_open(&self, _: &Transition) {
        tracing::info!("breaker probes");
    }

    fn on_close(&self, _: &Transition) {
        tracing::info!("breaker closed");
    }
}
