//! What a worker takes out of the queue.

use alloc::boxed::Box;

use tidegate_core::Timestamp;

use crate::{cell::Errand, driven::Driven};

/// A job as its pool sees it: one allocation for a closure, whoever wants its result. Dropped unrun, it is cancelled.
pub(crate) enum Job {
    /// Nobody has a handle.
    Plain(Box<dyn Chore>),
    Tracked(Errand),
    /// A future.
    Driven(Box<Driven>),
    /// What runs the next job of a lane.
    Turn(Box<dyn Turns>),
}

/// A turn at a lane. Dropped unused, it cancels a job of the lane.
pub(crate) trait Turns: Send {
    /// Takes the lane and its oldest job, unless somebody else has the lane, and will see to it. Of a lane that it has, takes the
    /// next job that it owes.
    fn begin(&mut self) -> Option<Errand>;
    /// Notes that the job which it began with had been called off.
    fn forget_called_off(&mut self);
    /// Returns whether others have left another job to it; else gives the lane back.
    fn owes(&mut self) -> bool;
    /// Cancels what is its to run; returns how many jobs that were, without those that had been called off.
    fn cancel(self: Box<Self>) -> u64;
    /// Makes it a turn at nothing.
    fn forget(&mut self);
}

/// A closure whose result nobody wants, and when it was accepted.
struct Stamped<F> {
    /// `Timestamp::NEVER` if nobody measures: one word, not two.
    accepted: Timestamp,
    closure: F,
}

/// Any of them.
pub(crate) trait Chore: Send {
    fn accepted(&mut self) -> &mut Timestamp;
    fn call(self: Box<Self>);
}

impl<F: FnOnce() + Send> Chore for Stamped<F> {
    fn accepted(&mut self) -> &mut Timestamp {
        &mut self.accepted
    }

    fn call(self: Box<Self>) {
        (self.closure)();
    }
}

impl Job {
    /// Makes a job without a handle.
    pub(crate) fn plain(closure: impl FnOnce() + Send + 'static) -> Self {
        Self::Plain(Box::new(Stamped { accepted: Timestamp::NEVER, closure }))
    }

    /// Makes a job of the worker's end of one that has a handle.
    pub(crate) fn tracked(errand: Errand) -> Self {
        Self::Tracked(errand)
    }

    /// Drops a job that has waited too long; returns false if it had been called off before.
    #[must_use]
    pub(crate) fn expire(self) -> bool {
        match self {
            Self::Tracked(errand) => errand.expire(),
            Self::Driven(driven) => driven.into_errand().expire(),
            // The jobs of a lane are looked at one by one.
            Self::Plain(_) | Self::Turn(_) => true,
        }
    }

    /// Returns whether its handle has called it off, so that it takes no place.
    pub(crate) fn is_called_off(&self) -> bool {
        match self {
            Self::Tracked(errand) => errand.is_called_off(),
            Self::Driven(driven) => driven.is_called_off(),
            Self::Plain(_) | Self::Turn(_) => false,
        }
    }

    /// Drops a turn whose job has another one.
    pub(crate) fn forget(self) {
        if let Self::Turn(mut turn) = self {
            turn.forget();
        }
    }

    /// Returns whether it is a future.
    pub(crate) fn is_driven(&self) -> bool {
        matches!(self, Self::Driven(_))
    }

    /// Notes when the job was accepted.
    pub(crate) fn accept(&mut self, now: Timestamp) {
        match self {
            Self::Plain(chore) => *chore.accepted() = now,
            Self::Tracked(errand) => errand.accept(now),
            Self::Driven(driven) => driven.accept(now),
            // Its job was stamped itself.
            Self::Turn(_) => {}
        }
    }

    /// Returns when it was accepted, if that was noted.
    pub(crate) fn accepted(&mut self) -> Option<Timestamp> {
        match self {
            Self::Plain(chore) => Some(*chore.accepted()).filter(|at| *at != Timestamp::NEVER),
            Self::Tracked(errand) => errand.accepted(),
            Self::Driven(driven) => driven.accepted(),
            Self::Turn(_) => None,
        }
    }
}
