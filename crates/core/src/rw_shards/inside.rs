//! Which sections the calling thread is in.
//!
//! A call from within a section might wait for a lock that its own thread holds. A call to another
//! shard would work, until two threads made such calls in opposite directions. So a call panics,
//! whichever shard it goes to, unless both sections only read. The inner reader must not queue
//! behind a writer, which may be waiting for this very thread. So such a reader is
//! [`Nested`](Arrival::Nested), and is let in unless a writer is inside at this moment.
//!
//! Maps are told apart by addresses: those of their tables of readers, or of an owner of several
//! such tables. A thread that is in no section at all, which is the usual case, finds a zero, and
//! leaves a zero.

use core::{cell::Cell, marker::PhantomData};

use crate::primitive::thread_constant;

/// How many sections may stand within each other, those of the same map in a row counted once.
const DEEPEST: usize = super::MOST_SECTIONS;

/// A section that the thread is in: the address of its map, with [`WRITES`] added if it writes.
type Mark = usize;

/// What is added to a map's address to mark a writing section. A map is larger than this, so the
/// sum is no other map's address. An offset of 1 would do, too.
const WRITES: usize = size_of::<usize>();

/// Returns the mark of writing sections.
#[inline]
fn writing(address: usize) -> Mark {
    address.wrapping_add(WRITES)
}

struct Inside {
    // The mark of the innermost section; 0 outside of all sections.
    innermost: Cell<Mark>,
    depth: Cell<usize>,
    // INVARIANT: the first `depth` entries are for the sections around the innermost one, the
    // outermost first: a mark, and how many sections in a row have it. The last entry may have the
    // mark of the innermost section, so up to `DEEPEST` entries are in use.
    around: [Cell<(Mark, usize)>; DEEPEST],
}

thread_constant! {
    static INSIDE: Inside = Inside {
        innermost: Cell::new(0),
        depth: Cell::new(0),
        around: [const { Cell::new((0, 0)) }; DEEPEST],
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

/// The thread is in a section until it drops this. The innermost section ends first, as a closure
/// ends before the one that runs it.
#[derive(Debug)]
pub(super) struct Stay(PhantomData<*const ()>);

impl Drop for Stay {
    #[inline]
    fn drop(&mut self) {
        INSIDE.with(|inside| {
            inside.innermost.set(0);
            if inside.depth.get() > 0 {
                inside.return_to_outer();
            }
        });
    }
}

/// Begins a reading section of the map at `address`.
///
/// # Panics
///
/// Panics if the thread is in a writing section of that map, or if the new section would be nested
/// too deeply.
#[inline]
pub(super) fn read(address: usize) -> (Stay, Arrival) {
    INSIDE.with(|inside| {
        let arrival = match inside.innermost.get() {
            0 => Arrival::First,
            outer => inside.nest(outer, address, address),
        };
        inside.innermost.set(address);
        (Stay(PhantomData), arrival)
    })
}

/// Begins a writing section of the map at `address`.
///
/// # Panics
///
/// Panics if the thread is in any section of that map, or if the new section would be nested too
/// deeply.
#[inline]
pub(super) fn write(address: usize) -> Stay {
    INSIDE.with(|inside| {
        let mark = writing(address);
        match inside.innermost.get() {
            0 => {}
            outer => _ = inside.nest(outer, address, mark),
        }
        inside.innermost.set(mark);
        Stay(PhantomData)
    })
}

/// Makes sure that the thread is in no section of the map at `address`.
///
/// # Panics
///
/// Panics if it is.
pub(super) fn assert_outside(address: usize) {
    let is_inside = INSIDE
        .with(|inside| inside.marks().any(|mark| mark == address || mark == writing(address)));
    if is_inside {
        refuse();
    }
}

/// Returns how many sections the thread is in, those of the same map in a row counted once.
pub(super) fn depth() -> usize {
    INSIDE.with(Inside::levels)
}

impl Inside {
    /// Returns the marks of all sections that the thread is in; one mark of 0 if it is in none.
    fn marks(&self) -> impl Iterator<Item = Mark> {
        let around = self.around[..self.depth.get()].iter().map(|around| around.get().0);
        around.chain([self.innermost.get()])
    }

    /// Returns how many sections the thread is in, those of the same map in a row counted once.
    fn levels(&self) -> usize {
        match self.innermost.get() {
            0 => 0,
            innermost => {
                let depth = self.depth.get();
                let is_in_a_row = depth > 0 && self.around[depth - 1].get().0 == innermost;
                depth + usize::from(!is_in_a_row)
            }
        }
    }

    /// Remembers the innermost section, which is about to be an outer one. Panics if the new
    /// section must not stand within those that the thread is in.
    #[cold]
    fn nest(&self, outer: Mark, address: usize, mark: Mark) -> Arrival {
        let depth = self.depth.get();
        let is_in_the_way = |other| match other == address {
            true => mark == writing(address),
            false => other == writing(address),
        };
        if self.marks().any(is_in_the_way) {
            refuse();
        }
        assert!(
            mark == outer || self.levels() < DEEPEST,
            "closures of maps run within each other more than {DEEPEST} deep"
        );
        let (last, times) = depth.checked_sub(1).map_or((0, 0), |last| self.around[last].get());
        if last == outer {
            self.around[depth - 1].set((last, times + 1));
        } else {
            self.around[depth].set((outer, 1));
            self.depth.set(depth + 1);
        }
        Arrival::Nested
    }

    #[cold]
    fn return_to_outer(&self) {
        let last = self.depth.get() - 1;
        let (outer, times) = self.around[last].get();
        self.around[last].set((outer, times - 1));
        if times == 1 {
            self.depth.set(last);
        }
        self.innermost.set(outer);
    }
}

fn refuse() -> ! {
    panic!(
        "a closure (or a key's or value's trait method) that a map runs under a shard's lock called back into the same map, and one \
         of the two writes: return what you need, then call the map again"
    )
}
