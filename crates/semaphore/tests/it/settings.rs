//! Settings as plain data, and statistics, in the formats of `serde`.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use test_kit::builder_methods;
use tidegate_semaphore::{
    AcquireError, Fairness, ManualClock, Semaphore, SemaphoreSettings, Stats, Wait,
    adaptive::{self, AdaptiveSemaphore, AdaptiveSettings, Vegas},
};

/// Writes and reads a value in both formats.
fn again<T: Serialize + DeserializeOwned>(value: &T) -> [T; 2] {
    let json = serde_json::to_string(value).unwrap();
    let toml = toml::to_string(value).unwrap();
    [serde_json::from_str(&json).unwrap(), toml::from_str(&toml).unwrap()]
}

fn field_names(settings: impl Serialize) -> Vec<String> {
    let Value::Object(fields) = serde_json::to_value(settings).unwrap() else {
        panic!("settings are a table");
    };
    fields.into_iter().map(|(name, _)| name).collect()
}

fn read(text: &str) -> SemaphoreSettings {
    toml::from_str(text).unwrap()
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let fairness = ["fifo", "barging", "lifo"].map(|name| format!("{name:?}"));
    for fairness in [fairness.as_slice(), &["{ eventual = { overtakes = 3 } }".into()]].concat() {
        let settings = read(&format!(
            "permits = 8\nfairness = {fairness}\nmax_waiters = 9\nwait_for_capacity = true",
        ));
        assert_eq!(again(&settings), [settings.clone(), settings]);
    }
    for settings in ["", "min = 1\nmax = 9\ninitial = 2\nmin_samples = 7\nmax_waiters = 0"] {
        let settings: AdaptiveSettings = toml::from_str(settings).unwrap();
        assert_eq!(again(&settings), [settings.clone(), settings]);
    }
}

#[test]
fn statistics_are_read_as_they_were_written() {
    let clock = ManualClock::new();
    let semaphore = Semaphore::builder(3).clock(clock.clone()).build();
    let _held = semaphore.try_acquire(2).unwrap();
    semaphore.try_acquire(4).unwrap_err();
    let stats: Stats = semaphore.stats();
    assert_eq!(again(&stats), [stats; 2]);
    assert!(serde_json::to_string(&stats).unwrap().contains(r#""wait_time":"0s""#));

    let limit = AdaptiveSemaphore::builder(Vegas::new()).clock(clock.clone()).build().unwrap();
    assert_eq!(again::<adaptive::Stats>(&limit.stats()), [limit.stats(); 2]);
    let permit = limit.try_acquire().unwrap();
    clock.advance(core::time::Duration::from_millis(1500));
    permit.success();
    assert_eq!(again(&limit.stats()), [limit.stats(); 2]);
    assert!(serde_json::to_string(&limit.stats()).unwrap().contains(r#""min_rtt":"1s500ms""#));
}

#[test]
fn an_unknown_field_is_refused() {
    for text in ["permits = 1\nfair = true", "fairness = \"fifo\""] {
        toml::from_str::<SemaphoreSettings>(text).unwrap_err();
    }
    let error = toml::from_str::<AdaptiveSettings>("least = 1").unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("unknown field `least`"), "{error}");
}

#[test]
fn a_wrong_setting_is_refused_with_its_name_and_range() {
    let error = read("permits = 4294967296").builder().unwrap_err();
    assert_eq!(error.to_string(), "permits is 4294967296, but must be in 0..=4294967295");
    for (text, says) in [
        ("max = 0", "max is 0, but must be in 1..=4294967295"),
        ("min = 0", "min is 0, but must be in 1..=200"),
        ("initial = 201", "initial is 201, but must be in 1..=200"),
        ("min_samples = 0", "min_samples is 0, but must be in 1..=4294967295"),
    ] {
        let settings: AdaptiveSettings = toml::from_str(text).unwrap();
        let error = settings.builder(Vegas::new()).build().unwrap_err();
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn what_a_file_sets_is_what_the_builder_sets() {
    let debug = |settings: &str| format!("{:?}", read(settings).builder().unwrap());
    assert_eq!(debug("permits = 5"), format!("{:?}", Semaphore::builder(5)));
    let builder = Semaphore::builder(5).fairness(Fairness::Lifo).max_waiters(7);
    assert_eq!(
        debug("permits = 5\nfairness = \"lifo\"\nmax_waiters = 7\nwait_for_capacity = true"),
        format!("{:?}", builder.wait_for_capacity(true)),
    );

    let debug = |settings: &str| {
        let settings: AdaptiveSettings = toml::from_str(settings).unwrap();
        format!("{:?}", settings.builder(Vegas::new()))
    };
    let builder = || AdaptiveSemaphore::builder(Vegas::new());
    assert_eq!(debug(""), format!("{:?}", builder()));
    let builder = builder().min(2).max(9).initial(3).min_samples(4).max_waiters(0);
    assert_eq!(
        debug(
            "min = 2\nmax = 9\ninitial = 3\nmin_samples = 4\nmax_waiters = 0\nfairness = \"barging\""
        ),
        format!("{:?}", builder.fairness(Fairness::Barging)),
    );
    let full = read("permits = 0\nmax_waiters = 0").builder().unwrap().build();
    assert_eq!(full.acquire(1).wait().err(), Some(AcquireError::TooMany));
}

/// A clock is no plain data.
#[test]
fn each_setting_of_the_builders_has_a_field() {
    let mut names = field_names(SemaphoreSettings::new(0));
    names.retain(|name| name != "permits");
    names.push("clock".into());
    names.sort_unstable();
    assert_eq!(builder_methods(include_str!("../../src/builder.rs")), names);

    let mut names = field_names(AdaptiveSettings::default());
    names.push("clock".into());
    names.sort_unstable();
    assert_eq!(builder_methods(include_str!("../../src/adaptive/builder.rs")), names);
}
