//! Calls that are made a second time when the first one is slow.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use alloc::{boxed::Box, vec::Vec};

use pin_project_lite::pin_project;

use crate::{
    time::Timer,
    unwind::{Contained, Foreign, contain},
};

/// Calls `attempt` and awaits its future; while that is not ready, starts another attempt after
/// each `delay`, at most `n` further ones. At the first success, drops the other attempts and
/// returns it.
///
/// Use it for what is safe to do twice and is slow now and then. Choose a `delay` that few calls
/// exceed, such as the 95th percentile of their latency: only these few cost a further attempt.
/// With 2 % more requests, Dean and Barroso ("The Tail at Scale", CACM 2013) lowered the latency's
/// 99.9th percentile from 1800 ms to 74 ms. Do not use it against an overloaded server, which it
/// would load more; a gate in `attempt` bounds the further attempts.
///
/// It is for slow calls, not for those that fail: an error starts no attempt. When an attempt has
/// failed and no other is in flight, its error is returned, also before `delay` has passed;
/// [`retry`](crate::retry()) may stand around it. (gRPC's hedging, gRFC A6, starts the next attempt
/// at an error instead.)
///
/// `timer` measures the delays. Nothing happens before the first poll. The first attempt is part of
/// this future; each further one is an allocation. All attempts are polled at each wake-up: `n` is
/// a small number.
///
/// # Cancel safety
///
/// Dropping the future drops all attempts.
///
/// # Errors
///
/// The last error, when all attempts that were started have failed.
///
/// # Panics
///
/// The future passes on what `attempt` and its futures panic with. If it is polled again after
/// that, it goes on with the attempts in flight, if there are any. After a panic of `attempt` or of
/// the timer it starts no other attempt.
///
/// # Examples
///
/// ```
/// use core::{cell::Cell, time::Duration};
/// use tidegate_core::{SystemClock, Wait, hedge};
///
/// let calls = Cell::new(0);
/// let fetch = || {
///     calls.set(calls.get() + 1);
///     let is_slow = calls.get() == 1;
///     async move {
///         if is_slow {
///             core::future::pending::<()>().await;
///         }
///         Ok::<_, ()>("page")
///     }
/// };
/// let page = hedge(&SystemClock, Duration::from_millis(1), 1, fetch).wait();
/// assert_eq!((page, calls.get()), (Ok("page"), 2));
/// ```
pub fn hedge<T, A, F, V, E>(timer: T, delay: Duration, n: u32, attempt: A) -> Hedge<T, A, F>
where
    T: Timer,
    A: FnMut() -> F,
    F: Future<Output = Result<V, E>>,
{
    Hedge {
        timer: Foreign::new(timer),
        attempt: Foreign::new(attempt),
        delay,
        left: n,
        state: State::Fresh,
        due: None,
        first: None,
        further: Vec::new(),
    }
}

pin_project! {
    /// Future of [`hedge`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct Hedge<T, A, F>
    where
        T: Timer,
    {
        timer: Foreign<T>,
        attempt: Foreign<A>,
        delay: Duration,
        // How many further attempts may still be started.
        left: u32,
        state: State,
        // `None` if no further attempt is to be started.
        #[pin]
        due: Option<Contained<T::Sleep>>,
        // `None` before it is started, and once it has ended.
        #[pin]
        first: Option<Contained<F>>,
        // INVARIANT: in the order in which they were started; none has ended.
        further: Vec<Pin<Box<Contained<F>>>>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Running,
    Done,
}

impl<T, A, F, V, E> Hedge<T, A, F>
where
    T: Timer,
    A: FnMut() -> F,
    F: Future<Output = Result<V, E>>,
{
    /// Starts the first attempt.
    fn start(self: Pin<&mut Self>) {
        let mut this = self.project();
        // If the closure panics, nothing is in flight, and nothing will be.
        *this.state = State::Done;
        this.first.set(Some(Contained::new((this.attempt)())));
        *this.state = State::Running;
        if *this.left > 0 {
            this.due.set(Some(Contained::new(this.timer.sleep(*this.delay))));
        }
    }

    /// Starts a further attempt if one is due.
    fn start_further(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(due) = this.due.as_mut().as_pin_mut() else { return Poll::Pending };
        ready!(due.poll(cx));
        // If foreign code panics here, no further attempt follows.
        this.due.set(None);
        *this.left -= 1;
        this.further.push(Box::pin(Contained::new((this.attempt)())));
        if *this.left > 0 {
            this.due.set(Some(Contained::new(this.timer.sleep(*this.delay))));
        }
        Poll::Ready(())
    }

    /// Polls the attempts in the order in which they were started; ready with the first success, or
    /// with the last error once none is in flight.
    fn poll_attempts(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V, E>> {
        let mut this = self.project();
        let mut last = None;
        if let Some(first) = this.first.as_mut().as_pin_mut() {
            match first.poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(value)) => return Poll::Ready(Ok(value)),
                Poll::Ready(Err(error)) => {
                    this.first.set(None);
                    last = Some(Foreign::new(error));
                }
            }
        }
        let mut index = 0;
        while let Some(attempt) = this.further.get_mut(index) {
            match attempt.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(value)) => {
                    contain(|| drop(last));
                    return Poll::Ready(Ok(value));
                }
                Poll::Ready(Err(error)) => {
                    drop(this.further.remove(index));
                    let before = last.replace(Foreign::new(error));
                    contain(|| drop(before));
                }
            }
        }
        match last {
            Some(last) if this.first.is_none() && this.further.is_empty() => {
                Poll::Ready(Err(last.into_inner()))
            }
            // An error beside attempts that still run is not the last one.
            beside => {
                contain(|| drop(beside));
                Poll::Pending
            }
        }
    }
}

impl<T, A, F, V, E> Future for Hedge<T, A, F>
where
    T: Timer,
    A: FnMut() -> F,
    F: Future<Output = Result<V, E>>,
{
    type Output = Result<V, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.state {
            State::Fresh => self.as_mut().start(),
            State::Running => {}
            State::Done => panic!("polled after it was ready"),
        }
        loop {
            if let Poll::Ready(result) = self.as_mut().poll_attempts(cx) {
                let mut this = self.as_mut().project();
                *this.state = State::Done;
                // The others end before the caller goes on.
                this.due.set(None);
                this.first.set(None);
                this.further.clear();
                return Poll::Ready(result);
            }
            if self.as_mut().start_further(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<T: Timer, A, F> fmt::Debug for Hedge<T, A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = usize::from(self.first.is_some()) + self.further.len();
        f.debug_struct("Hedge")
            .field("in_flight", &in_flight)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
