//! Parallel stages in the flow's own task, and what they can be told.

use core::{num::NonZeroUsize, time::Duration};

use tidegate_core::{
    Gate, Timer, Wait,
    primitive::{Arc, atomic::Ordering},
};

use crate::{
    error::BoxError,
    parallel::Parallel,
    pipeline::Pipeline,
    stage::Stage,
    work::{Call, Work},
};

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a parallel stage.
    pub(crate) fn parallel<W: Work<S::Item>>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        work: W,
    ) -> Pipeline<'h, Parallel<S, W>, T> {
        let bell = self.flow.bell.clone();
        self.then(name, n.get(), |upstream, site| Parallel::new(upstream, work, n, site, bell))
    }

    /// Adds a stage that turns each item into another by an asynchronous function, up to `n` at a time, or fails.
    ///
    /// Results are given on in order, unless the stage is [`unordered`](Pipeline::unordered). The stage holds at most
    /// twice `n` items; [`window`](Pipeline::window) sets that number. Its futures run in the task or thread that
    /// drives the flow; each is polled only when it was woken.
    ///
    /// A function that cannot fail returns `Ok::<_, Infallible>`.
    ///
    /// # Panics
    ///
    /// Panics if the memory for `n` places cannot be allocated.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{Pipeline, SystemClock, TimedOut, Timer, Wait};
    ///
    /// // The first takes longest, and is still the first.
    /// let flow = Pipeline::from_iter([3, 2, 1]).map_async("nap", NonZeroUsize::new(3).unwrap(), |n| async move {
    ///     SystemClock.sleep(Duration::from_millis(n)).await;
    ///     Ok::<_, TimedOut>(n)
    /// });
    /// assert_eq!(flow.collect().wait().unwrap(), [3, 2, 1]);
    /// ```
    pub fn map_async<F, Fut, U, E>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        f: F,
    ) -> Pipeline<'h, Parallel<S, Call<F>>, T>
    where
        F: Fn(S::Item) -> Fut,
        Fut: Future<Output = Result<U, E>>,
        E: Into<BoxError>,
    {
        self.parallel(name, n, Call(f))
    }

    /// Adds a stage like [`map_async`](Self::map_async) whose futures run inside a gate: a semaphore, a rate limiter, a
    /// circuit breaker, or a tuple of them, by reference or as an `Arc`.
    ///
    /// Each future is polled once the gate has let it in, and its result settles the pass: `Ok` as a success, `Err` and
    /// a panic as a failure. An item that the gate refuses fails with the gate's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Wait};
    /// use tidegate_semaphore::Semaphore;
    ///
    /// // Eight items at a time, of which two may call.
    /// let calls = Semaphore::new(2);
    /// let flow = Pipeline::from_iter(1..=3)
    ///     .gated("call", NonZeroUsize::new(8).unwrap(), &calls, |n| async move { Ok::<_, String>(10 * n) });
    /// assert_eq!(flow.collect().wait().unwrap(), [10, 20, 30]);
    /// assert_eq!(calls.available_permits(), 2);
    /// ```
    pub fn gated<G, F, Fut, U, E>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        gate: G,
        f: F,
    ) -> Pipeline<
        'h,
        Parallel<
            S,
            impl Work<S::Item, Out = U, Future = impl Future<Output = Result<U, BoxError>>>,
        >,
        T,
    >
    where
        G: Gate<Refused: Into<BoxError>> + Clone,
        F: Fn(S::Item) -> Fut,
        Fut: Future<Output = Result<U, E>>,
        E: Into<BoxError>,
    {
        self.map_async(name, n, move |item| {
            let (gate, future) = (gate.clone(), f(item));
            async move {
                match gate.run_async(future).await {
                    Ok(result) => result.map_err(Into::into),
                    Err(refused) => Err(refused.into()),
                }
            }
        })
    }

    /// Adds a stage that lets each item on when a gate has let it in, one by one, in order. The pass is dropped at once,
    /// so this is for gates that count entries: a rate limiter. Others want [`gated`](Self::gated).
    ///
    /// An item that the gate refuses fails with the gate's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let door = Semaphore::new(1);
    /// assert_eq!(Pipeline::from_iter(1..=3).gate("enter", &door).collect().wait().unwrap(), [1, 2, 3]);
    /// door.close();
    /// let stopped = Pipeline::from_iter(1..=3).gate("enter", &door).collect().wait().unwrap_err();
    /// assert_eq!(stopped.error().unwrap().stage(), "enter");
    /// ```
    pub fn gate<G>(
        self,
        name: &'static str,
        gate: G,
    ) -> Pipeline<
        'h,
        Parallel<
            S,
            impl Work<S::Item, Out = S::Item, Future = impl Future<Output = Result<S::Item, BoxError>>>,
        >,
        T,
    >
    where
        G: Gate<Refused: Into<BoxError>> + Clone,
    {
        let admit = move |item| {
            let gate = gate.clone();
            async move {
                drop(gate.enter().await?);
                Ok::<_, G::Refused>(item)
            }
        };
        self.map_async(name, NonZeroUsize::MIN, admit).window(NonZeroUsize::MIN)
    }
}

/// What a parallel stage can be told. Each of these is about the stage added last.
impl<'h, S: Stage, W: Work<S::Item>, T> Pipeline<'h, Parallel<S, W>, T> {
    /// Lets the stage give its results on as they come, so that a slow item holds nobody up.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Timer, SystemClock, TimedOut, Wait};
    ///
    /// let flow = Pipeline::from_iter([200, 1])
    ///     .map_async("nap", NonZeroUsize::new(2).unwrap(), |n| async move {
    ///         SystemClock.sleep(core::time::Duration::from_millis(n)).await;
    ///         Ok::<_, TimedOut>(n)
    ///     })
    ///     .unordered();
    /// assert_eq!(flow.collect().wait().unwrap(), [1, 200]);
    /// ```
    pub fn unordered(mut self) -> Self {
        self.stages.set_unordered();
        self
    }

    /// Sets how many items the stage may hold: in work, finished before their turn, and not yet taken by the next stage.
    /// The default is twice its concurrency. A window below the concurrency bounds that, too.
    ///
    /// # Panics
    ///
    /// The run panics if the memory for the window, rounded up to a power of two, cannot be allocated.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::pending, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// // The first item never ends; the others go on behind it until the window is full.
    /// let work = |n| async move { if n == 0 { pending().await } else { Ok::<_, String>(n) } };
    /// let flow = Pipeline::from_iter(0..100)
    ///     .map_async("work", NonZeroUsize::new(2).unwrap(), work)
    ///     .window(NonZeroUsize::new(8).unwrap());
    /// let monitor = flow.monitor();
    /// assert!(flow.run().wait_timeout(core::time::Duration::from_millis(1)).is_err());
    /// assert_eq!(monitor.summary().read, 8);
    /// ```
    pub fn window(mut self, window: NonZeroUsize) -> Self {
        self.stages.set_window(window);
        self
    }

    /// Gives each item `limit` to be worked on; one that takes longer is dropped, and fails with
    /// [`TimedOut`](crate::TimedOut).
    ///
    /// Timed by the flow's [`timer`](Self::timer); the system's clock uses the process's timer thread for this. Before
    /// [`retry`](Self::retry) this limits each attempt, after it all attempts together.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{future::pending, num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{OnError, Pipeline, TimedOut, Wait};
    ///
    /// let mut late = 0;
    /// let flow = Pipeline::from_iter(0..3)
    ///     .map_async("hang", NonZeroUsize::MIN, |_| pending::<Result<(), TimedOut>>())
    ///     .timeout(Duration::from_millis(1))
    ///     .on_error(OnError::divert(|error| late += u32::from(error.cause().is::<TimedOut>())));
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
        >,
        T,
    >
    where
        T: Timer + Clone,
    {
        let timer = self.timer.clone();
        self.rework(|work| {
            Call(move |item| {
                let limited = work.start(item).or_timeout(&timer, limit);
                async move { limited.await.unwrap_or_else(|late| Err(late.into())) }
            })
        })
    }

    /// Works on an item again when it failed, as long as `policy` says so: it gets the number of failures so far, from 1,
    /// and the error, and returns the pause before the next attempt, or `None` to let the item fail.
    ///
    /// [`backoff`](crate::backoff) makes the usual policy. A policy of your own can look at the error. A panic is not
    /// tried again. The item keeps its place in the stage during the pause.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{cell::Cell, num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let calls = Cell::new(0);
    /// let flow = Pipeline::from_iter(["page"])
    ///     .map_async("fetch", NonZeroUsize::MIN, |page| {
    ///         calls.set(calls.get() + 1);
    ///         let attempt = calls.get();
    ///         async move { if attempt < 3 { Err("busy") } else { Ok(page) } }
    ///     })
    ///     .retry(|failures, error| {
    ///         (failures <= 5 && error.to_string() == "busy").then_some(Duration::from_millis(1))
    ///     });
    /// let monitor = flow.monitor();
    /// assert_eq!(flow.collect().wait().unwrap(), ["page"]);
    /// assert_eq!(monitor.stages()[1].retried, 2);
    /// ```
    pub fn retry<P>(
        mut self,
        policy: P,
    ) -> Pipeline<
        'h,
        Parallel<
            S,
            impl Work<S::Item, Out = W::Out, Future = impl Future<Output = Result<W::Out, BoxError>>>,
        >,
        T,
    >
    where
        S::Item: Clone,
        P: Fn(u32, &BoxError) -> Option<Duration>,
        T: Timer + Clone,
    {
        let timer = self.timer.clone();
        let retries = self.flow.retries(self.stages.site);
        self.rework(|work| {
            let shared = Arc::new((work, policy, timer, retries));
            Call(move |item: S::Item| {
                let shared = shared.clone();
                async move {
                    let (work, policy, timer, retries) = &*shared;
                    let mut failures = 0;
                    loop {
                        let error = match work.start(item.clone()).await {
                            Err(error) => error,
                            done => return done,
                        };
                        failures += 1;
                        let Some(pause) = policy(failures, &error) else { return Err(error) };
                        // ORDERING: Relaxed: the futures of a flow are polled by one thread at a time.
                        retries.fetch_add(1, Ordering::Relaxed);
                        drop(error);
                        timer.sleep(pause).await;
                    }
                }
            })
        })
    }

    fn rework<V: Work<S::Item>>(
        self,
        make: impl FnOnce(W) -> V,
    ) -> Pipeline<'h, Parallel<S, V>, T> {
        Pipeline { stages: self.stages.rework(make), flow: self.flow, timer: self.timer }
    }
}
