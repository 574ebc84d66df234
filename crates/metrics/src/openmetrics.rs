//! The text that Prometheus scrapes.

use core::fmt::{self, Write as _};

use alloc::{format, string::String};

use tidegate_core::report::{Kind, Metric, Value};

use crate::{
    bound::{Bound, cumulative},
    named_sample::NamedSample,
    registry::Registry,
};

/// The content type of [`Registry::openmetrics`], for the answer to a scrape.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Registry {
    /// Returns what all objects report, as text by [OpenMetrics 1.0][spec].
    ///
    /// [spec]: https://prometheus.io/docs/specs/om/open_metrics_spec/
    pub fn openmetrics(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` never fails.
        let _ = self.write_openmetrics(&mut text);
        text
    }

    /// Writes the text that [`openmetrics`](Self::openmetrics) returns.
    ///
    /// # Errors
    ///
    /// Those that `to` returns.
    pub fn write_openmetrics(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let readings = self.read();
        for family in readings.chunk_by(|a, b| a.sample.metric == b.sample.metric) {
            write_head(family[0].sample.metric, to)?;
            for reading in family {
                write_reading(reading, to)?;
            }
        }
        to.write_str("# EOF\n")
    }
}

fn write_head(metric: Metric, to: &mut dyn fmt::Write) -> fmt::Result {
    // The samples of a counter have the suffix `_total`, the family has not.
    let family = metric.name().trim_end_matches("_total");
    let kind = match metric.kind() {
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
        _ => "gauge",
    };
    writeln!(to, "# TYPE {family} {kind}")?;
    writeln!(to, "# HELP {family} {}", metric.help())
}

fn write_reading(reading: &NamedSample, to: &mut dyn fmt::Write) -> fmt::Result {
    let name = reading.sample.metric.name();
    match reading.sample.value {
        Value::Counter(n) => write_line(name, reading, None, &n, to),
        Value::Gauge(value) => write_line(name, reading, None, &Number(value), to),
        Value::Histogram { buckets, sum } => {
            let named = |suffix| format!("{name}{suffix}");
            for (bound, count) in cumulative(reading.sample.metric, buckets) {
                write_line(&named("_bucket"), reading, Some(bound), &count, to)?;
            }
            write_line(&named("_count"), reading, None, &buckets.total(), to)?;
            write_line(&named("_sum"), reading, None, &Number(sum), to)
        }
        _ => Ok(()),
    }
}

fn write_line(
    name: &str,
    reading: &NamedSample,
    bound: Option<Bound>,
    value: &dyn fmt::Display,
    to: &mut dyn fmt::Write,
) -> fmt::Result {
    write!(to, "{name}")?;
    let mut before = '{';
    for (label, value) in reading.labels() {
        write!(to, "{before}{label}=\"{}\"", Escaped(value))?;
        before = ',';
    }
    if let Some(bound) = bound {
        write!(to, "{before}le=\"{bound}\"")?;
    }
    writeln!(to, "}} {value}")
}

/// A label's value, with backslashes, quotes and line ends escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A number in the spelling of OpenMetrics.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            // OpenMetrics spells all others, NaN included, as Rust does.
            number => write!(f, "{number}"),
        }
    }
}
