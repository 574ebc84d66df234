//! The text, read by a parser of Prometheus' format, and by hand where that knows no escapes.

use std::{collections::BTreeMap, sync::Arc};

use prometheus_parse::{LineInfo, SampleType, Scrape, Value as Parsed};
use tidegate_metrics::{Metric, Registry, Report, Sample, Sink, Value};
use tidegate_semaphore::Semaphore;

use crate::exporters::{numbers, watched};

/// Returns the number of each series, `name{label=value,…}` with sorted labels, as parsed.
pub(crate) fn parsed(text: &str) -> BTreeMap<String, f64> {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let is_sample = |line: &&str| !line.starts_with('#');
    assert_eq!(scrape.samples.len(), text.lines().filter(is_sample).count(), "{text}");
    let mut numbers = BTreeMap::new();
    for sample in &scrape.samples {
        let mut labels: Vec<String> =
            sample.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        labels.sort();
        let number = match sample.value {
            Parsed::Counter(number) | Parsed::Gauge(number) | Parsed::Untyped(number) => number,
            // The one bucket that prometheus-client adds to count and sum.
            Parsed::Histogram(_) => continue,
            Parsed::Summary(_) => panic!("no quantile is reported"),
        };
        let series = format!("{}{{{}}}", sample.metric, labels.join(","));
        assert_eq!(numbers.insert(series, number), None, "{} twice", sample.metric);
    }
    numbers
}

#[test]
fn a_parser_of_prometheus_reads_every_pattern() {
    let (registry, _objects) = watched();
    let text = registry.openmetrics();
    assert_eq!(parsed(&text), numbers(&registry));
    let (mut types, mut helps) = (BTreeMap::new(), 0);
    for line in text.lines() {
        match LineInfo::parse(line) {
            LineInfo::Type { metric_name, sample_type, .. } => {
                assert_eq!(types.insert(metric_name, sample_type), None);
            }
            LineInfo::Doc { metric_name, .. } => {
                assert!(types.contains_key(metric_name));
                helps += 1;
            }
            LineInfo::Ignored => assert_eq!(line, "# EOF"),
            _ => {}
        }
    }
    assert!(text.ends_with("\n# EOF\n"));
    assert_eq!((types.len(), helps), (Metric::ALL.len(), Metric::ALL.len()));
    assert_eq!(types["tidegate_requests"], SampleType::Counter);
    assert_eq!(types["tidegate_wait_seconds"], SampleType::Summary);
    assert_eq!(types["tidegate_keys"], SampleType::Gauge);
}

/// Splits a text behind the quote that ends a label's value; returns the value, read by the escapes
/// of OpenMetrics, and the rest.
fn label_value(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next().expect("a value ends with a quote") {
            '"' => return (value, chars.as_str()),
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(char @ ('"' | '\\')) => value.push(char),
                other => panic!("{other:?} is not to be escaped"),
            },
            char => value.push(char),
        }
    }
}

#[test]
fn odd_names_can_be_read_by_the_rules_of_openmetrics() {
    let registry = Registry::new();
    let mut names = [
        "",
        " ",
        "a \"quoted\" one",
        "C:\\new\\table",
        "two\nlines",
        "\\",
        "\\n",
        "{a=\"b\"} 1",
        "#",
        "émoji 🦀",
        "a,b=c",
    ];
    let objects = names.map(|name| {
        let permits = Arc::new(Semaphore::new(1));
        registry.watch(name, &permits).unwrap();
        permits
    });
    let mut back = Vec::new();
    for line in registry.openmetrics().lines().filter(|line| !line.starts_with('#')) {
        let (metric, labels) = line.split_once("{name=\"").unwrap();
        let (name, rest) = label_value(labels);
        if metric == "tidegate_waiting" {
            assert_eq!(rest, ",pattern=\"semaphore\"} 0");
            back.push(name);
        }
    }
    back.sort();
    names.sort_unstable();
    assert_eq!(back, names);
    drop(objects);
}

/// Reports one gauge, which may be no usual number.
struct Odd(f64);

impl Report for Odd {
    fn report(&self, to: &mut dyn Sink) {
        to.record(Sample::gauge("odd", Metric::BreakerSlowRatio, self.0));
    }
}

#[test]
fn odd_numbers_are_spelled_as_openmetrics_says() {
    let numbers = [
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
        (0.1, "0.1"),
        (-0.0, "-0"),
        (3.0, "3"),
    ];
    for (number, spelled) in numbers {
        let (registry, odd) = (Registry::new(), Arc::new(Odd(number)));
        registry.watch("odd", &odd).unwrap();
        let text = registry.openmetrics();
        let line = format!("\ntidegate_breaker_slow_ratio{{name=\"odd\"}} {spelled}\n");
        assert!(text.contains(&line), "{text}");
        let read = *parsed(&text).values().next().unwrap();
        assert!(read == number || (read.is_nan() && number.is_nan()));
        assert!(matches!(registry.read()[0].sample.value, Value::Gauge(_)));
    }
}
