//! Many calls, one batch.
//!
//! ```text
//! call ──▶ BatchFuture   into the batch ──▶ its own response
//!              │ full, closed: refused                 ▲
//!              ▼                                       │
//!          Batcher ──▶ Driver, which the caller of `pair` drives ──▶ the inner call, with a Vec
//! ```

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::vec::Vec;

use pin_project_lite::pin_project;
use tidegate_batch_processor::{Batcher, Builder, Driver, Handler, Reply, SubmitError};
use tidegate_core::{BuildError, Clock, SystemClock, Timer};
use tower_service::Service;

/// Gathers calls into batches: a [`Batcher`] behind a [`Service`].
///
/// A call is one item, and its response is the item's own. Clones share the batcher. A call that
/// finds the batcher full is refused, as there is no room in line for a future that owns its
/// batcher; for calls that wait, put [`GateLayer::concurrency`](crate::GateLayer::concurrency)
/// before it, with as many permits as the batcher has room.
///
/// A call that is dropped after its first poll gives up its response; its item is processed, and
/// keeps its room until then. Behind a gate the next call comes in at once, and may be refused.
///
/// # Examples
///
/// A service that loads many users at once, for callers that ask for one each:
///
/// ```
/// use std::convert::Infallible;
/// use tidegate_batch_processor::{Batcher, Policy};
/// use tidegate_tower::BatchService;
/// use tower::{Service, service_fn};
///
/// # smol::block_on(async {
/// let load = service_fn(|ids: Vec<u32>| async move {
///     let names = ids.iter().map(|id| format!("user {id} of {}", ids.len()));
///     Ok::<_, Infallible>(names.collect::<Vec<_>>())
/// });
/// let settings = Batcher::builder().max_items(2);
/// let (mut users, driver) = BatchService::pair(load, settings)?;
/// let driver = smol::spawn(driver);
/// let both = smol::future::zip(users.call(7), users.call(8)).await;
/// assert_eq!((both.0.unwrap(), both.1.unwrap()), ("user 7 of 2".into(), "user 8 of 2".into()));
/// drop(users); // the last clone ends the driver
/// driver.await;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct BatchService<T, R, E, C = SystemClock> {
    batcher: Batcher<T, R, E, C>,
}

/// A service and the driver that it needs: [`BatchService::pair`].
pub type BatchPair<T, I, C = SystemClock> = (
    BatchService<
        T,
        <CallBatches<I> as Handler<T>>::Output,
        <CallBatches<I> as Handler<T>>::Error,
        C,
    >,
    Driver<T, CallBatches<I>, C>,
);

impl<T, R, E, C: Timer> BatchService<T, R, E, C> {
    /// Creates a service whose calls are gathered for `inner`, which takes batches and has a
    /// response for each item; and the driver, to be spawned as a task or waited for on a thread.
    /// When the last clone of the service is dropped, the driver ends.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of its range.
    pub fn pair<I>(inner: I, builder: Builder<T, C>) -> Result<BatchPair<T, I, C>, BuildError>
    where
        I: Service<Vec<T>, Response = Vec<R>, Error = E> + Clone,
    {
        let (batcher, driver) = builder.build_with(CallBatches { inner })?;
        Ok((BatchService { batcher }, driver))
    }
}

impl<T, R, E, C> BatchService<T, R, E, C> {
    /// Returns the batcher, as to read its statistics. A clone of it keeps the driver running, as
    /// a clone of the service does.
    pub const fn batcher(&self) -> &Batcher<T, R, E, C> {
        &self.batcher
    }
}

/// For a batcher of one's own, which has a driver already.
impl<T, R, E, C> From<Batcher<T, R, E, C>> for BatchService<T, R, E, C> {
    fn from(batcher: Batcher<T, R, E, C>) -> Self {
        Self { batcher }
    }
}

impl<T, R, E, C> Clone for BatchService<T, R, E, C> {
    fn clone(&self) -> Self {
        Self { batcher: self.batcher.clone() }
    }
}

impl<T, R, E, C> fmt::Debug for BatchService<T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchService").field("batcher", &self.batcher).finish()
    }
}

impl<T, R, E, C: Clock> Service<T> for BatchService<T, R, E, C> {
    type Response = R;
    type Error = SubmitError<T, E>;
    type Future = BatchFuture<T, R, E, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, item: T) -> Self::Future {
        BatchFuture { stage: Stage::Outside { batcher: self.batcher.clone(), item: Some(item) } }
    }
}

pin_project! {
    /// Future of a call through a [`BatchService`](crate::BatchService).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct BatchFuture<T, R, E, C> {
        stage: Stage<T, R, E, C>,
    }
}

enum Stage<T, R, E, C> {
    Outside { batcher: Batcher<T, R, E, C>, item: Option<T> },
    Inside { reply: Reply<R, E> },
}

impl<T, R, E, C: Clock> Future for BatchFuture<T, R, E, C> {
    type Output = Result<R, SubmitError<T, E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = self.project().stage;
        if let Stage::Outside { batcher, item } = stage {
            let item = item.take().expect("polled after it was ready");
            let reply = batcher.try_submit(item)?;
            *stage = Stage::Inside { reply };
        }
        let Stage::Inside { reply } = stage else { unreachable!("it has come in") };
        Pin::new(reply).poll(cx).map_err(SubmitError::Failed)
    }
}

impl<T, R, E, C> fmt::Debug for BatchFuture<T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = matches!(self.stage, Stage::Inside { .. });
        f.debug_struct("BatchFuture").field("accepted", &accepted).finish_non_exhaustive()
    }
}

/// The [`Handler`] that calls a service with each batch.
#[derive(Debug, Clone)]
pub struct CallBatches<I> {
    inner: I,
}

impl<T, R, I: Service<Vec<T>, Response = Vec<R>> + Clone> Handler<T> for CallBatches<I> {
    type Output = R;
    type Error = I::Error;
    type Run = CallBatch<I, T, I::Future>;

    fn start(&mut self, items: Vec<T>) -> Self::Run {
        let next = self.inner.clone();
        let service = mem::replace(&mut self.inner, next);
        CallBatch { stage: CallStage::Unready { service, items } }
    }
}

pin_project! {
    /// Future of one batch: makes the service ready, and calls it.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct CallBatch<I, T, F> {
        #[pin]
        stage: CallStage<I, T, F>,
    }
}

pin_project! {
    #[project = CallNow]
    enum CallStage<I, T, F> {
        Unready { service: I, items: Vec<T> },
        Calling { #[pin] call: F },
    }
}

impl<I: Service<Vec<T>>, T> Future for CallBatch<I, T, I::Future> {
    type Output = Result<I::Response, I::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        if let CallNow::Unready { service, items } = stage.as_mut().project() {
            ready!(service.poll_ready(cx))?;
            let call = service.call(mem::take(items));
            stage.set(CallStage::Calling { call });
        }
        let CallNow::Calling { call } = stage.project() else { unreachable!("it was called") };
        call.poll(cx)
    }
}

impl<I, T, F> fmt::Debug for CallBatch<I, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let called = matches!(self.stage, CallStage::Calling { .. });
        f.debug_struct("CallBatch").field("called", &called).finish_non_exhaustive()
    }
}
