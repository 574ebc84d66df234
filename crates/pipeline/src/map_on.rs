//! Stages whose work is done by other threads.

use core::{marker::PhantomData, num::NonZeroUsize};

use crate::{
    chunked::Chunked,
    error::BoxError,
    flow::Site,
    hatch::Hatch,
    labour::{Apply, ApplyWith, Idle, Labour, Then},
    pipeline::Pipeline,
    place::{Carrier, Place},
    stage::Stage,
};

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a stage that turns each item into another on other threads, up to `n` at a time, or fails. For work that
    /// keeps a processor busy, or blocks its thread.
    ///
    /// `place` says where: on a [`WorkerPool`](tidegate_worker_pool::WorkerPool), given by reference, or on the run's
    /// own [`Threads`](crate::Threads).
    ///
    /// Consecutive items travel in chunks. A chunk has one item at first, and as many as 100 µs of work make, at most 1024,
    /// once that is known. Items are not held back for a chunk while a worker is free. Results are given on in order,
    /// unless the stage is [`unordered`](Pipeline::unordered): then chunk by chunk. It holds at most twice `n` chunks;
    /// [`window`](Pipeline::window) bounds the items in them instead.
    ///
    /// An item fails with [`JoinError`](tidegate_worker_pool::JoinError) if the pool is closed. A chunk that is being
    /// worked on when the flow is dropped or abandons its items is finished, and its results are dropped.
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
    pub fn map_on<P, F, U, E>(
        self,
        place: P,
        name: &'static str,
        n: NonZeroUsize,
        f: F,
    ) -> Pipeline<'h, Chunked<S, Apply<F>, P::Carrier>, T>
    where
        P: Place<'h, Hatch<S::Item, Apply<F>>>,
        F: Fn(S::Item) -> Result<U, E> + Send + Sync,
        E: Into<BoxError>,
    {
        self.chunked(place, name, n, |site| Apply { f, site })
    }

    /// Adds a stage like [`map_on`](Self::map_on) whose function has a state, of which each worker has its own: a
    /// buffer, a parser, a connection.
    ///
    /// `init` makes one when more workers than ever before are at work, and after a panic, which drops it.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{convert::Infallible, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Threads, Wait};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let reversed = Pipeline::from_iter(["tide", "gate"]).map_init(Threads, "reverse", TWO, Vec::new, |letters, word| {
    ///     letters.clear();
    ///     letters.extend(word.chars().rev());
    ///     Ok::<_, Infallible>(letters.iter().collect::<String>())
    /// });
    /// assert_eq!(reversed.collect().run_on_threads(TWO).unwrap(), ["edit", "etag"]);
    /// ```
    pub fn map_init<P, I, State, F, U, E>(
        self,
        place: P,
        name: &'static str,
        n: NonZeroUsize,
        init: I,
        f: F,
    ) -> Pipeline<'h, Chunked<S, ApplyWith<F, I, State>, P::Carrier>, T>
    where
        P: Place<'h, Hatch<S::Item, ApplyWith<F, I, State>>>,
        I: Fn() -> State + Send + Sync,
        State: Send,
        F: Fn(&mut State, S::Item) -> Result<U, E> + Send + Sync,
        E: Into<BoxError>,
    {
        let idle = Idle::new();
        self.chunked(place, name, n, |site| ApplyWith { f, init, site, idle })
    }

    fn chunked<P, L>(
        mut self,
        place: P,
        name: &'static str,
        n: NonZeroUsize,
        labour: impl FnOnce(Site) -> L,
    ) -> Pipeline<'h, Chunked<S, L, P::Carrier>, T>
    where
        P: Place<'h, Hatch<S::Item, L>>,
        L: Labour<S::Item>,
    {
        let carrier = place.carrier(&mut self.flow);
        let labour = labour(self.flow.add_stage(name, n.get()));
        let stages = Chunked::new(self.stages, labour, carrier, n, &self.flow);
        Pipeline { stages, flow: self.flow, timer: self.timer }
    }
}

/// What a stage on other threads can be told. Each of these is about the stage added last.
impl<'h, S: Stage, L: Labour<S::Item>, C, T> Pipeline<'h, Chunked<S, L, C>, T> {
    /// Lets the stage give its chunks on as they come, so that a slow one holds nobody up.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{convert::Infallible, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Threads};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let flow = Pipeline::from_iter(0..100).map_on(Threads, "pass", TWO, Ok::<_, Infallible>).unordered();
    /// let mut passed = flow.collect().run_on_threads(TWO).unwrap();
    /// passed.sort_unstable();
    /// assert!(passed.into_iter().eq(0..100));
    /// ```
    pub fn unordered(mut self) -> Self {
        self.stages.set_unordered();
        self
    }

    /// Sets how many items the stage may hold: gathered for a chunk, in work, finished before their turn, and not yet
    /// taken by the next stage. Chunks are then no larger than lets `n` of them be in work and `n` wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{convert::Infallible, num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Wait};
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// // A pool that nobody works for: the stage takes what it may hold, and waits.
    /// let flow = Pipeline::from_iter(0..100)
    ///     .map_on(&WorkerPool::detached(8), "work", NonZeroUsize::MIN, Ok::<_, Infallible>)
    ///     .window(NonZeroUsize::new(8).unwrap());
    /// let monitor = flow.monitor();
    /// assert!(flow.run().wait_timeout(core::time::Duration::from_millis(1)).is_err());
    /// assert!((1..=8).contains(&monitor.summary().read));
    /// ```
    pub fn window(mut self, window: NonZeroUsize) -> Self {
        self.stages.set_window(window);
        self
    }

    /// Adds a stage whose work the same worker does right after that of the stage before, while the item is in its hands
    /// and its processor's cache. It has a name and errors of its own, but shares the other's `n`, window and order, and
    /// in the figures its time is the other's.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{convert::Infallible, num::NonZeroUsize};
    /// use tidegate_pipeline::{OnError, Pipeline, Threads, Wait};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let flow = Pipeline::from_iter(["2", "x", "0"])
    ///     .map_on(Threads, "parse", TWO, str::parse::<u32>)
    ///     .on_error(OnError::Skip)
    ///     .and_map("divide", |n| 6_u32.checked_div(n).ok_or("by zero"));
    /// let stopped = flow.collect().run_on_threads(TWO).unwrap_err();
    /// assert_eq!(stopped.to_string(), "pipeline stopped: stage divide failed on item 2: by zero");
    /// ```
    pub fn and_map<F, U, E>(
        mut self,
        name: &'static str,
        f: F,
    ) -> Pipeline<'h, Chunked<S, Then<S::Item, L, Apply<F>>, C>, T>
    where
        C: Carrier<Hatch<S::Item, Then<S::Item, L, Apply<F>>>>,
        F: Fn(L::Out) -> Result<U, E> + Send + Sync,
        E: Into<BoxError>,
    {
        let width = self.stages.width().get();
        let site = self.flow.add_stage(name, width);
        let then = |first| Then { first, second: Apply { f, site }, of: PhantomData };
        let stages = self.stages.rework(&self.flow, then);
        Pipeline { stages, flow: self.flow, timer: self.timer }
    }
}
