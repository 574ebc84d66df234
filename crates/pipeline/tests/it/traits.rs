//! What users expect of public types: the traits they have, and what `{:?}` shows of them.

use std::{
    num::ParseIntError,
    panic::{RefUnwindSafe, UnwindSafe},
};

use test_kit::quiet_panic;
use tidegate_pipeline::{
    AfterStop, CancelToken, Monitor, OnError, Panicked, Pipeline, StageStats, Summary, Threads,
    Wait,
};

/// The compiler checks this list: values of these types may be used after a panic has unwound past
/// them. Flows hold the user's code, and promise nothing.
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

#[test]
fn a_flow_shows_its_monitor_and_a_rule_for_errors_its_name() {
    let shown = format!("{:?}", Pipeline::from_iter(0..3));
    assert!(shown.starts_with("Pipeline { monitor: Monitor { stats: "), "{shown}");
    for (on_error, name) in
        [(OnError::Stop, "Stop"), (OnError::Skip, "Skip"), (OnError::divert(drop), "Divert(..)")]
    {
        assert_eq!(format!("{on_error:?}"), name);
    }
}

#[test]
fn a_flow_that_stops_says_why() {
    let parse = Pipeline::from_iter(["1", "x"]).try_map("parse", str::parse::<u8>);
    let failed = parse.run().wait().unwrap_err();
    let message = "stage parse failed on item 1: invalid digit found in string";
    assert_eq!(failed.to_string(), format!("pipeline stopped: {message}"));
    assert!(failed.reason().is_none() && !failed.is_cancelled());
    let error = failed.error().unwrap();
    assert_eq!((error.stage(), error.index(), error.is_panic()), ("parse", 1, false));
    assert!(error.cause().is::<ParseIntError>());
    let error = failed.into_error().unwrap();
    assert_eq!(error.to_string(), message);
    assert!(error.into_cause().is::<ParseIntError>());

    let panics = Pipeline::from_iter([1]).map("panic", |_| -> u8 { quiet_panic("oh") });
    let panicked = panics.run().wait().unwrap_err().into_error().unwrap();
    assert!(panicked.is_panic());
    let cause = panicked.cause().downcast_ref::<Panicked>().unwrap();
    assert_eq!((cause.message(), &*cause.to_string()), ("oh", "panicked: oh"));

    let token = CancelToken::new();
    token.cancel_because("enough");
    let cancelled = Pipeline::from_iter([1]).stop_on(&token).run().wait().unwrap_err();
    assert_eq!(cancelled.to_string(), "pipeline cancelled: enough");
    assert!(cancelled.reason().is_some() && cancelled.is_cancelled());
    assert!(cancelled.error().is_none() && cancelled.into_error().is_none());
}
