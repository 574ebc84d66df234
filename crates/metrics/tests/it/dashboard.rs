//! The page and the dashboard that the example writes.

use std::{collections::BTreeSet, fs};

use tidegate_metrics::Metric;

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
        let expression = panel["targets"][0]["expr"].as_str().unwrap();
        let words = expression.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        shown.extend(words.filter(|word| word.starts_with("tidegate_")).map(str::to_owned));
    }
    assert_eq!(shown, scraped);
}
