//! Panics at a chosen call of foreign code.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::panics::quiet_panic;

/// Counts the calls of foreign code, and panics at some of them.
///
/// A test tries each call in turn: `(0..).find(|at| …is_whole())` ends at the first number that
/// no call has.
#[derive(Debug, Default)]
pub struct Fuse {
    calls: AtomicU64,
    at: u64,
    times: u64,
    is_off: AtomicBool,
}

impl Fuse {
    /// Creates a fuse that panics at `times` calls in a row, from call number `at` on. The first
    /// call is number 0.
    pub fn new(at: u64, times: u64) -> Arc<Self> {
        Arc::new(Self { at, times, ..Self::default() })
    }

    /// Counts a call, and panics if it is one of the chosen ones.
    pub fn call(&self) {
        if self.is_off.load(Ordering::Relaxed) {
            return;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if (self.at..self.at.saturating_add(self.times)).contains(&call) {
            quiet_panic("on purpose");
        }
    }

    /// Runs `step`, in which calls neither count nor panic.
    pub fn off<R>(&self, step: impl FnOnce() -> R) -> R {
        self.is_off.store(true, Ordering::Relaxed);
        let result = step();
        self.is_off.store(false, Ordering::Relaxed);
        result
    }

    /// Returns whether the calls have ended before number `at`.
    pub fn is_whole(&self) -> bool {
        self.calls.load(Ordering::Relaxed) <= self.at
    }
}
