//! A quota as text, for settings: `100/s burst 20`.

#[cfg(feature = "serde")]
mod serde;

use core::{fmt, str::FromStr, time::Duration};

use alloc::format;

use tidegate_core::{BuildError, DurationText, ParseError};

use crate::quota::{Quota, QuotaError};

/// Periods that are written as a unit alone, in seconds.
const PERIODS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)];

impl FromStr for Quota {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (rate, burst) = match text.split_once(' ') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let Some((tokens, period)) = rate.split_once('/') else {
            return Err(ParseError::new(text, rate.len(), "a rate, as 100/s"));
        };
        let at_period = tokens.len() + 1;
        let tokens = number(text, 0, tokens)?;
        let period = parse_period(period).map_err(|error| error.within(text, at_period))?;
        let out_of_range = |error: QuotaError, position| {
            let error = BuildError::from(error);
            let expected = format!("{} {}", error.setting(), error.range());
            ParseError::new(text, position, expected)
        };
        let quota = Self::try_per(tokens, period).map_err(|error| {
            let is_period = matches!(error, QuotaError::Zero { .. });
            out_of_range(error, if is_period { at_period } else { 0 })
        })?;
        let Some(burst) = burst else { return Ok(quota) };
        let Some(digits) = burst.strip_prefix("burst ") else {
            return Err(ParseError::new(text, rate.len() + 1, "burst and a whole number"));
        };
        let at_digits = text.len() - digits.len();
        let burst = number(text, at_digits, digits)?;
        quota.try_burst(burst).map_err(|error| out_of_range(error, at_digits))
    }
}

/// Reads the `digits` from byte `start` of `text` on.
fn number(text: &str, start: usize, digits: &str) -> Result<u32, ParseError> {
    let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    if length < digits.len() || digits.is_empty() {
        return Err(ParseError::new(text, start + length, "a whole number"));
    }
    let too_large = |_| ParseError::new(text, start, "at most 4294967295");
    digits.parse().map_err(too_large)
}

fn parse_period(text: &str) -> Result<Duration, ParseError> {
    if let Some((_, seconds)) = PERIODS.iter().find(|(name, _)| *name == text) {
        return Ok(Duration::from_secs(*seconds));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        let expected = "a period: s, min, h, d, or a duration such as 250ms";
        return Err(ParseError::new(text, 0, expected));
    }
    text.parse().map(|DurationText(period)| period)
}

/// Writes the text from which an equal quota is read.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.tokens())?;
        let is_named = |(_, seconds): &&(_, u64)| Duration::from_secs(*seconds) == self.period();
        match PERIODS.iter().find(is_named) {
            Some((name, _)) => f.write_str(name)?,
            None => DurationText(self.period()).fmt(f)?,
        }
        if self.max_burst() == self.tokens() {
            return Ok(());
        }
        write!(f, " burst {}", self.max_burst())
    }
}
