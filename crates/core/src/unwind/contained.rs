//! A foreign future whose destructor may panic without harm to anything else.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::contain;

pin_project! {
    /// A foreign future that is dropped on its own: as soon as it is ready, or else when this
    /// wrapper is dropped. With std a panic of its destructor ends there: neither the future's
    /// output nor a value that is dropped beside it is lost.
    ///
    /// If a destructor at the end of a block or function panics, the value of that block or
    /// function is leaked (rust-lang/rust#47949). An `await` is such a block, so a plain `await`
    /// would lose the output.
    ///
    /// # Panics
    ///
    /// Panics if it is polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::Future, pin::Pin, task::{Context, Poll}};
    /// use tidegate_core::{Wait, unwind::Contained};
    ///
    /// struct Fragile;
    /// impl Future for Fragile {
    ///     type Output = u32;
    ///     fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
    ///         Poll::Ready(7)
    ///     }
    /// }
    /// impl Drop for Fragile {
    ///     fn drop(&mut self) {
    ///         std::panic::resume_unwind(Box::new("quiet"));
    ///     }
    /// }
    /// assert_eq!(Contained::new(Fragile).wait(), 7);
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Contained<F> {
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
    /// Wraps `future`.
    pub const fn new(future: F) -> Self {
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
