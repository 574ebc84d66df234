//! Durations as text, against the crate `humantime`.

use core::time::Duration;

use proptest::{collection::vec, prelude::*, sample::subsequence};
use tidegate_core::DurationText;

fn read(text: &str) -> Option<Duration> {
    text.parse().ok().map(|DurationText(duration)| duration)
}

#[test]
fn a_duration_is_read_from_its_units() {
    for (text, nanos) in [
        ("0s", 0),
        ("30s", 30_000_000_000),
        ("1m30s", 90_000_000_000),
        ("5min", 300_000_000_000),
        ("250ms", 250_000_000),
        ("1500us", 1_500_000),
        ("007ns", 7),
        ("1d2h3m4s5ms6us7ns", 93_784_005_006_007),
    ] {
        assert_eq!(read(text), Some(Duration::from_nanos(nanos)), "{text}");
    }
}

#[test]
fn a_wrong_duration_is_refused_with_its_place_and_what_is_allowed() {
    const UNIT: &str = "a unit: d, h, m, s, ms, us or ns";
    for (text, position, expected) in [
        ("", 0, "a whole number"),
        ("s", 0, "a whole number"),
        (" 1s", 0, "a whole number"),
        ("-1s", 0, "a whole number"),
        ("30", 2, UNIT),
        ("1.5s", 1, UNIT),
        ("1s ", 1, UNIT),
        ("1m 30s", 1, UNIT),
        ("1m30sec", 4, UNIT),
        ("1µs", 1, UNIT),
        ("30s1m", 4, "a smaller unit than before"),
        ("1m1min", 3, "a smaller unit than before"),
        ("1s1s", 3, "a smaller unit than before"),
        ("1s99999999999999999999ms", 2, "less than 2^64 seconds in all"),
        ("213503982334602d", 0, "less than 2^64 seconds in all"),
        ("213503982334601d25216s", 16, "less than 2^64 seconds in all"),
    ] {
        let error = text.parse::<DurationText>().unwrap_err();
        assert_eq!((error.text(), error.position(), error.expected()), (text, position, expected));
    }
    assert_eq!(read("213503982334601d25215s"), Some(Duration::from_secs(u64::MAX)));
}

fn durations() -> impl Strategy<Value = Duration> {
    let seconds = prop_oneof![0_u64..100_000, any::<u64>()];
    let nanos = prop_oneof![Just(0_u32), 0_u32..1000, 0_u32..1_000_000_000];
    (seconds, nanos).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

proptest! {
    #[test]
    fn a_duration_comes_back_from_its_text(duration in durations()) {
        let text = DurationText(duration).to_string();
        prop_assert_eq!(read(&text), Some(duration), "{}", text);
        prop_assert_eq!(humantime::parse_duration(&text), Ok(duration), "{}", text);
    }

    #[test]
    fn texts_of_units_in_order_are_read_as_by_humantime(
        units in subsequence(vec!["d", "h", "m", "s", "ms", "us", "ns"], 1..=7),
        numbers in vec(prop_oneof![0_u64..1000, 0_u64..10_000_000_000], 7),
    ) {
        let parts = units.iter().zip(numbers).map(|(unit, number)| format!("{number}{unit}"));
        let text = parts.collect::<String>();
        prop_assert_eq!(read(&text), humantime::parse_duration(&text).ok(), "{}", text);
    }

    #[test]
    fn what_is_read_of_any_text_is_read_so_by_humantime(text in "([0-9]{0,3}[ dhmnsu.-]{0,3}){0,4}") {
        if let Some(duration) = read(&text) {
            prop_assert_eq!(humantime::parse_duration(&text), Ok(duration), "{}", text);
        }
    }
}
