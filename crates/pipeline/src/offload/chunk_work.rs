//! The work on the items of a chunk.

use core::marker::PhantomData;

use alloc::vec::Vec;

use tidegate_core::{
    lock::Lock,
    unwind::{DropEach, Foreign},
};

use crate::{
    debug::debug_by_name,
    error::BoxError,
    flow::{Returns, StageId},
};

/// What a worker does with each item of a chunk. Implemented by this crate.
pub trait ChunkWork<In>: Send + Sync {
    /// What the work makes of an item, unless the work fails.
    type Out;

    /// What a worker keeps from item to item.
    #[doc(hidden)]
    type State;

    /// The first of the stages whose work this is.
    #[doc(hidden)]
    fn first(&self) -> StageId;

    /// The last of them, whose results are emitted.
    #[doc(hidden)]
    fn last(&self) -> StageId {
        self.first()
    }

    #[doc(hidden)]
    fn enter(&self) -> Self::State;

    /// Works on an item, and sets `at` to the stage to which an error or a panic belongs.
    #[doc(hidden)]
    fn step(
        &self,
        state: &mut Self::State,
        at: &mut StageId,
        item: In,
    ) -> Result<Self::Out, BoxError>;

    #[doc(hidden)]
    fn leave(&self, state: Self::State);
}

/// Calls a function: the work of [`map_on`](crate::Pipeline::map_on).
pub struct Apply<F, R> {
    f: F,
    id: StageId,
    returns: PhantomData<fn() -> R>,
}

debug_by_name!(Apply<F, R>);

impl<F, R> Apply<F, R> {
    pub(crate) fn new(f: F, id: StageId) -> Self {
        Self { f, id, returns: PhantomData }
    }
}

impl<F, In, Returned, R> ChunkWork<In> for Apply<F, R>
where
    F: Fn(In) -> Returned + Send + Sync,
    R: Returns<Returned>,
{
    type Out = R::Out;
    type State = ();

    fn first(&self) -> StageId {
        self.id
    }

    fn enter(&self) {}

    #[inline]
    fn step(&self, _state: &mut (), at: &mut StageId, item: In) -> Result<R::Out, BoxError> {
        *at = self.id;
        R::result((self.f)(item))
    }

    fn leave(&self, _state: ()) {}
}

/// Calls a function with a state of the worker: the work of
/// [`map_init`](crate::Pipeline::map_init).
pub struct ApplyWith<F, I, State, R> {
    f: F,
    init: I,
    id: StageId,
    /// States that no worker uses.
    idle: Lock<DropEach<Vec<Foreign<State>>>>,
    returns: PhantomData<fn() -> R>,
}

debug_by_name!(ApplyWith<F, I, State, R>);

impl<F, I, State, R> ApplyWith<F, I, State, R> {
    pub(crate) fn new(f: F, init: I, id: StageId) -> Self {
        Self { f, init, id, idle: Lock::new(DropEach::default()), returns: PhantomData }
    }
}

impl<F, I, State, In, Returned, R> ChunkWork<In> for ApplyWith<F, I, State, R>
where
    I: Fn() -> State + Send + Sync,
    State: Send,
    F: Fn(&mut State, In) -> Returned + Send + Sync,
    R: Returns<Returned>,
{
    type Out = R::Out;
    // `Foreign`: a panic of the function drops the state, whose destructor may panic, too.
    type State = Foreign<State>;

    fn first(&self) -> StageId {
        self.id
    }

    fn enter(&self) -> Foreign<State> {
        self.idle.with(|idle| idle.pop()).unwrap_or_else(|| Foreign::new((self.init)()))
    }

    #[inline]
    fn step(
        &self,
        state: &mut Foreign<State>,
        at: &mut StageId,
        item: In,
    ) -> Result<R::Out, BoxError> {
        *at = self.id;
        R::result((self.f)(state, item))
    }

    fn leave(&self, state: Foreign<State>) {
        self.idle.with(|idle| idle.push(state));
    }
}

/// Does one stage's work and then another's: the work of [`and_map`](crate::Pipeline::and_map).
pub struct Then<In, A: ChunkWork<In>, B> {
    pub(crate) first: A,
    pub(crate) second: B,
    pub(crate) of: PhantomData<fn(In) -> A::Out>,
}

debug_by_name!(Then<In, A: ChunkWork<In>, B>);

impl<In, A, B> ChunkWork<In> for Then<In, A, B>
where
    A: ChunkWork<In>,
    B: ChunkWork<A::Out>,
{
    type Out = B::Out;
    type State = (A::State, B::State);

    fn first(&self) -> StageId {
        self.first.first()
    }

    fn last(&self) -> StageId {
        self.second.last()
    }

    fn enter(&self) -> Self::State {
        (self.first.enter(), self.second.enter())
    }

    #[inline]
    fn step(
        &self,
        state: &mut Self::State,
        at: &mut StageId,
        item: In,
    ) -> Result<B::Out, BoxError> {
        let between = self.first.step(&mut state.0, at, item)?;
        self.second.step(&mut state.1, at, between)
    }

    fn leave(&self, state: Self::State) {
        self.first.leave(state.0);
        self.second.leave(state.1);
    }
}
