//! Wakers that count, and wakers that panic.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use crate::panics::quiet_panic;

/// A waker that counts how often it was woken.
#[derive(Debug, Default)]
pub struct CountingWaker {
    woken: AtomicUsize,
}

impl CountingWaker {
    /// Creates a count of zero and a waker for it.
    pub fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (count.clone(), Waker::from(count))
    }

    /// Returns how often the waker was woken.
    pub fn count(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }

    /// Adds one for something other than a wake-up.
    pub fn add(&self) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.add();
    }
}

/// A waker that panics when it is woken, or when its last clone is dropped.
#[derive(Debug)]
pub struct PanickingWaker {
    in_wake: bool,
}

impl PanickingWaker {
    /// Creates a waker that panics when it is woken.
    pub fn in_wake() -> Waker {
        Waker::from(Arc::new(Self { in_wake: true }))
    }

    /// Creates a waker that panics when its last clone is dropped.
    pub fn in_drop() -> Waker {
        Waker::from(Arc::new(Self { in_wake: false }))
    }
}

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        if self.in_wake {
            quiet_panic("a waker");
        }
    }
}

impl Drop for PanickingWaker {
    fn drop(&mut self) {
        if !self.in_wake {
            quiet_panic("a waker's drop");
        }
    }
}

/// Keeps a value for as long as the process runs, where a leak checker finds it.
pub fn keep<T: Send + Sync + 'static>(value: T) -> &'static T {
    type Kept = Mutex<Vec<&'static (dyn Send + Sync)>>;
    static KEPT: Kept = Mutex::new(Vec::new());
    let value: &'static T = Box::leak(Box::new(value));
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    value
}
