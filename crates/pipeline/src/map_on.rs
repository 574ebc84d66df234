//! Parallel stages on a worker pool.

use core::num::NonZeroUsize;

use tidegate_core::primitive::Arc;
use tidegate_worker_pool::{JoinError, WorkerPool};

use crate::{
    error::{BoxError, Panicked},
    parallel::Parallel,
    pipeline::Pipeline,
    stage::Stage,
    work::Work,
};

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a stage that turns each item into another on a worker pool, up to `n` at a time, or fails. For work that
    /// keeps a processor busy, or blocks its thread.
    ///
    /// Apart from where the work is done it is a [`map_async`](Self::map_async). An item fails with
    /// [`JoinError`] if the pool is closed. A job that runs when the flow is dropped or abandons its items runs on, and its
    /// result is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{convert::Infallible, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Wait};
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let lengths = Pipeline::from_iter(["tide", "gate", "!"]).map_on(&pool, "measure", NonZeroUsize::new(4).unwrap(), |s| {
    ///     Ok::<_, Infallible>(s.len())
    /// });
    /// assert_eq!(lengths.collect().wait()?, [4, 4, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_on<F, U, E>(
        self,
        pool: &WorkerPool,
        name: &'static str,
        n: NonZeroUsize,
        f: F,
    ) -> Pipeline<
        'h,
        Parallel<
            S,
            impl Work<
                S::Item,
                Out = U,
                Future = impl Future<Output = Result<U, BoxError>> + use<'h, S, T, F, U, E>,
            > + use<'h, S, T, F, U, E>,
        >,
        T,
    >
    where
        S::Item: Send + 'static,
        F: Fn(S::Item) -> Result<U, E> + Send + Sync + 'static,
        U: Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let (pool, f) = (pool.clone(), Arc::new(f));
        self.map_async(name, n, move |item| {
            let (pool, f) = (pool.clone(), f.clone());
            async move {
                match pool.submit(move || f(item)).await.await {
                    Ok(result) => result.map_err(Into::into),
                    Err(JoinError::Panicked(panic)) => {
                        Err(Panicked::saying(panic.message()).into())
                    }
                    Err(error) => Err(error.into()),
                }
            }
        })
    }
}
