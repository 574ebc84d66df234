//! Settings as plain data, and statistics, in the formats of `serde`.

use core::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use test_kit::builder_methods;
use tidegate_worker_pool::{
    JoinError, ManualClock, OnFull, PoolSettings, StartError, Stats, Wait, WorkerPool,
};

/// Writes and reads a value in both formats.
fn again<T: Serialize + DeserializeOwned>(value: &T) -> [T; 2] {
    let json = serde_json::to_string(value).unwrap();
    let toml = toml::to_string(value).unwrap();
    [serde_json::from_str(&json).unwrap(), toml::from_str(&toml).unwrap()]
}

fn read(text: &str) -> PoolSettings {
    toml::from_str(text).unwrap()
}

const FULL: &str = r#"
threads = { min = 1, max = 3 }
keep_alive = "1s"
stack_size = 1000000
queue = 7
on_full = "caller_runs"
max_queue_age = "2s"
job_timeout = "1m30s"
"#;

#[test]
fn what_is_written_is_read_as_the_same() {
    for text in ["", FULL, "threads = 4\non_full = \"drop_oldest\""] {
        let settings = read(text);
        assert_eq!(again(&settings), [settings.clone(), settings]);
    }
}

#[test]
fn what_a_file_sets_reaches_the_pool() {
    let pool = read(FULL).builder().build().unwrap();
    let stats = pool.stats();
    assert_eq!((stats.capacity, stats.workers), (7, 1));
    assert!(stats.wait_time.is_some(), "the maximum age is measured");

    let pool = read("queue = 1\non_full = \"reject\"").builder().detached();
    let _first = pool.submit(|| ()).wait();
    assert!(matches!(pool.submit(|| ()).wait().wait(), Err(JoinError::Full)));

    let pool = read("threads = 1\njob_timeout = \"1ms\"").builder().build().unwrap();
    let endless = pool.submit_future(std::future::pending::<()>()).wait();
    assert!(endless.wait().unwrap_err().is_cancelled());

    let pool = read("max_queue_age = \"0s\"").builder().detached();
    let stale = pool.submit(|| ()).wait();
    pool.close();
    pool.worker().wait();
    assert!(stale.wait().unwrap_err().is_expired());

    let pool = read("threads = 1\nstack_size = 1").builder().build();
    assert!(pool.is_ok() || matches!(pool, Err(StartError::Thread(_))), "as the system likes");
}

#[test]
fn what_a_file_leaves_out_is_the_builders_default() {
    let stats = read("").builder().detached().stats();
    assert_eq!(stats, WorkerPool::builder().detached().stats());
    assert_eq!(read("").on_full.unwrap_or_default(), OnFull::Wait);
}

#[test]
fn an_unknown_field_is_refused() {
    for (text, says) in [
        ("capacity = 8", "unknown field `capacity`"),
        ("on_full = \"explode\"", "unknown variant `explode`"),
        ("threads = { min = 1 }", "expected a number of threads, or a table of min and max"),
        ("keep_alive = 5", "expected a duration as text"),
    ] {
        let error = toml::from_str::<PoolSettings>(text).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains(says), "{error}");
    }
}

#[test]
fn a_wrong_setting_is_refused_with_its_name_and_range() {
    for (text, value) in [
        ("threads = 0", "0..=0"),
        ("threads = { min = 3, max = 2 }", "3..=2"),
        ("threads = 65536", "65536..=65536"),
    ] {
        let Err(StartError::Setting(error)) = read(text).builder().build() else {
            panic!("{text} is no setting");
        };
        let says = format!("workers.threads is {value}, but must be a range within 1..=65535");
        assert_eq!(error.within("workers").to_string(), says);
    }
}

#[test]
fn statistics_are_read_as_they_were_written() {
    let clock = ManualClock::new();
    for pool in [WorkerPool::detached(2), WorkerPool::builder().clock(clock.clone()).detached()] {
        let _waits = pool.submit(|| ()).wait();
        clock.advance(Duration::from_secs(1));
        pool.close();
        pool.worker().wait();
        let stats: Stats = pool.stats();
        assert_eq!(again(&stats), [stats; 2]);
    }
}

/// Clocks, tokens, names and hooks are no plain data.
#[test]
fn each_setting_of_the_builder_has_a_field() {
    let Value::Object(fields) = serde_json::to_value(PoolSettings::default()).unwrap() else {
        panic!("settings are a table");
    };
    let code = [
        "cancel_token",
        "clock",
        "on_panic",
        "on_refuse",
        "on_start",
        "on_stop",
        "thread_name",
        "tracing",
    ];
    let mut names: Vec<_> = fields.keys().map(String::as_str).chain(code).collect();
    names.sort_unstable();
    assert_eq!(builder_methods(include_str!("../../src/builder.rs")), names);
}
