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
    depth: Cell<usize>,
    // INVARIANT: the first `depth` are of sections that have begun and not ended, of different maps.
    marks: [Cell<Mark>; DEEPEST],
}

thread_constant! {
    static INSIDE: Inside = Inside {
        depth: Cell::new(0),
        marks: [const { Cell::new(0) }; DEEPEST],
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
pub(super) struct Stay {
    outer_depth: usize,
}

impl Drop for Stay {
    #[inline]
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.depth.set(self.outer_depth));
    }
}

/// Begins a reading section of the map at `address`.
///
/// # Panics
///
/// Panics if the thread is in a writing section of that map, or in sections of [`DEEPEST`] other maps.
#[inline]
pub(super) fn read(address: usize) -> (Stay, Arrival) {
    INSIDE.with(|inside| match inside.depth.get() {
        0 => (inside.push(0, address), Arrival::First),
        depth => (inside.read_nested(depth, address), Arrival::Nested),
    })
}

/// Begins a writing section of the map at `address`.
///
/// # Panics
///
/// Panics if the thread is in any section of that map, or in sections of [`DEEPEST`] other maps.
#[inline]
pub(super) fn write(address: usize) -> Stay {
    let mark = address | 1;
    INSIDE.with(|inside| match inside.depth.get() {
        0 => inside.push(0, mark),
        depth => inside.write_nested(depth, mark),
    })
}

impl Inside {
    #[inline]
    fn push(&self, depth: usize, mark: Mark) -> Stay {
        self.marks[depth].set(mark);
        self.depth.set(depth + 1);
        Stay { outer_depth: depth }
    }

    #[cold]
    fn read_nested(&self, depth: usize, address: usize) -> Stay {
        match self.find(depth, address) {
            Some(mark) if mark == address => Stay { outer_depth: depth },
            Some(_) => refuse(),
            None => self.push_nested(depth, address),
        }
    }

    #[cold]
    fn write_nested(&self, depth: usize, mark: Mark) -> Stay {
        match self.find(depth, mark & !1) {
            Some(_) => refuse(),
            None => self.push_nested(depth, mark),
        }
    }

    fn push_nested(&self, depth: usize, mark: Mark) -> Stay {
        assert!(depth < DEEPEST, "closures of more than {DEEPEST} maps run within each other");
        self.push(depth, mark)
    }

    /// Returns the mark of the map at `address`, if the thread is in it.
    fn find(&self, depth: usize, address: usize) -> Option<Mark> {
        self.marks[..depth].iter().map(Cell::get).find(|mark| mark & !1 == address)
    }
}

fn refuse() -> ! {
    panic!(
        "a closure (or a key's or value's trait method) that a map runs under a shard's lock called back into the same map, and one \
         of the two writes: return what you need, then call the map again"
    )
}
