//! Work that ends when the test says so.

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use test_kit::quiet_panic;
use tidegate_pipeline::Queue;

/// Returns the number as a `NonZeroUsize`.
pub(crate) fn n(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Work on items 0, 1, 2… that ends when the test says so, and counts its polls.
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

    /// Works on an item until it is [`done`](Self::done), [`failed`](Self::failed) or
    /// [`panicked`](Self::panicked).
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
