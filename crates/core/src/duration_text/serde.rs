//! Durations in the formats of the crate `serde`: as text.

use core::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use super::DurationText;

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = DurationText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration as text, like \"1m30s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationText, E> {
        text.parse().map_err(E::custom)
    }
}

/// Writes a duration as text: with [`deserialize`], for a field with the attribute
/// `#[serde(with = "tidegate_core::duration_text")]`.
///
/// # Errors
///
/// Those of the format.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Settings {
///     #[serde(with = "tidegate_core::duration_text")]
///     timeout: Duration,
/// }
///
/// let settings: Settings = toml::from_str(r#"timeout = "1m30s""#)?;
/// assert_eq!(settings.timeout, Duration::from_secs(90));
/// assert_eq!(serde_json::to_string(&settings)?, r#"{"timeout":"1m30s"}"#);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    DurationText(*duration).serialize(to)
}

/// Reads a duration from its text.
///
/// # Errors
///
/// The [`ParseError`](super::ParseError), as an error of the format, if the text is none of a
/// duration.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    DurationText::deserialize(from).map(Duration::from)
}

/// A field that may be absent: `#[serde(default, with = "tidegate_core::duration_text::option")]`.
pub mod option {
    use super::{Deserialize, Deserializer, Duration, DurationText, Serialize, Serializer};

    /// Writes a duration, or none.
    ///
    /// # Errors
    ///
    /// Those of the format.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        duration.map(DurationText).serialize(to)
    }

    /// Reads a duration, or none.
    ///
    /// # Errors
    ///
    /// As [`super::deserialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<DurationText>::deserialize(from).map(|text| text.map(Duration::from))
    }
}
