//! What a metrics system can read of an object: [`Report`] hands samples to a [`Sink`].
//!
//! Each pattern implements `Report` over its `stats()`, so a report adds nothing to the pattern's
//! fast path. The crate `tidegate-metrics` has the sinks: text, and the usual metrics crates.
//! [`Metric`] is the one table from which the sinks, the docs and the dashboard are made.

mod histogram;
mod wait_times;

pub use self::{
    histogram::{BUCKETS, Histogram},
    wait_times::WaitTimes,
};

use self::histogram::{ITEM_BOUNDS, WAIT_BOUNDS};

/// An object whose statistics can be read by a metrics system.
///
/// # Examples
///
/// ```
/// use tidegate_core::report::{Metric, Report, Sample, Sink, Value};
///
/// struct Room {
///     guests: usize,
/// }
///
/// impl Report for Room {
///     fn report(&self, to: &mut dyn Sink) {
///         to.record(Sample::count("room", Metric::InFlight, self.guests));
///     }
/// }
///
/// struct Seen(Vec<Sample>);
///
/// impl Sink for Seen {
///     fn record(&mut self, sample: Sample) {
///         self.0.push(sample);
///     }
/// }
///
/// let mut seen = Seen(Vec::new());
/// Room { guests: 3 }.report(&mut seen);
/// assert_eq!(seen.0[0].metric.name(), "tidegate_in_flight");
/// assert_eq!(seen.0[0].value, Value::Gauge(3.0));
/// ```
pub trait Report {
    /// Hands every sample of this moment to `to`. Never waits for a grant, and makes no sample per
    /// key, so that the number of samples is bounded.
    fn report(&self, to: &mut dyn Sink);
}

/// What takes the samples of a [`Report`].
pub trait Sink {
    /// Takes one sample.
    fn record(&mut self, sample: Sample);
}

/// One number of a metric, with its labels.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The metric.
    pub metric: Metric,
    /// The kind of object, such as `semaphore`: the value of the label `pattern`.
    pub pattern: &'static str,
    /// The value of the metric's own [label](Metric::label); empty if it has none.
    pub part: &'static str,
    /// The number.
    pub value: Value,
}

/// The number of a [`Sample`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number that goes up and down.
    Gauge(f64),
    /// A number that only grows, until it wraps around.
    Counter(u64),
    /// How many observations there were by their size, and their sum: in seconds, where they are
    /// times.
    Histogram {
        /// The number of observations in each bucket.
        buckets: Histogram,
        /// The sum of what was observed.
        sum: f64,
    },
}

/// # Panics
///
/// Each of these functions panics if, by the table, `metric` is of another kind, has no such
/// `state` or `outcome`, or has a label for which the method takes no value.
#[allow(clippy::cast_precision_loss, reason = "2⁵³ is more than any gauge here reaches")]
impl Sample {
    /// Returns a sample of a gauge without a label of its own.
    #[track_caller]
    pub fn gauge(pattern: &'static str, metric: Metric, value: f64) -> Self {
        Self::checked(pattern, metric, "", Value::Gauge(value))
    }

    /// Returns a sample of a gauge that counts things.
    #[track_caller]
    pub fn count(pattern: &'static str, metric: Metric, n: usize) -> Self {
        Self::gauge(pattern, metric, n as f64)
    }

    /// Returns a sample of a gauge that counts the things in `state`.
    #[track_caller]
    pub fn state(pattern: &'static str, metric: Metric, state: &'static str, n: usize) -> Self {
        Self::checked(pattern, metric, state, Value::Gauge(n as f64))
    }

    /// Returns a sample of a counter without a label of its own.
    #[track_caller]
    pub fn counter(pattern: &'static str, metric: Metric, n: u64) -> Self {
        Self::checked(pattern, metric, "", Value::Counter(n))
    }

    /// Returns a sample of [`Metric::Requests`]: `n` of them had this outcome.
    #[track_caller]
    pub fn requests(pattern: &'static str, outcome: &'static str, n: u64) -> Self {
        Self::checked(pattern, Metric::Requests, outcome, Value::Counter(n))
    }

    /// Returns a sample of observations with this sum. Their buckets end at the metric's
    /// [bounds](Metric::bounds).
    #[track_caller]
    pub fn histogram(pattern: &'static str, metric: Metric, buckets: Histogram, sum: f64) -> Self {
        Self::checked(pattern, metric, "", Value::Histogram { buckets, sum })
    }

    #[track_caller]
    fn checked(pattern: &'static str, metric: Metric, part: &'static str, value: Value) -> Self {
        let kind = match value {
            Value::Gauge(_) => Kind::Gauge,
            Value::Counter(_) => Kind::Counter,
            Value::Histogram { .. } => Kind::Histogram,
        };
        assert!(kind == metric.kind(), "{metric:?} is no {kind:?}");
        let is_known = match metric.label() {
            Some((_, parts)) => parts.contains(&part),
            None => part.is_empty(),
        };
        assert!(is_known, "{metric:?} has no part {part:?}");
        Self { metric, pattern, part, value }
    }
}

/// What is measured: a row of one table. Each method returns a column of it: the name, the kind,
/// the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// Permits of a semaphore, by state.
    SemaphorePermits,
    /// Callers that wait.
    Waiting,
    /// Requests, by outcome.
    Requests,
    /// Waits that are over, and how long they took.
    Wait,
    /// The state of a breaker.
    BreakerState,
    /// Trips of a breaker.
    BreakerTrips,
    /// The share of a breaker's window that failed.
    BreakerFailureRatio,
    /// The share of a breaker's window that was slow.
    BreakerSlowRatio,
    /// The limit of an adaptive semaphore.
    AdaptiveLimit,
    /// Requests, jobs or items that are being worked on.
    InFlight,
    /// Jobs or items that were accepted and not begun.
    QueueDepth,
    /// Keys that are known.
    Keys,
    /// Batches, and the items in them.
    BatchItems,
}

/// How the numbers of a metric behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// They go up and down: [`Value::Gauge`].
    Gauge,
    /// They only grow: [`Value::Counter`].
    Counter,
    /// Counts by size, and a sum: [`Value::Histogram`].
    Histogram,
}

struct Row {
    name: &'static str,
    otel: &'static str,
    unit: &'static str,
    kind: Kind,
    has_pattern: bool,
    label: Option<(&'static str, &'static [&'static str])>,
    bounds: &'static [f64],
    help: &'static str,
}

const GAUGE: Row = Row {
    name: "",
    otel: "",
    unit: "1",
    kind: Kind::Gauge,
    has_pattern: false,
    label: None,
    bounds: &[],
    help: "",
};

const PERMITS: &[&str] = &["available", "in_use", "capacity"];
const OUTCOMES: &[&str] = &["succeeded", "refused", "cancelled", "failed", "ignored", "late"];
const STATES: &[&str] =
    &["closed", "open", "half_open", "forced_open", "forced_closed", "observe_only"];

/// In the order of [`Metric`].
static ROWS: [Row; Metric::ALL.len()] = [
    Row {
        name: "tidegate_semaphore_permits",
        otel: "tidegate.semaphore.permits",
        unit: "{permit}",
        label: Some(("state", PERMITS)),
        help: "Permits of a semaphore: free, held, and its capacity.",
        ..GAUGE
    },
    Row {
        name: "tidegate_waiting",
        otel: "tidegate.waiting",
        unit: "{caller}",
        has_pattern: true,
        help: "Callers that wait to be let in.",
        ..GAUGE
    },
    Row {
        name: "tidegate_requests_total",
        otel: "tidegate.requests",
        unit: "{request}",
        kind: Kind::Counter,
        has_pattern: true,
        label: Some(("outcome", OUTCOMES)),
        help: "Requests by what became of them.",
        ..GAUGE
    },
    Row {
        name: "tidegate_wait_seconds",
        otel: "tidegate.wait",
        unit: "s",
        kind: Kind::Histogram,
        has_pattern: true,
        bounds: &WAIT_BOUNDS,
        help: "Waits that are over, and how long they took.",
        ..GAUGE
    },
    Row {
        name: "tidegate_breaker_state",
        otel: "tidegate.breaker.state",
        unit: "{breaker}",
        label: Some(("state", STATES)),
        help: "Breakers in this state: 0 or 1, or of a keyed breaker how many.",
        ..GAUGE
    },
    Row {
        name: "tidegate_breaker_trips_total",
        otel: "tidegate.breaker.trips",
        unit: "{trip}",
        kind: Kind::Counter,
        help: "How often a breaker has tripped.",
        ..GAUGE
    },
    Row {
        name: "tidegate_breaker_failure_ratio",
        otel: "tidegate.breaker.failure_ratio",
        help: "Share of the calls in a breaker's window that failed, 0 to 1.",
        ..GAUGE
    },
    Row {
        name: "tidegate_breaker_slow_ratio",
        otel: "tidegate.breaker.slow_ratio",
        help: "Share of the calls in a breaker's window that were slow, 0 to 1.",
        ..GAUGE
    },
    Row {
        name: "tidegate_adaptive_limit",
        otel: "tidegate.adaptive.limit",
        unit: "{request}",
        help: "How many requests an adaptive semaphore lets in at once.",
        ..GAUGE
    },
    Row {
        name: "tidegate_in_flight",
        otel: "tidegate.in_flight",
        unit: "{request}",
        has_pattern: true,
        help: "Requests, jobs or items that are being worked on.",
        ..GAUGE
    },
    Row {
        name: "tidegate_queue_depth",
        otel: "tidegate.queue.depth",
        unit: "{item}",
        has_pattern: true,
        help: "Jobs or items that were accepted and not begun.",
        ..GAUGE
    },
    Row {
        name: "tidegate_keys",
        otel: "tidegate.keys",
        unit: "{key}",
        has_pattern: true,
        help: "Keys that a keyed object knows.",
        ..GAUGE
    },
    Row {
        name: "tidegate_batch_items",
        otel: "tidegate.batch.items",
        unit: "{item}",
        kind: Kind::Histogram,
        bounds: &ITEM_BOUNDS,
        help: "Batches that were handed over, and how many items they had.",
        ..GAUGE
    },
];

impl Metric {
    /// Every metric, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::SemaphorePermits,
        Self::Waiting,
        Self::Requests,
        Self::Wait,
        Self::BreakerState,
        Self::BreakerTrips,
        Self::BreakerFailureRatio,
        Self::BreakerSlowRatio,
        Self::AdaptiveLimit,
        Self::InFlight,
        Self::QueueDepth,
        Self::Keys,
        Self::BatchItems,
    ];

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Returns the name in Prometheus. A counter's name ends in `_total`; a histogram has three
    /// names there: this one with `_bucket`, with `_count` and with `_sum` appended.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the name by OpenTelemetry's conventions. OpenTelemetry's exporters make the name in
    /// Prometheus from it, except for a histogram. A histogram is three counters there, which they
    /// call `tidegate_wait_bucket_total`, `tidegate_wait_count_total` and
    /// `tidegate_wait_sum_seconds_total`, not `tidegate_wait_seconds_bucket`,
    /// `tidegate_wait_seconds_count` and `tidegate_wait_seconds_sum`.
    pub fn otel_name(self) -> &'static str {
        self.row().otel
    }

    /// Returns the unit by OpenTelemetry's conventions (UCUM): such as `s`, `{permit}`, or `1` for
    /// a ratio.
    pub fn unit(self) -> &'static str {
        self.row().unit
    }

    /// Returns how the metric's numbers behave.
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    /// Returns whether the metric has the label `pattern`: whether objects of several kinds have
    /// the metric.
    pub fn has_pattern(self) -> bool {
        self.row().has_pattern
    }

    /// Returns the metric's own label, `state` or `outcome`, and the values it may have; `None` if
    /// it has none.
    pub fn label(self) -> Option<(&'static str, &'static [&'static str])> {
        self.row().label
    }

    /// Returns where the buckets of a histogram end, upwards: each bucket takes what is not above
    /// its bound, and one more takes the rest. Of waits these are seconds: the powers of ten from 1
    /// µs to 1 ms, and the defaults of [Prometheus' clients][defaults] from 5 ms to 10 s. Of
    /// batches they are items: the powers of two to 16384. Empty for what is no histogram.
    ///
    /// [defaults]: https://pkg.go.dev/github.com/prometheus/client_golang/prometheus#pkg-variables
    pub fn bounds(self) -> &'static [f64] {
        self.row().bounds
    }

    /// Returns what the metric measures, in a sentence.
    pub fn help(self) -> &'static str {
        self.row().help
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Kind, Metric, Sample};

    #[test]
    fn rows_stand_in_the_order_of_the_metrics() {
        for (at, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, at);
            let dots = alloc::string::String::from(metric.name()).replace('_', ".");
            let dots = dots.trim_end_matches(".total").trim_end_matches(".seconds");
            assert_eq!(dots, metric.otel_name().replace('_', "."), "one name, spelled twice");
            assert_eq!(metric.name().ends_with("_total"), metric.kind() == Kind::Counter);
            assert_eq!(metric.name().ends_with("_seconds"), metric.unit() == "s");
            assert_eq!(metric.name().ends_with("_ratio"), metric.unit() == "1");
            assert!(metric.help().ends_with('.'));
            let bounds = if metric.kind() == Kind::Histogram { BUCKETS - 1 } else { 0 };
            assert_eq!(metric.bounds().len(), bounds);
            assert!(metric.bounds().is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    #[should_panic(expected = "Requests has no part \"lost\"")]
    fn an_outcome_that_the_table_lacks_is_a_bug() {
        let _ = Sample::requests("test", "lost", 1);
    }

    #[test]
    #[should_panic(expected = "Waiting is no Counter")]
    fn another_kind_than_the_tables_is_a_bug() {
        let _ = Sample::counter("test", Metric::Waiting, 1);
    }
}
