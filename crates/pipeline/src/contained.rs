//! Futures that end beside others.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::flow::contain;

pin_project! {
    /// A foreign future that is dropped by itself: as soon as it has ended, or else with what holds it. A panic of its destructor
    /// ends there, and takes neither its output nor what is dropped beside it along.
    pub(crate) struct Contained<F> {
        // `None` once it has ended.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Contained<F> {
        fn drop(this: Pin<&mut Self>) {
            end(this.project().future);
        }
    }
}

fn end<F>(mut future: Pin<&mut Option<F>>) {
    contain(|| future.set(None));
}

impl<F> Contained<F> {
    pub(crate) const fn new(future: F) -> Self {
        Self { future: Some(future) }
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut future = self.project().future;
        let running = future.as_mut().as_pin_mut().expect("polled after it was ready");
        let output = ready!(running.poll(cx));
        end(future);
        Poll::Ready(output)
    }
}
