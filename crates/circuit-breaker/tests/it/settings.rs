//! Settings as plain data, and statistics, in the formats of `serde`.

use core::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use test_kit::builder_methods;
use tidegate_circuit_breaker::{
    Breaker, BreakerSettings, OpenFor, State, Stats, Throttle, ThrottleStats, TripRule, Window,
};

/// Writes and reads a value in both formats.
fn again<T: Serialize + DeserializeOwned>(value: &T) -> [T; 2] {
    let json = serde_json::to_string(value).unwrap();
    let toml = toml::to_string(value).unwrap();
    [serde_json::from_str(&json).unwrap(), toml::from_str(&toml).unwrap()]
}

fn read(text: &str) -> BreakerSettings {
    toml::from_str(text).unwrap()
}

const FULL: &str = r#"
consecutive = 8
failure_rate = 0.5
slow_rate = 0.75
slow_after = "2s"
minimum_calls = 20
count_inflight_slow = true
window = { span = "10s", slices = 10 }
open_for = "1s"
max_open_for = "1m"
jitter = 0.1
probes = 3
close_after = 4
probe_timeout = "1m30s"
seed = 7
"#;

#[test]
fn what_is_written_is_read_as_the_same() {
    for text in ["", FULL, "failure_rate = 1.0\nwindow = { count = 50 }"] {
        let settings = read(text);
        assert_eq!(again(&settings), [settings.clone(), settings]);
    }
}

#[test]
fn what_a_file_sets_is_what_the_builder_sets() {
    let second = Duration::from_secs(1);
    let slow = TripRule::slow_rate(0.75, 2 * second).count_inflight_slow();
    let rule = TripRule::failure_rate(0.5, Window::time(10 * second, 10)).or(slow);
    let builder = Breaker::builder()
        .trip_on(TripRule::consecutive(8).or(rule.minimum_calls(20)))
        .open_for(OpenFor::exponential(second, 60 * second).jitter(0.1))
        .probes(3)
        .close_after(4)
        .probe_timeout(90 * second);
    assert_eq!(format!("{:?}", read(FULL).builder()), format!("{builder:?}"));
    assert!(read(FULL).builder().build().is_ok());
}

#[test]
fn what_a_file_leaves_out_is_the_builders_default() {
    let debug = |settings: &str| format!("{:?}", read(settings).builder());
    assert_eq!(debug(""), format!("{:?}", Breaker::builder()));
    let rate = TripRule::failure_rate(0.5, Window::count(100));
    assert_eq!(
        debug("failure_rate = 0.5\nwindow = { count = 100 }"),
        format!("{:?}", Breaker::builder().trip_on(rate)),
        "a rate takes the place of the failures in a row",
    );
    assert_eq!(
        debug("open_for = \"3s\""),
        format!("{:?}", Breaker::builder().open_for(OpenFor::fixed(Duration::from_secs(3)))),
    );
}

#[test]
fn an_unknown_field_is_refused() {
    for (text, says) in [
        ("failures = 8", "unknown field `failures`"),
        ("window = { n = 8 }", "unknown field `n`"),
        ("window = { span = \"1s\" }", "expected a window of count, or one of span and slices"),
        ("window = { count = 1, slices = 2 }", "expected a window of count"),
        ("open_for = 5", "expected a duration as text"),
    ] {
        let error = toml::from_str::<BreakerSettings>(text).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains(says), "{error}");
    }
}

#[test]
fn a_wrong_setting_is_refused_with_its_name_and_range() {
    for (text, says) in [
        ("consecutive = 0", "consecutive is 0, but must be in 1..=8191"),
        ("failure_rate = 1.5", "failure_rate is 1.5, but must be above 0 and at most 1"),
        (
            "slow_rate = 0.0\nslow_after = \"1s\"",
            "slow_rate is 0.0, but must be above 0 and at most 1",
        ),
        ("slow_rate = 0.5", "slow_after is not set, but must be set with a slow_rate"),
        ("slow_after = \"0s\"", "slow_after is 0ns, but must be above zero"),
        ("minimum_calls = 3", "minimum_calls is 3, but must be left out of a rule without a rate"),
        ("failure_rate = 0.5\nminimum_calls = 101", "minimum_calls is 101, but must be in 1..=100"),
        (
            "count_inflight_slow = true",
            "count_inflight_slow is true, but must be set with a threshold only",
        ),
        ("window = { count = 0 }", "window.count is 0, but must be in 1..=1000000"),
        ("window = { span = \"1s\", slices = 0 }", "window.slices is 0, but must be in 1..=3600"),
        ("window = { span = \"1ns\", slices = 2 }", "window.span is 1ns, but must be at least 2ns"),
        (
            "open_for = \"2s\"\nmax_open_for = \"1s\"",
            "open_for is 2s, but must be above zero and at most its maximum of 1s",
        ),
        ("jitter = 2.0", "jitter is 2.0, but must be in 0..=1"),
        ("probes = 0", "probes is 0, but must be in 1..=8191"),
        ("close_after = 8192", "close_after is 8192, but must be in 1..=8191"),
        ("probe_timeout = \"0s\"", "probe_timeout is 0ns, but must be above zero"),
    ] {
        let error = read(text).builder().build().unwrap_err();
        assert_eq!(error.to_string(), says);
        assert_eq!(error.within("breaker").to_string(), format!("breaker.{says}"));
    }
}

#[test]
fn statistics_are_read_as_they_were_written() {
    let breaker = read("consecutive = 1").builder().build().unwrap();
    let written = |breaker: &Breaker| again::<Stats>(&breaker.stats());
    assert_eq!(written(&breaker), [breaker.stats(); 2]);
    breaker.try_enter().unwrap().failure();
    assert_eq!(written(&breaker), [breaker.stats(); 2]);
    assert_eq!(serde_json::to_value(State::HalfOpen).unwrap(), "half_open");

    let throttle = Throttle::new(2.0, Duration::from_secs(60)).unwrap();
    assert_eq!(again::<ThrottleStats>(&throttle.stats()), [throttle.stats(); 2]);
}

/// Clocks, observers and functions are no plain data. What `trip_on` gets has a field for each
/// part, and so has what `open_for` gets.
#[test]
fn each_setting_of_the_builder_has_a_field() {
    let Value::Object(fields) = serde_json::to_value(BreakerSettings::default()).unwrap() else {
        panic!("settings are a table");
    };
    let code = ["classifier", "classify", "classify_errors", "clock", "observer", "trip_when"];
    let parts = [
        "consecutive",
        "failure_rate",
        "slow_rate",
        "slow_after",
        "minimum_calls",
        "window",
        "count_inflight_slow",
        "max_open_for",
        "jitter",
    ];
    let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
    names.retain(|name| !parts.contains(name));
    names.extend(code.into_iter().chain(["trip_on"]));
    names.sort_unstable();
    assert_eq!(builder_methods(include_str!("../../src/builder.rs")), names);

    let mut names: Vec<_> =
        fields.keys().map(String::as_str).filter(|name| parts.contains(name)).collect();
    names.retain(|name| !["max_open_for", "jitter", "window"].contains(name));
    // These two make a rule of others, and `over` sets the window.
    names.extend(["never", "or", "over"]);
    names.sort_unstable();
    let source = include_str!("../../src/rule.rs");
    let mut methods: Vec<_> = source
        .lines()
        .filter_map(|line| {
            line.trim_start()
                .strip_prefix("pub const fn ")
                .or_else(|| line.trim_start().strip_prefix("pub fn "))
        })
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
        .collect();
    methods.sort_unstable();
    assert_eq!(methods, names);
}
