//! The settings: what `settings.toml` says.

use std::{fs, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate::{DurationText, Quota};

/// The settings of the whole example.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The service itself.
    pub service: ServiceSettings,
    /// What guards it, and can be changed in use.
    pub guard: GuardSettings,
    /// The upstream that misbehaves.
    pub upstream: UpstreamSettings,
    /// The load generator.
    pub load: LoadSettings,
}

/// What the service stands on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// The database of the access log.
    pub log: PathBuf,
    /// How many records of the log may wait.
    pub log_queue: NonZeroUsize,
    /// How long a batch of records gathers.
    pub log_delay: Time,
    /// Workers for what computes.
    pub threads: usize,
    /// Jobs that may wait for them.
    pub queue: usize,
    /// Pages that are served events at the same time.
    pub pages: usize,
}

/// What guards the service.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSettings {
    /// Proxies in front that append to `X-Forwarded-For`; 0: a client is its connection.
    pub trusted_hops: usize,
    /// Requests of each client, as `20/s burst 40`.
    #[serde(with = "text")]
    pub quota: Quota,
    /// How many clients are remembered.
    pub max_clients: NonZeroUsize,
    /// The lower bound of the adaptive limit.
    pub min_in_flight: usize,
    /// The upper bound of the adaptive limit.
    pub max_in_flight: usize,
    /// How long a request waits for the adaptive limit before it is shed.
    pub patience: Time,
    /// How long a call to the upstream may take.
    pub timeout: Time,
    /// So many failures in a row open the breaker.
    pub failures: u32,
    /// The share of failures that opens the breaker, too.
    pub failure_ratio: f64,
    /// How many calls the window must hold before the share counts.
    pub minimum_calls: u32,
    /// The time over which calls are counted.
    pub window: Time,
    /// How long the breaker stays open.
    pub open_for: Time,
}

/// How the upstream behaves.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Calls that it works on at the same time.
    pub slots: usize,
    /// How long each takes.
    pub call: Time,
    /// How many times longer when it is slow.
    pub slow_factor: u32,
}

impl UpstreamSettings {
    /// Returns how many calls a second the upstream can answer.
    pub fn capacity(&self) -> f64 {
        self.slots as f64 / self.call.0.as_secs_f64()
    }
}

/// What the load generator sends.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSettings {
    /// Requests a second, at ×1.
    pub rate: u32,
    /// The number of clients.
    pub clients: u8,
    /// How long a client waits for its answer.
    pub timeout: Time,
    /// One request in so many asks for the same item; 0: none does.
    pub hot_one_in: usize,
    /// One request in so many comes from the greedy client; 0: none does.
    pub greedy_one_in: usize,
}

impl Settings {
    /// Returns the settings of `text`, or the fault and its line.
    ///
    /// # Errors
    ///
    /// The text is no TOML, or a setting is missing, unknown or of another type.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Reads the settings from a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or as in [`parse`](Self::parse).
    pub fn read(path: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::parse(&fs::read_to_string(path)?)?)
    }
}

/// Those of the `settings.toml` that the binary was built with.
impl Default for Settings {
    fn default() -> Self {
        Self::parse(include_str!("../settings.toml")).expect("a test parses it")
    }
}

/// A duration, as `50ms` or `1m30s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from).map(|DurationText(time)| Self(time))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        text::serialize(&DurationText(self.0), to)
    }
}

/// What is written as text.
mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }
}
