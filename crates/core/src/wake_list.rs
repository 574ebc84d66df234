//! Wakers collected under a lock and called after it.

use core::{fmt, mem, task::Waker};

use alloc::vec::Vec;

use crate::unwind;

/// How many wakers a list keeps without an allocation; a critical section rarely collects more.
const INLINE: usize = 4;

/// Wakers to be called once every lock is open.
///
/// Call [`wake`](Self::wake), or drop the list, which wakes too: a list that is lost on an early
/// return or in a panic still calls every waker. If wakers panic, the others are called all the
/// same, and then the first of the panics propagates. If a panic that unwinds drops the list, only
/// that panic propagates. Without std a second panic aborts the process.
///
/// # Examples
///
/// ```
/// use core::task::Waker;
/// use tidegate_core::wake_list::WakeList;
///
/// let mut list = WakeList::new();
/// list.push(Waker::noop().clone());
/// assert_eq!(list.len(), 1);
/// list.wake();
/// ```
#[must_use = "the wakers in the list wait to be called"]
pub struct WakeList {
    first: [Option<Waker>; INLINE],
    // INVARIANT: empty unless `first` is full.
    rest: Vec<Waker>,
    len: usize,
}

impl WakeList {
    /// Creates an empty list. Does not allocate.
    pub const fn new() -> Self {
        Self { first: [const { None }; INLINE], rest: Vec::new(), len: 0 }
    }

    /// Adds a waker; allocates from the fifth on.
    #[inline]
    pub fn push(&mut self, waker: Waker) {
        match self.first.get_mut(self.len) {
            Some(place) => *place = Some(waker),
            None => self.rest.push(waker),
        }
        self.len += 1;
    }

    /// Moves every waker out, leaving the list empty.
    pub fn take(&mut self) -> Self {
        mem::take(self)
    }

    /// Returns how many wakers wait in the list.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no waker in the list.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Calls every waker, in the order in which they were added. No lock may be held: a waker may
    /// call back into its primitive.
    #[inline]
    pub fn wake(self) {
        // The drop calls the wakers, so a waker that panics does not keep those behind it from
        // being called.
        drop(self);
    }

    #[cold]
    fn wake_each(&mut self) {
        let rest = mem::take(&mut self.rest);
        self.len = 0;
        let wakers = self.first.iter_mut().filter_map(Option::take).chain(rest);
        unwind::in_drop(|| each(wakers, Waker::wake));
    }
}

/// Calls `act` with each item, also with those after an item whose call panics. Only the first
/// panic propagates, when all calls are done. Without std a second panic aborts the process.
pub fn each<I: Iterator>(mut items: I, act: fn(I::Item)) {
    // Has items left when it is dropped only if a panic unwinds.
    struct Remaining<'a, I: Iterator>(&'a mut I, fn(I::Item));
    impl<I: Iterator> Drop for Remaining<'_, I> {
        fn drop(&mut self) {
            let act = self.1;
            self.0.for_each(|item| unwind::contain(|| act(item)));
        }
    }
    let remaining = Remaining(&mut items, act);
    for item in remaining.0.by_ref() {
        act(item);
    }
}

impl Default for WakeList {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<Waker> for WakeList {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        wakers.into_iter().for_each(|waker| self.push(waker));
    }
}

impl fmt::Debug for WakeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeList").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Drop for WakeList {
    #[inline]
    fn drop(&mut self) {
        match self.len {
            0 => {}
            // The common case: there are no others that a panic could keep from being woken.
            1 => {
                let only = self.first[0].take();
                unwind::in_drop(|| only.into_iter().for_each(Waker::wake));
            }
            _ => self.wake_each(),
        }
    }
}
