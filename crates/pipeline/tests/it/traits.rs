//! What users expect of public types: the traits they have, and what `{:?}` shows of them.

use std::panic::{RefUnwindSafe, UnwindSafe};

use tidegate_pipeline::{AfterStop, Monitor, Pipeline, StageStats, Summary, Threads};

/// A list for the compiler: a value of these may be used after a panic passed by. Flows hold the
/// user's code, and promise nothing.
#[test]
fn what_a_panic_passes_by_may_be_used_on() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<Monitor>();
    safe::<Summary>();
    safe::<StageStats>();
    safe::<AfterStop>();
    safe::<Threads>();
}

#[test]
fn a_run_shows_what_has_become_of_its_items() {
    let summary = "Summary { read: 0, succeeded: 0, failed: 0, skipped: 0 }";
    let run = Pipeline::from_iter(0..3).run();
    assert_eq!(format!("{run:?}"), format!("Run {{ summary: {summary}, .. }}"));
    let collect = Pipeline::from_iter(0..3).collect();
    assert_eq!(
        format!("{collect:?}"),
        format!("Collect {{ gathered: 0, summary: {summary}, .. }}")
    );
}
