//! What the guard is made of: a limiter, a breaker and an adaptive limit, as the settings say.

use std::{error::Error, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use axum::{extract::ConnectInfo, http::Extensions};
use tidegate::{
    Breaker, KeyedLimiter, SystemClock,
    circuit_breaker::{Observer, OpenFor, Transition, TripRule, Window},
    semaphore::adaptive::{AdaptiveSemaphore, Vegas},
};
use tidegate_tower::http::PeerIp;

use crate::settings::GuardSettings;

/// What the guard is made of.
#[derive(Debug)]
pub struct Parts {
    /// A bucket of tokens for each client.
    pub clients: Arc<KeyedLimiter<IpAddr>>,
    /// Which client sent a request.
    pub client: PeerIp,
    /// Opens when the upstream fails.
    pub breaker: Arc<Breaker<SystemClock, Told>>,
    /// How many calls to the upstream may be in flight.
    pub limit: Arc<AdaptiveSemaphore<Vegas>>,
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
    pub fn new(settings: &GuardSettings) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let window = Window::time(settings.window.0, 10);
        let rule = TripRule::failure_rate(settings.failure_ratio, window)
            .minimum_calls(settings.minimum_calls)
            .or(TripRule::consecutive(settings.failures));
        let breaker = Breaker::builder()
            .trip_on(rule)
            .open_for(OpenFor::fixed(settings.open_for.0))
            .observer(Told)
            .build()?;
        // Vegas, for the upstream's latency has a minimum: that of an empty queue.
        let limit = AdaptiveSemaphore::builder(Vegas::new())
            .min(settings.min_in_flight)
            .initial(settings.min_in_flight)
            .max(settings.max_in_flight)
            .build()?;
        Ok(Self {
            clients: Arc::new(KeyedLimiter::new(settings.quota, settings.max_clients)),
            client: match settings.trusted_hops {
                0 => PeerIp::of_connection(connection),
                hops => PeerIp::behind(hops),
            },
            breaker: Arc::new(breaker),
            limit: Arc::new(limit),
            patience: settings.patience.0,
            timeout: settings.timeout.0,
        })
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
