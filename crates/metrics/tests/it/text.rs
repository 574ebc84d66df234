//! The text, read by a parser of OpenMetrics.

use std::{collections::BTreeMap, sync::Arc};

use openmetrics_parser::{
    MetricNumber, OpenMetricsType, OpenMetricsValue, openmetrics::parse_openmetrics,
};
use tidegate_metrics::{Metric, Registry, Report, Sample, Sink, Value};
use tidegate_semaphore::Semaphore;

use crate::exporters::{numbers, watched};

/// Returns the number of each series, `name{label=value,…}` with sorted labels, as parsed.
pub(crate) fn parsed(text: &str) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::new();
    for (name, family) in parse_openmetrics(text).unwrap().families {
        assert!(!family.help.is_empty(), "{name}");
        for sample in family.iter_samples() {
            let labels = sample.get_labelset().unwrap();
            let mut labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
            labels.sort();
            let labels = labels.join(",");
            let mut put = |suffix: &str, number: f64| {
                let before = numbers.insert(format!("{name}{suffix}{{{labels}}}"), number);
                assert_eq!(before, None, "{name} twice");
            };
            match &sample.value {
                OpenMetricsValue::Counter(counter) => put("_total", counter.value.as_f64()),
                OpenMetricsValue::Gauge(number) => put("", number.as_f64()),
                OpenMetricsValue::Summary(summary) => {
                    put("_count", summary.count.map_or(f64::NAN, |n| n as f64));
                    put("_sum", summary.sum.as_ref().map_or(f64::NAN, MetricNumber::as_f64));
                }
                OpenMetricsValue::Histogram(histogram) => {
                    put("_count", histogram.count.map_or(f64::NAN, |n| n as f64));
                    put("_sum", histogram.sum.as_ref().map_or(f64::NAN, MetricNumber::as_f64));
                }
                other => panic!("{name} is {other:?}"),
            }
        }
    }
    numbers
}

#[test]
fn a_parser_of_openmetrics_reads_every_pattern() {
    let (registry, _objects) = watched();
    let text = registry.openmetrics();
    assert_eq!(parsed(&text), numbers(&registry));
    let families = parse_openmetrics(&text).unwrap().families;
    assert_eq!(families.len(), Metric::ALL.len());
    assert_eq!(families["tidegate_requests"].family_type, OpenMetricsType::Counter);
    assert_eq!(families["tidegate_wait_seconds"].family_type, OpenMetricsType::Summary);
    assert_eq!(families["tidegate_keys"].family_type, OpenMetricsType::Gauge);
}

#[test]
fn odd_names_come_back_from_the_parser() {
    let registry = Registry::new();
    let names = [
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
    let text = registry.openmetrics();
    assert_eq!(parsed(&text), numbers(&registry));
    let families = parse_openmetrics(&text).unwrap().families;
    let mut back: Vec<String> = families["tidegate_waiting"]
        .iter_samples()
        .map(|sample| sample.get_labelset().unwrap().get_label_value("name").unwrap().to_owned())
        .collect();
    let mut names = names.to_vec();
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
