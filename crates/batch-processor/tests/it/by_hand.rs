//! Futures polled by hand.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A task without an executor: it counts how often it is woken, and runs when told to.
pub(crate) struct Task<F: ?Sized> {
    wakes: Arc<Wakes>,
    future: Pin<Box<F>>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<F: Future> Task<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { wakes: Arc::default(), future: Box::pin(future) }
    }

    /// Polls once.
    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(self.wakes.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls until nothing wakes the task any more.
    pub(crate) fn run(&mut self) -> Poll<F::Output> {
        loop {
            let before = self.wakes();
            let poll = self.poll();
            if poll.is_ready() || self.wakes() == before {
                return poll;
            }
        }
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }
}

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
