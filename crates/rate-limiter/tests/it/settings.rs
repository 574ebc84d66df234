//! Quotas and statistics in the formats of `serde`.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter, Stats};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    quota: Quota,
}

#[test]
fn a_quota_is_its_text() {
    for (text, quota) in [
        ("100/s burst 20", Quota::per_second(100).burst(20)),
        ("5/min", Quota::per_minute(5)),
        ("1/250ms", Quota::every(Duration::from_millis(250))),
    ] {
        let settings = Settings { quota };
        let file = format!("quota = \"{text}\"\n");
        assert_eq!(toml::to_string(&settings).unwrap(), file);
        assert_eq!(toml::from_str::<Settings>(&file).unwrap(), settings);
        let file = format!("{{\"quota\":\"{text}\"}}");
        assert_eq!(serde_json::to_string(&settings).unwrap(), file);
        assert_eq!(serde_json::from_str::<Settings>(&file).unwrap(), settings);
    }
}

#[test]
fn a_wrong_quota_is_refused_with_its_line_and_what_is_allowed() {
    for (file, says) in [
        ("quota = \"0/s\"", "expected tokens in 1..=1000000000 per 1s"),
        ("quota = \"5/s burst 0\"", "expected burst in 1..="),
        ("quota = 5", "expected a quota as text, like \"100/s burst 20\""),
        ("quote = \"5/s\"", "unknown field `quote`"),
    ] {
        let error = toml::from_str::<Settings>(file).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains(says), "{error}");
    }
}

#[test]
fn statistics_are_read_as_they_were_written() {
    let limiter = RateLimiter::with_clock(Quota::per_second(1), ManualClock::new());
    limiter.try_acquire(1).unwrap();
    limiter.try_acquire(1).unwrap_err();
    let stats = limiter.stats();
    let text = serde_json::to_string(&stats).unwrap();
    assert_eq!(
        text,
        r#"{"allowed":1,"refused":1,"waiting":0,"waited":0,"wait_time":"0s","waits":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}"#
    );
    assert_eq!(serde_json::from_str::<Stats>(&text).unwrap(), stats);
    assert_eq!(toml::from_str::<Stats>(&toml::to_string(&stats).unwrap()).unwrap(), stats);
}
