//! The page and the dashboard that the example writes.

use std::{collections::BTreeSet, fs};

use tidegate_metrics::{Kind, Metric};

use crate::{exporters::watched, text::parsed};

#[allow(dead_code, reason = "its `main` is for the example")]
#[path = "../../examples/dashboard.rs"]
mod written;

#[test]
fn page_and_dashboard_are_those_of_the_table() {
    let again = "cargo run -p tidegate-metrics --example dashboard -- --write";
    for (path, text) in
        [("metrics.md", written::page()), ("grafana/tidegate.json", written::dashboard())]
    {
        let kept = fs::read_to_string(written::docs().join(path)).unwrap_or_default();
        assert!(kept == text, "docs/{path} is not that of the table: {again}");
    }
}

/// Returns the name that exporters of OpenTelemetry make for Prometheus, by the rules of its
/// specification: units in braces are left out.
fn exported_name(name: &str, unit: &str, is_counter: bool) -> String {
    let mut exported = name.replace('.', "_");
    let unit = match unit {
        "s" => "_seconds",
        "1" if !is_counter => "_ratio",
        _ => "",
    };
    if !exported.ends_with(unit) {
        exported += unit;
    }
    if is_counter { exported + "_total" } else { exported }
}

#[test]
fn the_page_says_where_exporters_of_opentelemetry_make_other_names() {
    for metric in Metric::ALL {
        let (name, unit, is_counter) =
            (metric.otel_name(), metric.unit(), metric.kind() == Kind::Counter);
        let is_same = exported_name(name, unit, is_counter) == metric.name();
        assert!(is_same || metric.kind() == Kind::Histogram, "{name}");
    }
    let wait = Metric::Wait.otel_name();
    let count = exported_name(&format!("{wait}.count"), "", true);
    let sum = exported_name(&format!("{wait}.sum"), Metric::Wait.unit(), true);
    let buckets = exported_name(&format!("{wait}.bucket"), "", true);
    assert!(written::page().contains(&format!("`{buckets}`, `{count}`\nand `{sum}`")));
}

#[test]
fn the_dashboard_shows_what_is_scraped() {
    let (registry, _objects) = watched();
    let scraped: BTreeSet<String> = parsed(&registry.openmetrics())
        .into_keys()
        .map(|series| series.split('{').next().unwrap().to_owned())
        .collect();
    let dashboard: serde_json::Value = serde_json::from_str(&written::dashboard()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert_eq!(panels.len(), Metric::ALL.len());
    let mut shown = BTreeSet::new();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|char: char| !(char.is_alphanumeric() || char == '_'));
            shown.extend(words.filter(|word| word.starts_with("tidegate_")).map(str::to_owned));
        }
    }
    assert_eq!(shown, scraped);
}
