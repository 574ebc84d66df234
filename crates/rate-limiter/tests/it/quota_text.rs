//! Quotas as constants and as text.

use core::time::Duration;
use std::panic::catch_unwind;

use proptest::prelude::*;
use tidegate_rate_limiter::Quota;

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_constant_quota_needs_no_unwrapping() {
    const QUOTA: Quota = Quota::per_second(1000).burst(10);
    assert_eq!((QUOTA.tokens(), QUOTA.max_burst()), (1000, 10));
    assert_eq!(QUOTA.period(), Duration::from_secs(1));
}

#[test]
fn a_quota_out_of_its_range_panics() {
    for make in [
        || Quota::per_second(0),
        || Quota::per_second(1_000_000_001),
        || Quota::per_minute(0),
        || Quota::per_hour(0),
        || Quota::every(Duration::ZERO),
        || Quota::per(1, Duration::ZERO),
        || Quota::per_hour(1).burst(0),
        || Quota::per_hour(1).burst(320_256),
    ] {
        assert!(catch_unwind(make).is_err());
    }
}

#[test]
fn a_quota_is_read_from_its_text() {
    for (text, quota) in [
        ("100/s burst 20", Quota::per_second(100).burst(20)),
        ("5/min", Quota::per_minute(5)),
        ("1/250ms", Quota::every(MILLIS(250))),
        ("3/h burst 3", Quota::per_hour(3)),
        ("7/d", Quota::per(7, Duration::from_secs(86_400))),
        ("1000/1s", Quota::per_second(1000)),
        ("10/1m30s burst 2", Quota::per(10, Duration::from_secs(90)).burst(2)),
    ] {
        assert_eq!(text.parse(), Ok(quota), "{text}");
    }
}

#[test]
fn a_quota_is_written_in_its_shortest_form() {
    for text in ["100/s burst 20", "5/min", "1/250ms", "1/h", "9/d burst 2", "10/1m30s"] {
        assert_eq!(text.parse::<Quota>().unwrap().to_string(), text);
    }
    assert_eq!("3/60s burst 3".parse::<Quota>().unwrap().to_string(), "3/min");
}

#[test]
fn a_wrong_quota_is_refused_with_its_place_and_what_is_allowed() {
    const PERIOD: &str = "a period: s, min, h, d, or a duration such as 250ms";
    for (text, position, expected) in [
        ("", 0, "a rate, as 100/s"),
        ("100", 3, "a rate, as 100/s"),
        ("/s", 0, "a whole number"),
        ("+5/s", 0, "a whole number"),
        ("1.5/s", 1, "a whole number"),
        ("4294967296/s", 0, "at most 4294967295"),
        ("0/s", 0, "tokens in 1..=1000000000 per 1s"),
        ("1000000001/s", 0, "tokens in 1..=1000000000 per 1s"),
        ("5/", 2, PERIOD),
        ("5/m", 2, PERIOD),
        ("5/second", 2, PERIOD),
        ("5/0s", 2, "period above 0"),
        ("5/250", 5, "a unit: d, h, m, s, ms, us or ns"),
        ("5/30s1m", 6, "a smaller unit than before"),
        ("5/s bursts 3", 4, "burst and a whole number"),
        ("5/s burst", 4, "burst and a whole number"),
        ("5/s ", 4, "burst and a whole number"),
        ("5/s burst ", 10, "a whole number"),
        ("5/s burst 3 ", 11, "a whole number"),
        ("5/s burst 0", 10, "burst in 1..=4294967295"),
        ("1/h burst 320256", 10, "burst in 1..=320255"),
    ] {
        let error = text.parse::<Quota>().unwrap_err();
        assert_eq!((error.text(), error.position(), error.expected()), (text, position, expected));
    }
}

proptest! {
    #[test]
    fn a_quota_comes_back_from_its_text(
        tokens in prop_oneof![1..=100_u32, 1..=u32::MAX],
        period in prop_oneof![
            (1..=100_u64).prop_map(MILLIS),
            (1..=10_000_u64).prop_map(Duration::from_secs),
            (1..=u64::MAX).prop_map(Duration::from_nanos),
        ],
        burst in prop_oneof![1..=100_u32, 1..=u32::MAX],
    ) {
        let quota = Quota::try_per(tokens, period).and_then(|quota| quota.try_burst(burst));
        if let Ok(quota) = quota {
            prop_assert_eq!(quota.to_string().parse(), Ok(quota), "{}", quota);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "([0-9]{0,11}[/ a-z]{0,7}µ?){0,4}") {
        if let Ok(quota) = text.parse::<Quota>() {
            prop_assert_eq!(quota.to_string().parse(), Ok(quota));
        }
    }
}
