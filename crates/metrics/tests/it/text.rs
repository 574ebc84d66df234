//! The text, read by a parser of Prometheus' format, and by hand where that knows no escapes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prometheus_parse::{LineInfo, SampleType, Scrape, Value as Parsed};
use tidegate_core::ManualClock;
use tidegate_metrics::{Metric, Registry, Report, Sample, Sink, Value};
use tidegate_semaphore::Semaphore;

use crate::exporters::{numbers, watched};

/// Returns the number of each series, `name{label=value,…}` with sorted labels, as parsed.
pub(crate) fn parsed(text: &str) -> BTreeMap<String, f64> {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let is_sample = |line: &&str| !line.starts_with('#');
    let mut numbers = BTreeMap::new();
    let mut put = |name: &str, labels: &[String], number| {
        let mut labels = labels.to_vec();
        labels.sort();
        let series = format!("{name}{{{}}}", labels.join(","));
        assert_eq!(numbers.insert(series, number), None, "{name} twice");
    };
    for sample in &scrape.samples {
        let labels: Vec<String> =
            sample.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        match &sample.value {
            Parsed::Counter(number) | Parsed::Gauge(number) | Parsed::Untyped(number) => {
                put(&sample.metric, &labels, *number);
            }
            Parsed::Histogram(buckets) => {
                assert!(
                    buckets
                        .is_sorted_by(|a, b| { a.less_than < b.less_than && a.count <= b.count })
                );
                for bucket in buckets {
                    let bound = [format!("le={}", bucket.less_than)];
                    put(
                        &format!("{}_bucket", sample.metric),
                        &[&labels, &bound[..]].concat(),
                        bucket.count,
                    );
                }
            }
            Parsed::Summary(_) => panic!("no quantile is reported"),
        }
    }
    assert_eq!(numbers.len(), text.lines().filter(is_sample).count(), "{text}");
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
                let buckets = format!("{metric_name}_bucket");
                assert!(types.contains_key(metric_name) || types.contains_key(&buckets));
                helps += 1;
            }
            LineInfo::Ignored => assert_eq!(line, "# EOF"),
            _ => {}
        }
    }
    assert!(text.ends_with("\n# EOF\n"));
    assert_eq!((types.len(), helps), (Metric::ALL.len(), Metric::ALL.len()));
    assert_eq!(types["tidegate_requests"], SampleType::Counter);
    // The parser looks for the type of a histogram at its buckets.
    assert_eq!(types["tidegate_wait_seconds_bucket"], SampleType::Histogram);
    assert_eq!(types["tidegate_batch_items_bucket"], SampleType::Histogram);
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

#[test]
fn a_histogram_is_written_with_its_bounds_upwards_and_cumulative() {
    let clock = ManualClock::new();
    let permits = Arc::new(Semaphore::builder(1).clock(clock.clone()).build());
    for millis in [0, 5, 6, 70_000] {
        let held = permits.try_acquire(1).unwrap();
        let mut waiter = test_kit::Task::new(permits.acquire(1));
        assert!(waiter.is_pending());
        clock.advance(Duration::from_millis(millis));
        drop(held);
        drop(waiter.output().unwrap());
    }
    let registry = Registry::new();
    registry.watch("payments", &permits).unwrap();
    let text = registry.openmetrics();
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains("tidegate_wait_seconds")).collect();
    let mut expected = vec![
        "# TYPE tidegate_wait_seconds histogram".to_owned(),
        "# HELP tidegate_wait_seconds Waits that are over, and how long they took.".to_owned(),
    ];
    let bounds = [
        ("1e-06", 1),
        ("1e-05", 1),
        ("0.0001", 1),
        ("0.001", 1),
        ("0.005", 2),
        ("0.01", 3),
        ("0.025", 3),
        ("0.05", 3),
        ("0.1", 3),
        ("0.25", 3),
        ("0.5", 3),
        ("1.0", 3),
        ("2.5", 3),
        ("5.0", 3),
        ("10.0", 3),
        ("+Inf", 4),
    ];
    let labels = r#"name="payments",pattern="semaphore""#;
    for (bound, count) in bounds {
        let bucket = format!("tidegate_wait_seconds_bucket{{{labels},le=\"{bound}\"}} {count}");
        expected.push(bucket);
    }
    expected.push(format!("tidegate_wait_seconds_count{{{labels}}} 4"));
    expected.push(format!("tidegate_wait_seconds_sum{{{labels}}} 70.011"));
    assert_eq!(lines, expected);
}
