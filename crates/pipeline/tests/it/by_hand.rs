//! Futures polled by hand, and work that ends when the test says so.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tidegate_pipeline::Queue;

/// The number as a type wants it.
pub(crate) fn n(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future, and how often it was woken.
pub(crate) struct Task<F> {
    future: Pin<Box<F>>,
    count: Arc<Count>,
}

impl<F: Future> Task<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Box::pin(future), count: Arc::default() }
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(self.count.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    pub(crate) fn is_pending(&mut self) -> bool {
        self.poll().is_pending()
    }

    /// Polls a task that must be ready.
    pub(crate) fn output(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("not ready"),
        }
    }

    pub(crate) fn woken(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }
}

/// Work on items 0, 1, 2… that ends when the test says so, and counts.
pub(crate) struct Desk {
    results: Vec<Queue<Result<usize, &'static str>>>,
    started: AtomicUsize,
    polls: Vec<AtomicUsize>,
}

impl Desk {
    pub(crate) fn new(items: usize) -> Self {
        Self {
            results: (0..items).map(|_| Queue::unbounded()).collect(),
            started: AtomicUsize::new(0),
            polls: (0..items).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Works on an item until it is [`done`](Self::done), [`failed`](Self::failed) or [`panicked`](Self::panicked).
    pub(crate) async fn work(&self, item: usize) -> Result<usize, &'static str> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let mut result = self.results[item].pop();
        std::future::poll_fn(|cx| {
            self.polls[item].fetch_add(1, Ordering::SeqCst);
            Pin::new(&mut result).poll(cx)
        })
        .await
        .unwrap_or_else(|_| quiet_panic("the desk broke"))
    }

    pub(crate) fn done(&self, item: usize) {
        self.results[item].try_push(Ok(item)).unwrap();
    }

    pub(crate) fn failed(&self, item: usize) {
        self.results[item].try_push(Err("no")).unwrap();
    }

    pub(crate) fn panicked(&self, item: usize) {
        self.results[item].close();
    }

    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    pub(crate) fn polls(&self, item: usize) -> usize {
        self.polls[item].load(Ordering::SeqCst)
    }
}

/// Panics without the message that `panic!` prints.
pub(crate) fn quiet_panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
