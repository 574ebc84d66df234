//! The settings: what `settings.toml` says, each table in the form of the crate that it is for.

mod merge;

use std::{
    error::Error, fmt, fs, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration,
};

use serde::{Deserialize, Serialize};
use tidegate::{
    Backoff, BuildError, Quota,
    batch_processor::BatcherSettings,
    circuit_breaker::BreakerSettings,
    semaphore::{SemaphoreSettings, adaptive::AdaptiveSettings},
    worker_pool::PoolSettings,
};

/// The settings of the whole example.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The service itself.
    pub service: ServiceSettings,
    /// Pages that are served events at the same time.
    pub pages: SemaphoreSettings,
    /// Workers for what computes.
    pub pool: PoolSettings,
    /// The access log.
    pub log: LogSettings,
    /// What guards the service.
    pub guard: GuardSettings,
    /// The upstream that misbehaves.
    pub upstream: UpstreamSettings,
    /// The load generator.
    pub load: LoadSettings,
}

/// What the service stands on.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Where requests are noted.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// The database.
    pub database: PathBuf,
    /// How many records may wait.
    pub queue: NonZeroUsize,
    /// The batches that are written.
    pub batch: BatcherSettings,
}

/// What guards the service.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSettings {
    /// Proxies in front that append to `X-Forwarded-For`; 0: a client is its connection.
    pub trusted_hops: usize,
    /// Requests of each client, as `20/s burst 40`.
    pub quota: Quota,
    /// How many clients are remembered.
    pub max_clients: NonZeroUsize,
    /// How long a request waits for the adaptive limit before it is shed.
    #[serde(with = "tidegate::duration_text")]
    pub patience: Duration,
    /// How long a call to the upstream may take.
    #[serde(with = "tidegate::duration_text")]
    pub timeout: Duration,
    /// How many calls to the upstream may be in flight.
    pub limit: AdaptiveSettings,
    /// When the upstream is left alone.
    pub breaker: BreakerSettings,
    /// When and how often a call that has failed is tried again.
    pub retry: Backoff,
    /// If the upstream asks for a longer pause (`Retry-After`), the call is not tried again.
    #[serde(with = "tidegate::duration_text")]
    pub max_retry_after: Duration,
}

/// How the upstream behaves.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Calls that it works on at the same time.
    pub slots: usize,
    /// How long each takes.
    #[serde(with = "tidegate::duration_text")]
    pub call: Duration,
    /// How many times longer when it is slow.
    pub slow_factor: u32,
    /// What it asks for when it fails: a `Retry-After` of so long.
    #[serde(default, with = "tidegate::duration_text::option")]
    pub retry_after: Option<Duration>,
}

impl UpstreamSettings {
    /// Returns how many calls a second the upstream can answer.
    pub fn capacity(&self) -> f64 {
        self.slots as f64 / self.call.as_secs_f64()
    }
}

/// What the load generator sends.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSettings {
    /// Requests a second, at ×1.
    pub rate: u32,
    /// The number of clients.
    pub clients: u8,
    /// How long a client waits for its answer.
    #[serde(with = "tidegate::duration_text")]
    pub timeout: Duration,
    /// One request in so many asks for the same item; 0: none does.
    pub hot_one_in: usize,
    /// One request in so many comes from the greedy client; 0: none does.
    pub greedy_one_in: usize,
}

impl Settings {
    /// Returns the settings of `text`.
    ///
    /// # Errors
    ///
    /// The text is no TOML, or a setting is missing, unknown or of another type: with its path, and
    /// the line.
    pub fn parse(text: &str) -> Result<Self, BadSetting> {
        let document = toml::Deserializer::parse(text).map_err(BadSetting::new)?;
        serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            let mut error = error.into_inner();
            error.set_input(Some(text));
            BadSetting::new(format_args!("{path}: {error}"))
        })
    }

    /// Reads the settings from a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or as in [`parse`](Self::parse).
    pub fn read(path: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self::parse(&fs::read_to_string(path)?)?)
    }
}

/// Those of the `settings.toml` that the binary was built with.
impl Default for Settings {
    fn default() -> Self {
        Self::parse(include_str!("../settings.toml")).expect("a test parses it")
    }
}

/// A setting is refused. The text names it by its path, and says what it is and what it must be.
#[derive(Debug)]
pub struct BadSetting(String);

impl BadSetting {
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

/// What the objects refuse, because it is out of its range.
impl From<BuildError> for BadSetting {
    fn from(error: BuildError) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for BadSetting {}
