//! Futures that end beside others.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::contain;

pin_project! {
    /// A foreign future that is dropped by itself: as soon as it has ended, or else with what holds
    /// it. A panic of its destructor ends there, and takes neither its output nor what is dropped
    /// beside it along.
    ///
    /// What a block or a function gives is lost by the compiler where a destructor at its end
    /// panics (rust-lang/rust#47949), and an `await` is such a block.
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
    /// Takes care of a future.
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
