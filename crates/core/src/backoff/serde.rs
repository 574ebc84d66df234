//! A backoff in the formats of the crate `serde`.

use core::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::Backoff;

/// What a file of settings says about a backoff: names and defaults are those of [`Backoff`]'s
/// methods.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(with = "crate::duration_text")]
    initial: Duration,
    #[serde(
        default,
        with = "crate::duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    max: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// A table of `initial`, and, where they are not the defaults, `max` (default: `initial`),
/// `jitter`, `max_attempts`, `budget` and `seed`. Durations are [text](crate::DurationText). A
/// backoff that is out of its range is not read.
impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(from)?;
        let max = fields.max.unwrap_or(fields.initial);
        let mut backoff = Self::exponential(fields.initial, max);
        backoff.jitter = fields.jitter.unwrap_or(backoff.jitter);
        backoff.max_attempts = fields.max_attempts.unwrap_or(backoff.max_attempts);
        (backoff.budget, backoff.seed) = (fields.budget, fields.seed);
        backoff.check("initial").map_err(D::Error::custom)?;
        Ok(backoff)
    }
}

impl Serialize for Backoff {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { initial, max, jitter, max_attempts, budget, seed } = *self;
        let fields = Fields {
            initial,
            max: Some(max),
            jitter: Some(jitter),
            max_attempts: Some(max_attempts),
            budget,
            seed,
        };
        fields.serialize(to)
    }
}
