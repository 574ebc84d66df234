//! Finds out when a closure calls back into the map that runs it.
//!
//! Such a call would wait for a lock that its own thread holds; on another shard it would work, until the day when two
//! threads do it in opposite directions. So *every* call into a map from inside that map panics, whichever shard it
//! goes to.
//!
//! Each shard says which thread is inside ([`Occupant`]), and each thread counts how many shards, of any map, it is
//! inside. A thread that is inside none, which is the usual case, need not look further; one that is inside some looks
//! for itself among the occupants of the map it is about to enter.
//!
//! Where threads cannot be told apart (without std) nothing is found, and a re-entered lock does what
//! `tidegate_core::lock` says.

use tidegate_core::primitive::{
    atomic::{AtomicUsize, Ordering},
    thread_number,
};

/// The thread inside a shard.
#[derive(Debug)]
pub(crate) struct Occupant {
    // INVARIANT: a thread's number + 1 while that thread works on the shard, else 0.
    thread: AtomicUsize,
}

impl Occupant {
    pub(crate) fn none() -> Self {
        Self { thread: AtomicUsize::new(0) }
    }

    fn is(&self, thread: usize) -> bool {
        // ORDERING: Relaxed: nobody but a thread itself stores its number, and it sees its own stores.
        self.thread.load(Ordering::Relaxed) == thread
    }

    /// Writes the visitor down until the guard is dropped. For the holder of the shard's lock.
    #[inline]
    pub(crate) fn set(&self, visitor: Visitor) -> Stay<'_> {
        if let Some(thread) = visitor.thread {
            // ORDERING: Relaxed: as in `is`.
            self.thread.store(thread, Ordering::Relaxed);
            nesting::enter();
        }
        Stay { occupant: self, visitor }
    }
}

/// The calling thread, `None` if it cannot be told from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    thread: Option<usize>,
}

impl Visitor {
    /// Makes sure that the calling thread is not among the occupants of the map that it is about to enter.
    ///
    /// # Panics
    ///
    /// Panics if it is.
    #[inline]
    pub(crate) fn announce<'a>(occupants: impl Iterator<Item = &'a Occupant>) -> Self {
        let thread = thread_number().map(|number| number + 1);
        if let Some(thread) = thread {
            if nesting::is_inside() {
                refuse_among(occupants, thread);
            }
        }
        Self { thread }
    }
}

#[cold]
fn refuse_among<'a>(mut occupants: impl Iterator<Item = &'a Occupant>, thread: usize) {
    assert!(
        !occupants.any(|occupant| occupant.is(thread)),
        "a closure (or a key's or value's trait method) run by a map called back into the same map; \
         such closures hold a shard's lock: return what you need, then call the map again"
    );
}

/// A thread is inside a shard until this is dropped.
#[derive(Debug)]
pub(crate) struct Stay<'a> {
    occupant: &'a Occupant,
    visitor: Visitor,
}

impl Drop for Stay<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.visitor.thread.is_some() {
            nesting::leave();
            // ORDERING: Relaxed: as in `Occupant::is`.
            self.occupant.thread.store(0, Ordering::Relaxed);
        }
    }
}

/// How many shards, of any map, the calling thread is inside.
#[cfg(feature = "std")]
mod nesting {
    use core::cell::Cell;

    std::thread_local! {
        static DEPTH: Cell<usize> = const { Cell::new(0) };
    }

    #[inline]
    pub(super) fn enter() {
        DEPTH.set(DEPTH.get() + 1);
    }

    #[inline]
    pub(super) fn leave() {
        DEPTH.set(DEPTH.get() - 1);
    }

    #[inline]
    pub(super) fn is_inside() -> bool {
        DEPTH.get() > 0
    }
}

/// Threads have no numbers here, so nobody asks.
#[cfg(not(feature = "std"))]
mod nesting {
    pub(super) fn enter() {}

    pub(super) fn leave() {}

    pub(super) fn is_inside() -> bool {
        false
    }
}
