//! What a worker does with the items of a chunk.

use core::marker::PhantomData;

use alloc::vec::Vec;

use tidegate_core::lock::Lock;

use crate::{
    error::BoxError,
    flow::{DropEach, Foreign, Site},
    stage::debug_by_name,
};

/// What a worker does with the items of a chunk, one after the other. Implemented by this crate.
pub trait Labour<In>: Send + Sync {
    /// What becomes of an item.
    type Out;

    /// What a worker has of its own while it works.
    #[doc(hidden)]
    type State;

    /// The stage whose errors come first.
    #[doc(hidden)]
    fn first(&self) -> Site;

    /// The stage whose results are those of the whole.
    #[doc(hidden)]
    fn last(&self) -> Site;

    #[doc(hidden)]
    fn enter(&self) -> Self::State;

    /// Works on an item. Whatever it fails on, by an error or a panic, is the fault of stage `at`.
    #[doc(hidden)]
    fn step(&self, state: &mut Self::State, at: &mut Site, item: In)
    -> Result<Self::Out, BoxError>;

    #[doc(hidden)]
    fn leave(&self, state: Self::State);
}

/// A function: what [`map_on`](crate::Pipeline::map_on) does.
pub struct Apply<F> {
    pub(crate) f: F,
    pub(crate) site: Site,
}

debug_by_name!(Apply<F>);

impl<F, In, Out, E> Labour<In> for Apply<F>
where
    F: Fn(In) -> Result<Out, E> + Send + Sync,
    E: Into<BoxError>,
{
    type Out = Out;
    type State = ();

    fn first(&self) -> Site {
        self.site
    }

    fn last(&self) -> Site {
        self.site
    }

    fn enter(&self) {}

    #[inline]
    fn step(&self, _state: &mut (), at: &mut Site, item: In) -> Result<Out, BoxError> {
        *at = self.site;
        (self.f)(item).map_err(Into::into)
    }

    fn leave(&self, _state: ()) {}
}

/// A function with a state for each worker: what [`map_init`](crate::Pipeline::map_init) does.
pub struct ApplyWith<F, I, State> {
    pub(crate) f: F,
    pub(crate) init: I,
    pub(crate) site: Site,
    pub(crate) idle: Idle<State>,
}

/// States nobody uses now.
pub(crate) struct Idle<State>(Lock<DropEach<Vec<Foreign<State>>>>);

impl<State> Idle<State> {
    pub(crate) fn new() -> Self {
        Self(Lock::new(DropEach::default()))
    }
}

debug_by_name!(ApplyWith<F, I, State>);

impl<F, I, State, In, Out, E> Labour<In> for ApplyWith<F, I, State>
where
    I: Fn() -> State + Send + Sync,
    State: Send,
    F: Fn(&mut State, In) -> Result<Out, E> + Send + Sync,
    E: Into<BoxError>,
{
    type Out = Out;
    // Held while the function runs, and perhaps beside states of other stages.
    type State = Foreign<State>;

    fn first(&self) -> Site {
        self.site
    }

    fn last(&self) -> Site {
        self.site
    }

    fn enter(&self) -> Foreign<State> {
        self.idle.0.with(|idle| idle.pop()).unwrap_or_else(|| Foreign::new((self.init)()))
    }

    #[inline]
    fn step(&self, state: &mut Foreign<State>, at: &mut Site, item: In) -> Result<Out, BoxError> {
        *at = self.site;
        (self.f)(state, item).map_err(Into::into)
    }

    fn leave(&self, state: Foreign<State>) {
        self.idle.0.with(|idle| idle.push(state));
    }
}

/// One after the other, by the same worker: what [`and_map`](crate::Pipeline::and_map) does.
pub struct Then<In, A: Labour<In>, B> {
    pub(crate) first: A,
    pub(crate) second: B,
    pub(crate) of: PhantomData<fn(In) -> A::Out>,
}

impl<In, A: Labour<In>, B> core::fmt::Debug for Then<In, A, B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Then").finish_non_exhaustive()
    }
}

impl<In, A, B> Labour<In> for Then<In, A, B>
where
    A: Labour<In>,
    B: Labour<A::Out>,
{
    type Out = B::Out;
    type State = (A::State, B::State);

    fn first(&self) -> Site {
        self.first.first()
    }

    fn last(&self) -> Site {
        self.second.last()
    }

    fn enter(&self) -> Self::State {
        (self.first.enter(), self.second.enter())
    }

    #[inline]
    fn step(&self, state: &mut Self::State, at: &mut Site, item: In) -> Result<B::Out, BoxError> {
        let between = self.first.step(&mut state.0, at, item)?;
        self.second.step(&mut state.1, at, between)
    }

    fn leave(&self, state: Self::State) {
        self.first.leave(state.0);
        self.second.leave(state.1);
    }
}
