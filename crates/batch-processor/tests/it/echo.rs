//! A handler that keeps what it gets.

use std::sync::{Arc, Mutex};

/// The batches that a handler has got.
pub(crate) type Log<T> = Arc<Mutex<Vec<Vec<T>>>>;

/// Returns a log, and a handler that writes to it and returns the items.
#[allow(clippy::type_complexity, reason = "a handler has no name")]
pub(crate) fn echo<T: Clone>() -> (Log<T>, impl FnMut(Vec<T>) -> Result<Vec<T>, &'static str>) {
    let log = Log::default();
    let handler = {
        let log = log.clone();
        move |items: Vec<T>| {
            log.lock().unwrap().push(items.clone());
            Ok(items)
        }
    };
    (log, handler)
}

pub(crate) fn entries<T: Clone>(log: &Log<T>) -> Vec<Vec<T>> {
    log.lock().unwrap().clone()
}
