//! Wakers for polling by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

/// A waker that counts how often it was woken.
///
/// The count is not part of the model: nothing may be concluded from it but by the thread that has joined the others.
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
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

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
