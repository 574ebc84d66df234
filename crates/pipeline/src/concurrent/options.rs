//! Settings of parallel stages.

use core::{future::Future, mem, num::NonZeroUsize, time::Duration};

use tidegate_core::{
    Timer, Wait, hedge,
    primitive::{Arc, atomic::Ordering},
    unwind::{Contained, Foreign, contain},
};

use crate::{
    error::BoxError,
    flow::{Stage, Try},
    pipeline::Pipeline,
};

use super::{
    keys::KeyPolicy,
    parallel::Parallel,
    retry::{IntoRetryPolicy, RetryPolicy},
    work::{Call, Work},
};

/// Settings of a parallel stage: each applies to the stage added last.
impl<'h, S: Stage, W: Work<S::Item>, K: KeyPolicy<S::Item>, T> Pipeline<'h, Parallel<S, W, K>, T> {
    /// Emits results as they finish, so that a slow item holds up no other.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, SystemClock, Timer, Wait};
    ///
    /// let (two, nap) = (NonZeroUsize::new(2).unwrap(), |n| async move {
    ///     SystemClock.sleep(core::time::Duration::from_millis(n)).await;
    ///     n
    /// });
    /// let flow = Pipeline::from_iter([200, 1]).map_async("nap", two, nap).unordered();
    /// assert_eq!(flow.collect().wait().unwrap(), [1, 200]);
    /// ```
    pub fn unordered(mut self) -> Self {
        self.stages.set_unordered();
        self
    }

    /// Sets how many items the stage may hold: those that wait for an earlier item of their key,
    /// those in work, and those finished. A finished item stays while the next stage is busy or an
    /// earlier item is still in work. The default is twice the stage's concurrency. A window below
    /// the concurrency bounds the items in work, too. A large window takes no memory by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::pending, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// // The first item never ends; the others go on until the window is full.
    /// let work = |n| async move { if n == 0 { pending().await } else { n } };
    /// let flow = Pipeline::from_iter(0..100)
    ///     .map_async("work", NonZeroUsize::new(2).unwrap(), work)
    ///     .window(NonZeroUsize::new(8).unwrap());
    /// let monitor = flow.monitor();
    /// assert!(flow.run().wait_timeout(core::time::Duration::from_millis(1)).is_err());
    /// assert_eq!(monitor.stats().summary.read, 8);
    /// ```
    pub fn window(mut self, window: NonZeroUsize) -> Self {
        self.stages.set_window(window);
        self
    }

    /// Limits the time for each item to `limit`. An item that takes longer fails with
    /// [`TimedOut`](crate::TimedOut), and its future is dropped.
    ///
    /// The flow's [`timer`](Self::timer) measures the time; the system's clock uses the process's
    /// timer thread for this. Set before [`retry`](Self::retry), it limits each attempt; set after
    /// it, all attempts on an item together, with the pauses between them.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::pending, num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{OnError, Pipeline, TimedOut, Wait};
    ///
    /// let mut late = 0;
    /// let flow = Pipeline::from_iter(0..3)
    ///     .map_async("hang", NonZeroUsize::MIN, |_| pending::<()>())
    ///     .timeout(Duration::from_millis(1))
    ///     .on_error(OnError::divert(|e| late += u32::from(e.cause().is::<TimedOut>())));
    /// flow.run().wait().unwrap();
    /// assert_eq!(late, 3);
    /// ```
    pub fn timeout(
        self,
        limit: Duration,
    ) -> Pipeline<
        'h,
        Parallel<
            S,
            impl Work<S::Item, Out = W::Out, Future = impl Future<Output = Result<W::Out, BoxError>>>,
            K,
        >,
        T,
    >
    where
        T: Timer + Clone,
    {
        let timer = self.timer.clone();
        self.rework(|work| {
            Call::<_, Try>::new(move |item| {
                // The timer's sleep is foreign, too.
                let work = Contained::new(work.start(item));
                let limited = Contained::new(work.or_timeout(&timer, limit));
                async move { limited.await.unwrap_or_else(|late| Err(late.into())) }
            })
        })
    }

    /// Works again on an item that has failed, as long as `policy` allows it. The policy gets the
    /// number of the item's failures so far, from 1, and the latest error; it returns the pause
    /// before the next attempt, or `None` to let the item fail.
    ///
    /// A [`Backoff`](crate::Backoff) is the usual policy, with jitter and a budget on demand;
    /// [`policy`](crate::policy) makes one of a closure that sees the error. A panic is not
    /// retried. The item stays in flight during the pause.
    ///
    /// # Panics
    ///
    /// Panics if a setting of a [`Backoff`](crate::Backoff) is out of its range.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{cell::Cell, num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{Pipeline, Wait, policy};
    ///
    /// let calls = Cell::new(0);
    /// let flow = Pipeline::from_iter(["page"])
    ///     .try_map_async("fetch", NonZeroUsize::MIN, |page| {
    ///         calls.set(calls.get() + 1);
    ///         let attempt = calls.get();
    ///         async move { if attempt < 3 { Err("busy") } else { Ok(page) } }
    ///     })
    ///     .retry(policy(|failures, error| {
    ///         (failures <= 5 && error.to_string() == "busy")
    ///             .then_some(Duration::from_millis(1))
    ///     }));
    /// let monitor = flow.monitor();
    /// assert_eq!(flow.collect().wait().unwrap(), ["page"]);
    /// assert_eq!(monitor.stats().stages[1].retried, 2);
    /// ```
    #[track_caller]
    pub fn retry<P>(
        mut self,
        policy: P,
    ) -> Pipeline<
        'h,
        Parallel<
            S,
            impl Work<S::Item, Out = W::Out, Future = impl Future<Output = Result<W::Out, BoxError>>>,
            K,
        >,
        T,
    >
    where
        S::Item: Clone,
        P: IntoRetryPolicy,
        T: Timer + Clone,
    {
        let (policy, timer) = (policy.into_policy(), self.timer.clone());
        let retries = self.flow.ledger.meter(self.stages.id).retries();
        self.rework(|work| {
            let shared = Arc::new((work, policy, timer, retries));
            Call::<_, Try>::new(move |item: S::Item| {
                let (shared, item) = (shared.clone(), Foreign::new(item));
                async move {
                    let (work, policy, timer, retries) = &*shared;
                    policy.begin();
                    let mut failures = 0;
                    let result = loop {
                        let start = || work.start(S::Item::clone(&item));
                        let error = match Contained::new(start()).await {
                            Err(error) => Foreign::new(error),
                            done => break done,
                        };
                        failures += 1;
                        let Some(pause) = policy.pause(failures, &error) else {
                            break Err(error.into_inner());
                        };
                        // ORDERING: Relaxed: the futures of a flow are polled by one thread at a
                        // time.
                        retries.fetch_add(1, Ordering::Relaxed);
                        contain(|| drop(error));
                        Contained::new(timer.sleep(pause)).await;
                    };
                    // The result is there: a destructor that panics must not lose it.
                    contain(|| drop(item));
                    result
                }
            })
        })
    }

    /// Starts a second attempt on an item whose first has not ended after `delay`, takes the first
    /// success, and drops the other attempt. Use it for work that is safe to do twice and is slow
    /// now and then. If only a few items in a hundred exceed the delay, only these cost a second
    /// attempt ("The Tail at Scale", Dean and Barroso, 2013).
    ///
    /// A second attempt counts as retried. If the first fails before `delay` has passed, the item
    /// fails at once; after that it fails only when both attempts have failed. If an attempt
    /// panics, the item fails at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{cell::Cell, future::pending, num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let calls = Cell::new(0);
    /// let fetch = |page| {
    ///     let first = calls.replace(calls.get() + 1) == 0;
    ///     async move { if first { pending().await } else { page } }
    /// };
    /// let flow = Pipeline::from_iter(["page"])
    ///     .map_async("fetch", NonZeroUsize::MIN, fetch)
    ///     .hedge(Duration::from_millis(1));
    /// assert_eq!(flow.collect().wait().unwrap(), ["page"]);
    /// assert_eq!(calls.get(), 2);
    /// ```
    pub fn hedge(
        mut self,
        delay: Duration,
    ) -> Pipeline<
        'h,
        Parallel<
            S,
            impl Work<S::Item, Out = W::Out, Future = impl Future<Output = Result<W::Out, BoxError>>>,
            K,
        >,
        T,
    >
    where
        S::Item: Clone,
        T: Timer + Clone,
    {
        let timer = self.timer.clone();
        let hedges = self.flow.ledger.meter(self.stages.id).retries();
        self.rework(|work| {
            let shared = Arc::new((work, timer, hedges));
            Call::<_, Try>::new(move |item: S::Item| {
                let (shared, item) = (shared.clone(), Foreign::new(item));
                async move {
                    let (work, timer, hedges) = &*shared;
                    let mut is_first = true;
                    let attempt = || {
                        if !mem::take(&mut is_first) {
                            // ORDERING: Relaxed: the futures of a flow are polled by one thread at
                            // a time.
                            hedges.fetch_add(1, Ordering::Relaxed);
                        }
                        work.start(S::Item::clone(&item))
                    };
                    let result = hedge(timer, delay, 1, attempt).await;
                    contain(|| drop(item));
                    result
                }
            })
        })
    }

    fn rework<V: Work<S::Item>>(
        self,
        make: impl FnOnce(W) -> V,
    ) -> Pipeline<'h, Parallel<S, V, K>, T> {
        Pipeline { stages: self.stages.rework(make), flow: self.flow, timer: self.timer }
    }
}
