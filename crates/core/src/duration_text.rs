//! Durations as text, for settings: `1m30s`.

#[cfg(feature = "serde")]
mod serde;

use core::{fmt, str::FromStr, time::Duration};

use alloc::{borrow::Cow, string::String};

#[cfg(feature = "serde")]
pub use self::serde::{deserialize, option, serialize};

/// A duration as text, in a file of settings: `30s`, `1m30s`, `250ms`.
///
/// The text is a sequence of whole numbers, each with its unit, without spaces: larger units first,
/// each unit at most once. Units are `d` (24 hours), `h`, `m` or `min`, `s`, `ms`, `us`, `ns`.
/// [`Display`](fmt::Display) writes every duration as such a text, exact to the nanosecond; zero is
/// `0s`.
///
/// # Errors
///
/// Parsing returns a [`ParseError`] for anything else: an empty text, a sign, a fraction, a number
/// without a unit, units that are not known or not in order, and more than 2⁶⁴ seconds.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{DurationText, ParseError};
///
/// let DurationText(timeout) = "1m30s".parse()?;
/// assert_eq!(timeout, Duration::from_secs(90));
/// assert_eq!(DurationText(Duration::from_millis(61_250)).to_string(), "1m1s250ms");
///
/// let error = "1m30".parse::<DurationText>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"cannot read "1m30" at byte 4: expected a unit: d, h, m, s, ms, us or ns"#,
/// );
/// # Ok::<(), ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationText(pub Duration);

struct Unit {
    name: &'static str,
    /// How many seconds the unit has, or 1 if it is a part of a second.
    seconds: u64,
    /// How many of the unit a second has, or 1 if the unit is longer.
    per_second: u32,
}

const fn unit(name: &'static str, seconds: u64, per_second: u32) -> Unit {
    Unit { name, seconds, per_second }
}

/// The units, larger ones first. Text is written with the first unit of each size.
const UNITS: [Unit; 8] = [
    unit("d", 86_400, 1),
    unit("h", 3_600, 1),
    unit("m", 60, 1),
    unit("min", 60, 1),
    unit("s", 1, 1),
    unit("ms", 1, 1_000),
    unit("us", 1, 1_000_000),
    unit("ns", 1, NANOS),
];

const NANOS: u32 = 1_000_000_000;

impl Unit {
    const fn is_smaller_than(&self, other: &Self) -> bool {
        self.seconds < other.seconds || self.per_second > other.per_second
    }

    /// Returns how long `n` of this unit are, unless that is more than a [`Duration`] holds.
    fn times(&self, n: u64) -> Option<Duration> {
        let per_second = u64::from(self.per_second);
        let seconds = Duration::from_secs((n / per_second).checked_mul(self.seconds)?);
        // Below one second.
        let nanos = (n % per_second) * u64::from(NANOS / self.per_second);
        seconds.checked_add(Duration::from_nanos(nanos))
    }

    /// Takes as many of this unit as fit out of `rest`, and returns how many.
    fn take_from(&self, rest: &mut Duration) -> u64 {
        let n = match self.per_second {
            1 => rest.as_secs() / self.seconds,
            per_second => (rest.subsec_nanos() / (NANOS / per_second)).into(),
        };
        // `n` of this unit fit into `rest`, so `times` returns a duration.
        *rest = rest.saturating_sub(self.times(n).unwrap_or_default());
        n
    }
}

impl FromStr for DurationText {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = |rest: &str, what| ParseError::new(text, text.len() - rest.len(), what);
        let (mut total, mut rest, mut last) = (Duration::ZERO, text, None::<&Unit>);
        loop {
            let (digits, after) = split(rest, true);
            if digits.is_empty() {
                return Err(expected(rest, "a whole number"));
            }
            let (name, next) = split(after, false);
            let unit = UNITS
                .iter()
                .find(|unit| unit.name == name)
                .ok_or_else(|| expected(after, "a unit: d, h, m, s, ms, us or ns"))?;
            if last.is_some_and(|last| !unit.is_smaller_than(last)) {
                return Err(expected(after, "a smaller unit than before"));
            }
            total = digits
                .parse()
                .ok()
                .and_then(|n| unit.times(n))
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| expected(rest, "less than 2^64 seconds in all"))?;
            if next.is_empty() {
                return Ok(Self(total));
            }
            (rest, last) = (next, Some(unit));
        }
    }
}

/// Splits a text after the digits that it begins with, or after the characters that are no digits.
fn split(text: &str, are_digits: bool) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_digit() != are_digits);
    text.split_at(end.unwrap_or(text.len()))
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest.is_zero() {
            return f.write_str("0s");
        }
        for unit in &UNITS {
            match unit.take_from(&mut rest) {
                0 => {}
                n => write!(f, "{n}{}", unit.name)?,
            }
        }
        Ok(())
    }
}

impl From<Duration> for DurationText {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<DurationText> for Duration {
    fn from(text: DurationText) -> Self {
        text.0
    }
}

/// A setting could not be read from its text. The error names the text, the position and what is
/// allowed there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParseError {
    text: String,
    position: usize,
    expected: Cow<'static, str>,
}

impl ParseError {
    /// Creates the error: at byte `position` of `text` there had to be what `expected` names.
    pub fn new(text: &str, position: usize, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), position, expected: expected.into() }
    }

    /// Returns the same error for a longer `text`, in which the text that was read begins at byte
    /// `start`.
    #[must_use]
    pub fn within(self, text: &str, start: usize) -> Self {
        Self::new(text, start.saturating_add(self.position), self.expected)
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the number of bytes of the text before the mistake.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Returns what is allowed at that position.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, position, expected } = self;
        write!(f, "cannot read {text:?} at byte {position}: expected {expected}")
    }
}

impl core::error::Error for ParseError {}
