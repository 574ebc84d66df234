//! Methods that add parallel stages in the flow's own task.

use core::{future::Future, num::NonZeroUsize};

use tidegate_core::{
    Gate,
    gate::SettleBy,
    unwind::{Contained, Foreign, contain},
};

use crate::{
    error::BoxError,
    flow::{Plain, Stage, Try},
    pipeline::Pipeline,
};

use super::{
    keys::{KeyPolicy, PerKey, Unkeyed},
    parallel::Parallel,
    work::{Call, Work},
};

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a parallel stage.
    pub(crate) fn parallel<W: Work<S::Item>, K: KeyPolicy<S::Item>>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        work: W,
        keys: K,
    ) -> Pipeline<'h, Parallel<S, W, K>, T> {
        let waker_cell = self.flow.waker_cell.clone();
        self.then(name, n.get(), |upstream, id| {
            Parallel::new(upstream, work, keys, n, id, waker_cell)
        })
    }

    /// Adds a stage that turns each item into another by an asynchronous function, up to `n` items
    /// at a time.
    ///
    /// Results are emitted in order, unless the stage is [`unordered`](Pipeline::unordered). The
    /// stage holds at most twice `n` items; [`window`](Pipeline::window) sets that number. Its
    /// futures run in the task or thread that drives the flow; after its first poll, each is polled
    /// only when it was woken. [`try_map_async`](Self::try_map_async) takes a function that can
    /// fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{Pipeline, SystemClock, Timer, Wait};
    ///
    /// // The first takes longest, and is still emitted first.
    /// let (three, nap) = (NonZeroUsize::new(3).unwrap(), |n| async move {
    ///     SystemClock.sleep(Duration::from_millis(n)).await;
    ///     n
    /// });
    /// let flow = Pipeline::from_iter([3, 2, 1]).map_async("nap", three, nap);
    /// assert_eq!(flow.collect().wait().unwrap(), [3, 2, 1]);
    /// ```
    pub fn map_async<F, Fut>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        f: F,
    ) -> Pipeline<'h, Parallel<S, Call<F, Plain>>, T>
    where
        F: Fn(S::Item) -> Fut,
        Fut: Future,
    {
        self.parallel(name, n, Call::new(f), Unkeyed)
    }

    /// Adds a stage like [`map_async`](Self::map_async) whose function can fail.
    /// [`on_error`](Self::on_error) sets what happens then.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let one = NonZeroUsize::MIN;
    /// let half = async |n: u32| if n % 2 == 0 { Ok(n / 2) } else { Err("odd") };
    /// let flow = Pipeline::from_iter([2, 1]).try_map_async("half", one, half);
    /// assert_eq!(flow.run().wait().unwrap_err().summary().failed, 1);
    /// ```
    pub fn try_map_async<F, Fut, U, E>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        f: F,
    ) -> Pipeline<'h, Parallel<S, Call<F, Try>>, T>
    where
        F: Fn(S::Item) -> Fut,
        Fut: Future<Output = Result<U, E>>,
        E: Into<BoxError>,
    {
        self.parallel(name, n, Call::new(f), Unkeyed)
    }

    /// Adds a stage like [`map_async`](Self::map_async) that works on items of the same key one
    /// after the other, in their order, and on up to `n` of different keys at a time.
    ///
    /// Results are emitted as they finish, and so in order within each key. Items that wait for an
    /// earlier one of their key count in the [`window`](Pipeline::window): if items of one key fill
    /// it, those of other keys wait, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let deposits = [("ann", 1), ("bob", 5), ("ann", 2), ("ann", 3)];
    /// let two = NonZeroUsize::new(2).unwrap();
    /// let flow = Pipeline::from_iter(deposits)
    ///     .map_keyed("book", two, |(name, _)| *name, |deposit| async move { deposit })
    ///     .filter("ann", |(name, _)| *name == "ann")
    ///     .map("sum", |(_, sum)| sum);
    /// assert_eq!(flow.collect().wait().unwrap(), [1, 2, 3]);
    /// ```
    pub fn map_keyed<G, K, F, Fut>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        key: G,
        f: F,
    ) -> Pipeline<'h, Parallel<S, Call<F, Plain>, PerKey<G, K, S::Item>>, T>
    where
        G: Fn(&S::Item) -> K,
        K: Ord + Clone,
        F: Fn(S::Item) -> Fut,
        Fut: Future,
    {
        self.parallel(name, n, Call::new(f), PerKey::new(key)).unordered()
    }

    /// Adds a stage like [`map_keyed`](Self::map_keyed) whose function can fail.
    pub fn try_map_keyed<G, K, F, Fut, U, E>(
        self,
        name: &'static str,
        n: NonZeroUsize,
        key: G,
        f: F,
    ) -> Pipeline<'h, Parallel<S, Call<F, Try>, PerKey<G, K, S::Item>>, T>
    where
        G: Fn(&S::Item) -> K,
        K: Ord + Clone,
        F: Fn(S::Item) -> Fut,
        Fut: Future<Output = Result<U, E>>,
        E: Into<BoxError>,
    {
        self.parallel(name, n, Call::new(f), PerKey::new(key)).unordered()
    }

    /// Adds a stage like [`try_map_async`](Self::try_map_async) whose futures run inside a gate: a
    /// semaphore, a rate limiter, a circuit breaker, or a tuple of them, by reference or as an
    /// `Arc`.
    ///
    /// A future is not polled before the gate has let it in. Its result [settles the
    /// pass](SettleBy) by the gate's own rule: a breaker asks its classifier, for example, which
    /// without a setting takes `Ok` as a success and `Err` as a failure. A panic is a failure in
    /// any case. An item that the gate refuses fails with the gate's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Wait};
    /// use tidegate_semaphore::Semaphore;
    ///
    /// // Eight items at a time, of which two may call.
    /// let (calls, eight) = (Semaphore::new(2), NonZeroUsize::new(8).unwrap());
    /// let flow = Pipeline::from_iter(1..=3)
    ///     .gated("call", eight, &calls, |n| async move { Ok::<_, String>(10 * n) });
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
        G: Gate<Pass: SettleBy<Result<U, E>>, Refused: Into<BoxError>> + Clone,
        F: Fn(S::Item) -> Fut,
        Fut: Future<Output = Result<U, E>>,
        E: Into<BoxError>,
    {
        self.try_map_async(name, n, move |item| {
            let (gate, future) = (gate.clone(), Contained::new(f(item)));
            async move {
                match Contained::new(gate.run_async(future)).await {
                    Ok(result) => result.map_err(Into::into),
                    Err(refused) => Err(refused.into()),
                }
            }
        })
    }

    /// Adds a stage that lets items through a gate, one by one, in order. The pass is dropped at
    /// once, so this is for gates that count entries, such as a rate limiter. For other gates use
    /// [`gated`](Self::gated).
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
    /// let enter = || Pipeline::from_iter(1..=3).gate("enter", &door).collect().wait();
    /// assert_eq!(enter().unwrap(), [1, 2, 3]);
    /// door.close();
    /// assert_eq!(enter().unwrap_err().error().unwrap().stage(), "enter");
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
        let admit = move |item: S::Item| {
            let (item, gate) = (Foreign::new(item), gate.clone());
            async move {
                match Contained::new(gate.enter()).await {
                    Ok(pass) => {
                        drop(pass);
                        Ok(item.into_inner())
                    }
                    Err(refused) => {
                        contain(|| drop(item));
                        Err(refused)
                    }
                }
            }
        };
        self.try_map_async(name, NonZeroUsize::MIN, admit).window(NonZeroUsize::MIN)
    }
}
