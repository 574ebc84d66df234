//! What a survey finds, whoever drives it.

use std::thread;

use runtimes::{GAUGES, in_smol, in_tokio, on_threads};

#[test]
fn tokio_smol_and_threads_find_the_same() {
    let reports = [in_tokio, in_smol, on_threads].map(|survey| survey().unwrap());
    let found = &reports[0].found;
    // Every gauge has a row of its own, in order; the five calls that failed were made again.
    assert_eq!(found.rows, (0..GAUGES as usize).collect::<Vec<_>>());
    assert_eq!(found.calls, GAUGES + 5);
    assert_eq!(found.levels.len(), 4);
    let sum: u32 = (0..GAUGES).map(|gauge| 300 + gauge * 7 % 100).sum();
    assert_eq!(found.levels.values().sum::<u64>(), u64::from(sum));
    assert!(reports.iter().all(|report| report.found == *found), "{reports:?}");
    assert!(reports.iter().all(|report| report.batches >= 5), "{reports:?}");
}

#[test]
fn all_three_at_once_do_not_disturb_each_other() {
    let surveys = [in_tokio, in_smol, on_threads].map(thread::spawn);
    let found = surveys.map(|survey| survey.join().unwrap().unwrap().found);
    assert!(found.iter().all(|other| *other == found[0]), "{found:?}");
}
