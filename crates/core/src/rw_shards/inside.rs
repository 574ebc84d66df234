//! Which sections the calling thread is in.
//!
//! A call from within a section might wait for a lock that its own thread holds; on another shard it would work, until the
//! day when two threads do it in opposite directions. So such calls panic, whichever shard they go to, but for readers
//! among readers. Those must not wait for a writer that waits for readers, which may wait for this very thread: they are
//! told that they are [`Nested`](Arrival::Nested), and go in as long as nobody writes yet.
//!
//! Maps are told apart by the addresses of their tables of readers. A thread that is in no section at all, which is the
//! usual case, finds a zero and looks no further.

use core::cell::Cell;

use crate::primitive::thread_constant;

/// Sections of so many different maps may stand in each other.
const DEEPEST: usize = 8;

/// A map that the thread is in: its address, and one more for a section that writes.
type Mark = usize;

struct Inside {
    // 0 outside of all sections.
    outermost: Cell<Mark>,
    depth: Cell<usize>,
    // INVARIANT: the first `depth` are of sections within the outermost, all of different maps.
    nested: [Cell<Mark>; DEEPEST - 1],
}

thread_constant! {
    static INSIDE: Inside = Inside {
        outermost: Cell::new(0),
        depth: Cell::new(0),
        nested: [const { Cell::new(0) }; DEEPEST - 1],
    };
}

/// How a thread comes to a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// From outside of all sections.
    First,
    /// From within another one.
    Nested,
}

/// A thread is in a section until this is dropped.
#[derive(Debug)]
pub(super) enum Stay {
    Outermost,
    Nested { outer_depth: usize },
}

impl Drop for Stay {
    #[inline]
    fn drop(&mut self) {
        INSIDE.with(|inside| match *self {
            Self::Outermost => inside.outermost.set(0),
            Self::Nested { outer_depth } => inside.depth.set(outer_depth),
        });
    }
}

/// Begins a reading section of the map at `address`.
///
/// # Panics
///
/// Panics if the thread is in a writing section of that map, or in sections of [`DEEPEST`] other maps.
#[inline]
pub(super) fn read(address: usize) -> (Stay, Arrival) {
    INSIDE.with(|inside| match inside.outermost.get() {
        0 => (inside.begin(address), Arrival::First),
        outermost => (inside.read_nested(outermost, address), Arrival::Nested),
    })
}

/// Begins a writing section of the map at `address`.
///
/// # Panics
///
/// Panics if the thread is in any section of that map, or in sections of [`DEEPEST`] other maps.
#[inline]
pub(super) fn write(address: usize) -> Stay {
    INSIDE.with(|inside| match inside.outermost.get() {
        0 => inside.begin(address | 1),
        outermost => inside.write_nested(outermost, address),
    })
}

impl Inside {
    #[inline]
    fn begin(&self, mark: Mark) -> Stay {
        self.outermost.set(mark);
        Stay::Outermost
    }

    #[cold]
    fn read_nested(&self, outermost: Mark, address: usize) -> Stay {
        match self.find(outermost, address) {
            Some(mark) if mark == address => Stay::Nested { outer_depth: self.depth.get() },
            Some(_) => refuse(),
            None => self.push(address),
        }
    }

    #[cold]
    fn write_nested(&self, outermost: Mark, address: usize) -> Stay {
        match self.find(outermost, address) {
            Some(_) => refuse(),
            None => self.push(address | 1),
        }
    }

    fn push(&self, mark: Mark) -> Stay {
        let outer_depth = self.depth.get();
        let place = self.nested.get(outer_depth);
        place
            .unwrap_or_else(|| panic!("closures of more than {DEEPEST} maps run within each other"))
            .set(mark);
        self.depth.set(outer_depth + 1);
        Stay::Nested { outer_depth }
    }

    /// Returns the mark of the map at `address`, if the thread is in it.
    fn find(&self, outermost: Mark, address: usize) -> Option<Mark> {
        let nested = self.nested[..self.depth.get()].iter().map(Cell::get);
        core::iter::once(outermost).chain(nested).find(|mark| mark & !1 == address)
    }
}

fn refuse() -> ! {
    panic!(
        "a closure (or a key's or value's trait method) that a map runs under a shard's lock called back into the same map, and one \
         of the two writes: return what you need, then call the map again"
    )
}
