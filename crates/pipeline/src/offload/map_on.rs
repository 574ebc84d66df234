//! Methods that add stages whose work is done by the threads of a pool or of the run.

use core::{marker::PhantomData, num::NonZeroUsize};

use crate::{
    error::BoxError,
    flow::{Plain, Stage, StageId, Try},
    pipeline::Pipeline,
};

use super::{
    chunk_work::{Apply, ApplyWith, ChunkWork, Then},
    chunked::Chunked,
    workers::Workers,
};

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    /// Adds a stage that turns each item into another on the threads of a pool or of the run, up to
    /// `n` at a time. Use it for work that keeps a processor busy, or blocks its thread.
    ///
    /// `workers` says on which threads: those of a
    /// [`WorkerPool`](tidegate_worker_pool::WorkerPool), given by reference, or the run's own
    /// [`Threads`](crate::Threads).
    ///
    /// Consecutive items travel in chunks. A chunk has one item at first; once it is known how long
    /// an item takes, as many as make 100 µs of work, at most 1024. Items are not held back for a
    /// chunk while a worker is free. Results are emitted in order, unless the stage is
    /// [`unordered`](Pipeline::unordered): then each chunk is emitted when it is finished. The
    /// stage holds at most twice `n` chunks; [`window`](Pipeline::window) bounds the items in them
    /// instead.
    ///
    /// An item fails with [`JoinError`](tidegate_worker_pool::JoinError) if the pool is closed.
    /// When the flow is dropped or abandons its items, the chunks that workers are working on are
    /// finished, and their results are dropped. [`try_map_on`](Self::try_map_on) takes a function
    /// that can fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Wait};
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let lengths = Pipeline::from_iter(["tide", "gate", "!"])
    ///     .map_on(&pool, "measure", NonZeroUsize::new(4).unwrap(), str::len);
    /// assert_eq!(lengths.collect().wait()?, [4, 4, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_on<'w, P, F, U>(
        self,
        workers: P,
        name: &'static str,
        n: NonZeroUsize,
        f: F,
    ) -> Pipeline<'h, Chunked<'w, S, Apply<F, Plain>>, T>
    where
        P: Workers<'h, 'w>,
        F: Fn(S::Item) -> U + Send + Sync,
    {
        self.chunked(workers, name, n, |id| Apply::new(f, id))
    }

    /// Adds a stage like [`map_on`](Self::map_on) whose function can fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Threads, Wait};
    ///
    /// let numbers = Pipeline::from_iter(["1", "x"])
    ///     .try_map_on(Threads, "parse", NonZeroUsize::MIN, str::parse::<i8>);
    /// assert_eq!(numbers.run().wait().unwrap_err().error().unwrap().stage(), "parse");
    /// ```
    pub fn try_map_on<'w, P, F, U, E>(
        self,
        workers: P,
        name: &'static str,
        n: NonZeroUsize,
        f: F,
    ) -> Pipeline<'h, Chunked<'w, S, Apply<F, Try>>, T>
    where
        P: Workers<'h, 'w>,
        F: Fn(S::Item) -> Result<U, E> + Send + Sync,
        E: Into<BoxError>,
    {
        self.chunked(workers, name, n, |id| Apply::new(f, id))
    }

    /// Adds a stage like [`map_on`](Self::map_on) whose function has a state, of which each worker
    /// has its own: a buffer, a parser, a connection.
    ///
    /// `init` makes a state when more workers than ever before are at work, and after a panic,
    /// which drops the worker's state.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Threads};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let reverse = |letters: &mut Vec<char>, word: &str| {
    ///     letters.clear();
    ///     letters.extend(word.chars().rev());
    ///     letters.iter().collect::<String>()
    /// };
    /// let reversed = Pipeline::from_iter(["tide", "gate"])
    ///     .map_init(Threads, "reverse", TWO, Vec::new, reverse);
    /// assert_eq!(reversed.collect().run_on_threads(TWO).unwrap(), ["edit", "etag"]);
    /// ```
    pub fn map_init<'w, P, I, State, F, U>(
        self,
        workers: P,
        name: &'static str,
        n: NonZeroUsize,
        init: I,
        f: F,
    ) -> Pipeline<'h, Chunked<'w, S, ApplyWith<F, I, State, Plain>>, T>
    where
        P: Workers<'h, 'w>,
        I: Fn() -> State + Send + Sync,
        State: Send,
        F: Fn(&mut State, S::Item) -> U + Send + Sync,
    {
        self.chunked(workers, name, n, |id| ApplyWith::new(f, init, id))
    }

    /// Adds a stage like [`map_init`](Self::map_init) whose function can fail.
    pub fn try_map_init<'w, P, I, State, F, U, E>(
        self,
        workers: P,
        name: &'static str,
        n: NonZeroUsize,
        init: I,
        f: F,
    ) -> Pipeline<'h, Chunked<'w, S, ApplyWith<F, I, State, Try>>, T>
    where
        P: Workers<'h, 'w>,
        I: Fn() -> State + Send + Sync,
        State: Send,
        F: Fn(&mut State, S::Item) -> Result<U, E> + Send + Sync,
        E: Into<BoxError>,
    {
        self.chunked(workers, name, n, |id| ApplyWith::new(f, init, id))
    }

    fn chunked<'w, P, L>(
        mut self,
        workers: P,
        name: &'static str,
        n: NonZeroUsize,
        chunk_work: impl FnOnce(StageId) -> L,
    ) -> Pipeline<'h, Chunked<'w, S, L>, T>
    where
        P: Workers<'h, 'w>,
        L: ChunkWork<S::Item>,
    {
        let requests = workers.requests(&mut self.flow);
        let chunk_work = chunk_work(self.flow.ledger.add_stage(name, n.get()));
        let stages = Chunked::new(self.stages, chunk_work, requests, n, &self.flow);
        Pipeline { stages, flow: self.flow, timer: self.timer }
    }
}

/// Settings of a stage on a pool or on [`Threads`](crate::Threads), which apply to the stage added
/// last; and methods that add a stage which shares that stage's workers.
impl<'h, 'w, S: Stage, W: ChunkWork<S::Item>, T> Pipeline<'h, Chunked<'w, S, W>, T> {
    /// Emits chunks as they finish, so that a slow one holds up no other.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{Pipeline, Threads};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let flow = Pipeline::from_iter(0..100).map_on(Threads, "pass", TWO, |n| n);
    /// let mut passed = flow.unordered().collect().run_on_threads(TWO).unwrap();
    /// passed.sort_unstable();
    /// assert!(passed.into_iter().eq(0..100));
    /// ```
    pub fn unordered(mut self) -> Self {
        self.stages.set_unordered();
        self
    }

    /// Sets how many items the stage may hold: those gathered for a chunk, those in work, and those
    /// finished. A finished item stays while the next stage is busy or an earlier chunk is still in
    /// work. The window bounds the size of chunks, too: with a window of at least twice `n`, `n`
    /// chunks can be in work while `n` wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize};
    /// use tidegate_pipeline::{Pipeline, Wait};
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// // A pool without workers: the stage takes what it may hold, and waits.
    /// let flow = Pipeline::from_iter(0..100)
    ///     .map_on(&WorkerPool::detached(8), "work", NonZeroUsize::MIN, |item| item)
    ///     .window(NonZeroUsize::new(8).unwrap());
    /// let monitor = flow.monitor();
    /// assert!(flow.run().wait_timeout(core::time::Duration::from_millis(1)).is_err());
    /// assert!((1..=8).contains(&monitor.stats().summary.read));
    /// ```
    pub fn window(mut self, window: NonZeroUsize) -> Self {
        self.stages.set_window(window);
        self
    }

    /// Adds a stage whose work is done by the same worker right after the work of the stage before,
    /// while the item is in the processor's cache. The new stage has a name and errors of its own,
    /// but shares `n`, the window and the order with the stage before; the statistics charge that
    /// stage for the time of both.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_pipeline::{OnError, Pipeline, Threads};
    ///
    /// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    ///
    /// let flow = Pipeline::from_iter(["2", "x", "3"])
    ///     .try_map_on(Threads, "parse", TWO, str::parse::<u32>)
    ///     .on_error(OnError::Skip)
    ///     .and_map("square", |n| n * n);
    /// assert_eq!(flow.collect().run_on_threads(TWO).unwrap(), [4, 9]);
    /// ```
    pub fn and_map<F, U>(
        self,
        name: &'static str,
        f: F,
    ) -> Pipeline<'h, Chunked<'w, S, Then<S::Item, W, Apply<F, Plain>>>, T>
    where
        F: Fn(W::Out) -> U + Send + Sync,
    {
        self.chain(name, |id| Apply::new(f, id))
    }

    /// Adds a stage like [`and_map`](Self::and_map) whose function can fail.
    pub fn try_and_map<F, U, E>(
        self,
        name: &'static str,
        f: F,
    ) -> Pipeline<'h, Chunked<'w, S, Then<S::Item, W, Apply<F, Try>>>, T>
    where
        F: Fn(W::Out) -> Result<U, E> + Send + Sync,
        E: Into<BoxError>,
    {
        self.chain(name, |id| Apply::new(f, id))
    }

    fn chain<A: ChunkWork<W::Out>>(
        mut self,
        name: &'static str,
        second: impl FnOnce(StageId) -> A,
    ) -> Pipeline<'h, Chunked<'w, S, Then<S::Item, W, A>>, T> {
        let second = second(self.flow.ledger.add_stage(name, self.stages.n.get()));
        let then = |first| Then { first, second, of: PhantomData };
        let stages = self.stages.rework(&self.flow, then);
        Pipeline { stages, flow: self.flow, timer: self.timer }
    }
}
