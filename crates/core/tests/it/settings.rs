//! Durations and backoffs in files of settings.

use core::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tidegate_core::{Backoff, DurationText};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    timeout: DurationText,
    #[serde(with = "tidegate_core::duration_text")]
    delay: Duration,
    #[serde(default, with = "tidegate_core::duration_text::option")]
    patience: Option<Duration>,
    retry: Backoff,
}

const TEXT: &str = r#"
timeout = "1m30s"
delay = "250ms"

[retry]
initial = "1s"
"#;

fn settings() -> Settings {
    Settings {
        timeout: DurationText(Duration::from_secs(90)),
        delay: Duration::from_millis(250),
        patience: None,
        retry: Backoff::fixed(Duration::from_secs(1)),
    }
}

#[test]
fn what_a_file_leaves_out_is_the_default() {
    assert_eq!(toml::from_str::<Settings>(TEXT), Ok(settings()));
}

#[test]
fn a_wrong_setting_is_refused_with_its_line_and_what_is_allowed() {
    for (right, wrong, says) in [
        ("1m30s", "1m30", "expected a unit: d, h, m, s, ms, us or ns"),
        (r#""250ms""#, "250", "expected a duration as text, like \"1m30s\""),
        ("initial = \"1s\"", "", "missing field `initial`"),
        ("initial = \"1s\"", "initial = \"1s\"\nattempts = 3", "unknown field `attempts`"),
        (
            "initial = \"1s\"",
            "initial = \"2s\"\nmax = \"1s\"",
            "initial is 2s, but must be at most its maximum of 1s",
        ),
        (
            "initial = \"1s\"",
            "initial = \"1s\"\njitter = 1.5",
            "jitter is 1.5, but must be in 0..=1",
        ),
        (
            "initial = \"1s\"",
            "initial = \"1s\"\nmax_attempts = 0",
            "max_attempts is 0, but must be at least 1",
        ),
    ] {
        let error = toml::from_str::<Settings>(&TEXT.replace(right, wrong)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(says) && error.contains("line "), "{error}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        [timeout, delay, initial, more] in prop::array::uniform4(0..u64::MAX / 2),
        patience in prop::option::of(any::<u64>()),
        percent in 0..=100,
        (attempts, budget, seed) in (1..u32::MAX, 0..u32::MAX, 0..u64::MAX / 2),
    ) {
        let [initial, max] = [initial, initial + more].map(Duration::from_nanos);
        let jitter = f64::from(percent) / 100.0;
        let retry = Backoff::exponential(initial, max).jitter(jitter).max_attempts(attempts);
        let retry = if more % 2 == 0 { retry } else { retry.budget(budget).seed(seed) };
        let settings = Settings {
            timeout: DurationText(Duration::from_nanos(timeout)),
            delay: Duration::new(delay, 1),
            patience: patience.map(Duration::from_nanos),
            retry,
        };
        let text = toml::to_string(&settings).unwrap();
        prop_assert_eq!(&toml::from_str::<Settings>(&text).unwrap(), &settings);
        let text = serde_json::to_string(&settings).unwrap();
        prop_assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    }
}
