//! Writes docs/metrics.md and docs/grafana/tidegate.json from the table of metrics.
//!
//! `cargo run -p tidegate-metrics --example dashboard -- --write`; without `--write` it prints
//! both. A test compares both files with the table.

use std::{fmt::Write, fs, path::PathBuf};

use serde_json::{Value, json};
use tidegate_metrics::{Kind, Metric};

fn main() {
    for (path, text) in [("metrics.md", page()), ("grafana/tidegate.json", dashboard())] {
        if std::env::args().any(|argument| argument == "--write") {
            let path = docs().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        } else {
            print!("{text}");
        }
    }
}

/// Returns the folder of both files.
pub(crate) fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Returns the page with the table.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         What `tidegate-metrics` reports. Each metric has the label `name`: that by which the object \
         is watched.\nNo metric has a label per key.\n\n\
         A histogram has 16 buckets, the last without a bound (`+Inf`). The buckets of \
         `tidegate_wait_seconds` end at the\npowers of ten from 1 µs to 1 ms, and at the [default \
         bounds](https://pkg.go.dev/github.com/prometheus/client_golang/prometheus#pkg-variables)\n\
         of Prometheus' clients, 5 ms to 10 s. Those of `tidegate_batch_items` end at the powers of \
         two from 1 to 16384, whatever\nthe largest batch of a batcher is: Prometheus can add up \
         buckets only if their bounds are the same.\n\n\
         Where nobody measures a wait, none is reported: a semaphore and a worker pool have \
         `tidegate_wait_seconds` only if they have a\nclock. A rate limiter and a batcher always \
         have one.\n\n\
         In OpenTelemetry a histogram is three counters, `bucket` (with the attribute `le`), `count` \
         and `sum`, as there is no\nobservable histogram. Its exporters make other names for \
         Prometheus of these: `tidegate_wait_bucket_total`, `tidegate_wait_count_total`\nand \
         `tidegate_wait_sum_seconds_total`, where the text has `tidegate_wait_seconds_bucket`, \
         `tidegate_wait_seconds_count` and\n`tidegate_wait_seconds_sum`. Of all else the names are \
         the same. The dashboard asks for those of the text. The crate `metrics`\ngets the names \
         of the text, as counters, and `_sum` as a gauge: its histograms take single values only.\n\n\
         This page and [the dashboard for Grafana](grafana/tidegate.json) are written by\n\
         `cargo run -p tidegate-metrics --example dashboard -- --write`.\n\n\
         | metric | kind | labels | in OpenTelemetry | unit | what |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for metric in Metric::ALL {
        let mut labels = labels(metric);
        if let Some((_, parts)) = metric.label() {
            write!(labels, " = {}", parts.join(", ")).unwrap();
        }
        let (name, otel, unit) = (metric.name(), metric.otel_name(), metric.unit());
        let (kind, help) = (kind(metric), metric.help());
        writeln!(page, "| `{name}` | {kind} | {labels} | `{otel}` | `{unit}` | {help} |").unwrap();
    }
    page
}

fn kind(metric: Metric) -> &'static str {
    match metric.kind() {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        _ => "histogram: `_bucket`, `_count`, `_sum`",
    }
}

/// Returns the names of the labels, with commas.
fn labels(metric: Metric) -> String {
    let mut labels = String::from("name");
    for label in metric.has_pattern().then_some("pattern").into_iter().chain(own_label(metric)) {
        write!(labels, ", {label}").unwrap();
    }
    labels
}

fn own_label(metric: Metric) -> Option<&'static str> {
    metric.label().map(|(label, _)| label)
}

/// Returns the dashboard: a panel for each metric, two in a row.
pub(crate) fn dashboard() -> String {
    let panels: Vec<Value> = Metric::ALL.into_iter().enumerate().map(panel).collect();
    let variables = json!([
        { "name": "source", "label": "Source", "type": "datasource", "query": "prometheus" },
        {
            "name": "name",
            "label": "Name",
            "type": "query",
            "datasource": source(),
            "query": "label_values({__name__=~\"tidegate_.+\"}, name)",
            "refresh": 2,
            "multi": true,
            "includeAll": true,
            "allValue": ".*",
            "current": { "text": "All", "value": "$__all" },
        },
    ]);
    let dashboard = json!({
        "uid": "tidegate",
        "title": "tidegate",
        "tags": ["tidegate"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": { "from": "now-30m", "to": "now" },
        "templating": { "list": variables },
        "panels": panels,
    });
    serde_json::to_string_pretty(&dashboard).unwrap() + "\n"
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${source}" })
}

fn panel((at, metric): (usize, Metric)) -> Value {
    let legend: Vec<String> =
        labels(metric).split(", ").map(|label| format!("{{{{{label}}}}}")).collect();
    let target = |((expression, part), id): ((String, &str), char)| {
        json!({
            "refId": id,
            "datasource": source(),
            "expr": expression,
            "legendFormat": legend.join(" ") + part,
        })
    };
    let targets: Vec<Value> = expressions(metric).into_iter().zip('A'..).map(target).collect();
    let unit = match (metric.kind(), metric.unit()) {
        (_, "1") => "percentunit",
        (Kind::Counter, _) => "reqps",
        (_, "s") => "s",
        _ => "short",
    };
    json!({
        "id": at + 1,
        "type": "timeseries",
        "title": metric.help().trim_end_matches('.'),
        "datasource": source(),
        "gridPos": { "x": at % 2 * 12, "y": at / 2 * 8, "w": 12, "h": 8 },
        "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
        "targets": targets,
    })
}

/// Returns what the panel shows, and what each part of it is called, if there are several: a gauge
/// itself, a counter's rate, the mean and the 99th percentile of a histogram.
fn expressions(metric: Metric) -> Vec<(String, &'static str)> {
    let (name, labels) = (metric.name(), labels(metric));
    let rate = |suffix, labels| {
        format!("sum by ({labels}) (rate({name}{suffix}{{name=~\"$name\"}}[$__rate_interval]))")
    };
    match metric.kind() {
        Kind::Gauge => vec![(format!("sum by ({labels}) ({name}{{name=~\"$name\"}})"), "")],
        Kind::Counter => vec![(rate("", &labels), "")],
        _ => {
            let mean = format!("{} / {}", rate("_sum", &labels), rate("_count", &labels));
            let buckets = rate("_bucket", &format!("{labels}, le"));
            vec![(mean, " mean"), (format!("histogram_quantile(0.99, {buckets})"), " p99")]
        }
    }
}
