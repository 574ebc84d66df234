//! Futures polled by hand.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::waker::CountingWaker;

/// A future and how often it was woken: a task without an executor, which runs when told to.
#[derive(Debug)]
pub struct Task<F: ?Sized> {
    count: Arc<CountingWaker>,
    waker: Waker,
    future: Pin<Box<F>>,
}

impl<F: Future> Task<F> {
    /// Creates a task that has not been polled.
    pub fn new(future: F) -> Self {
        let (count, waker) = CountingWaker::new();
        Self { count, waker, future: Box::pin(future) }
    }

    /// Creates a task that has been polled once and has to wait.
    #[track_caller]
    pub fn waiting(future: F) -> Self {
        let mut task = Self::new(future);
        assert!(task.poll().is_pending(), "the future is ready");
        task
    }

    /// Polls once.
    pub fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls until nothing wakes the task any more.
    pub fn run(&mut self) -> Poll<F::Output> {
        loop {
            let before = self.woken();
            let poll = self.poll();
            if poll.is_ready() || self.woken() == before {
                return poll;
            }
        }
    }

    /// Polls once; returns whether it has ended.
    pub fn is_ready(&mut self) -> bool {
        self.poll().is_ready()
    }

    /// Polls once; returns whether it has to wait.
    pub fn is_pending(&mut self) -> bool {
        self.poll().is_pending()
    }

    /// Polls a task that must end now.
    #[track_caller]
    pub fn output(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the future is pending"),
        }
    }

    /// Returns how often the task was woken.
    pub fn woken(&self) -> usize {
        self.count.count()
    }
}

/// Polls a future once with a waker that does nothing.
pub fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

/// Polls a future once with `waker`.
pub fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Returns the output of a future that must be ready.
#[track_caller]
pub fn ready<F: Future + Unpin>(mut future: F) -> F::Output {
    match poll(&mut future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is pending"),
    }
}
