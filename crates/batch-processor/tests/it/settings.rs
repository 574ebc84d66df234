//! Settings as plain data, and statistics, in the formats of `serde`.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use test_kit::builder_methods;
use tidegate_batch_processor::{BatchError, Batcher, BatcherSettings, BuildError, Stats, Wait};

/// Writes and reads a value in both formats.
fn again<T: Serialize + DeserializeOwned>(value: &T) -> [T; 2] {
    let json = serde_json::to_string(value).unwrap();
    let toml = toml::to_string(value).unwrap();
    [serde_json::from_str(&json).unwrap(), toml::from_str(&toml).unwrap()]
}

fn read(text: &str) -> BatcherSettings {
    toml::from_str(text).unwrap()
}

fn echo(items: Vec<u8>) -> Result<Vec<u8>, ()> {
    Ok(items)
}

fn refused(text: &str) -> BuildError {
    read(text).builder().build(echo).unwrap_err()
}

const FULL: &str = r#"
max_items = 2
max_delay = "1m30s"
capacity = 3
max_in_flight = 4
policy = { balanced = { min = 1 } }
on_full = "drop_newest"
retry = { initial = "1ms", max = "1s", jitter = 0.5, max_attempts = 4, budget = 20, seed = 7 }
on_error = "bisect"
"#;

#[test]
fn what_is_written_is_read_as_the_same() {
    for text in ["", FULL, "policy = \"immediate\"\non_full = \"reject\"", "policy = \"size\""] {
        let settings = read(text);
        assert_eq!(again(&settings), [settings.clone(), settings]);
    }
}

#[test]
fn what_a_file_sets_reaches_the_batcher() {
    let settings =
        read("max_items = 2\ncapacity = 2\npolicy = \"size\"\non_full = \"drop_oldest\"");
    let (batcher, driver) = settings.builder().build(echo).unwrap();
    let replies = [1, 2, 3].map(|item| batcher.try_submit(item).unwrap());
    batcher.close();
    driver.wait();
    let [oldest, ..] = replies.map(Wait::wait);
    assert!(matches!(oldest, Err(BatchError::Dropped)));

    let mut calls = 0;
    let retried = move |items: Vec<u8>| {
        calls += 1;
        if calls < 3 { Err(calls) } else { Ok(items) }
    };
    let retry = "retry = { initial = \"1ns\" }\nmax_delay = \"0s\"";
    let (batcher, driver) = read(retry).builder().build_on_thread(retried).unwrap();
    assert_eq!(batcher.submit(7).wait().unwrap(), 7);
    assert_eq!(batcher.stats().retries, 2);
    drop(batcher);
    driver.join();

    let odd = |items: Vec<u8>| if items.contains(&2) { Err(()) } else { Ok(items) };
    let bisect = "max_items = 2\non_error = \"bisect\"";
    let (batcher, driver) = read(bisect).builder().build_on_thread(odd).unwrap();
    let replies = [1, 2].map(|item| batcher.try_submit(item).unwrap());
    assert_eq!(replies.map(|reply| reply.wait().is_ok()), [true, false]);
    drop(batcher);
    driver.join();
}

#[test]
fn what_a_file_leaves_out_is_the_builders_default() {
    assert_eq!(
        format!("{:?}", read("").builder::<u8>()),
        format!("{:?}", Batcher::<u8, _, _>::builder())
    );
}

#[test]
fn items_that_cannot_be_cloned_have_no_recovery() {
    struct Unique;
    let (batcher, _driver) = read("max_items = 1")
        .builder_without_recovery()
        .unwrap()
        .build(|items: Vec<Unique>| Ok::<_, ()>(items))
        .unwrap();
    assert!(batcher.try_push(Unique).is_ok());
    for (text, setting) in
        [("retry = { initial = \"1s\" }", "retry"), ("on_error = \"bisect\"", "on_error")]
    {
        let error = read(text).builder_without_recovery::<Unique>().unwrap_err();
        assert_eq!(
            (error.setting(), error.range()),
            (setting, "left out for items that are not Clone")
        );
    }
}

#[test]
fn an_unknown_field_is_refused() {
    for (text, says) in [
        ("max_size = 8", "unknown field `max_size`"),
        ("policy = \"never\"", "unknown variant `never`"),
        ("policy = { balanced = { max = 1 } }", "max, available keys: min"),
        ("retry = { initial = \"1s\", jitter = 1.5 }", "jitter is 1.5, but must be in 0..=1"),
        ("max_delay = 5", "expected a duration as text"),
    ] {
        let error = toml::from_str::<BatcherSettings>(text).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains(says), "{error}");
    }
}

#[test]
fn a_wrong_setting_is_refused_with_its_name_and_range() {
    for (text, says) in [
        ("max_items = 0", "max_items is 0, but must be at least 1"),
        ("max_in_flight = 0", "max_in_flight is 0, but must be at least 1"),
        ("capacity = 99", "capacity is 99, but must be at least max_items, 100"),
        (
            "policy = { balanced = { min = 101 } }",
            "policy.min is 101, but must be from 1 to max_items, 100",
        ),
    ] {
        assert_eq!(refused(text).within("log").to_string(), format!("log.{says}"));
    }
}

#[test]
fn statistics_are_read_as_they_were_written() {
    let (batcher, driver) = read("max_items = 1").builder().build_on_thread(echo).unwrap();
    batcher.submit(1).wait().unwrap();
    let stats: Stats = batcher.stats();
    assert_eq!(again(&stats), [stats; 2]);
    drop(batcher);
    driver.join();
}

/// Clocks and functions are no plain data.
#[test]
fn each_setting_of_the_builder_has_a_field() {
    let Value::Object(fields) = serde_json::to_value(BatcherSettings::default()).unwrap() else {
        panic!("settings are a table");
    };
    let mut names: Vec<_> =
        fields.keys().map(String::as_str).chain(["clock", "max_weight"]).collect();
    names.sort_unstable();
    assert_eq!(builder_methods(include_str!("../../src/builder.rs")), names);
}
