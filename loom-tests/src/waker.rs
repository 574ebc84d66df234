//! A waker that calls a closure.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

/// A waker that runs a closure when it is woken.
pub struct CallingWaker<F>(F);

impl<F: Fn() + Send + Sync + 'static> CallingWaker<F> {
    /// Creates the waker.
    #[allow(clippy::new_ret_no_self, reason = "a waker is what it is for")]
    pub fn new(call: F) -> Waker {
        Waker::from(Arc::new(Self(call)))
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for CallingWaker<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

impl<F> std::fmt::Debug for CallingWaker<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallingWaker")
    }
}
