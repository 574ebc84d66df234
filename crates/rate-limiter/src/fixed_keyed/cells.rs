//! The cells of a fixed keyed limiter, on the heap or in a static.

use core::fmt;

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{
    const_fn,
    primitive::{atomic::AtomicU64, zeros},
};

/// The cells of a [`FixedKeyedLimiter`](crate::FixedKeyedLimiter) in a static: 8 bytes each, all
/// zero, so the binary does not contain them.
///
/// # Examples
///
/// See [`FixedKeyedLimiter::in_static`](crate::FixedKeyedLimiter::in_static).
pub struct FixedCells<const N: usize> {
    words: [AtomicU64; N],
}

impl<const N: usize> FixedCells<N> {
    const_fn! {
        /// Creates cells with full buckets. Use it for a static: elsewhere the cells would be on
        /// the stack.
        ///
        /// `N = 0` does not compile.
        #[allow(clippy::new_without_default, reason = "a default would be on the stack")]
        pub fn new() -> Self {
            const { assert!(N > 0, "no cells") };
            Self { words: zeros() }
        }
    }
}

impl<const N: usize> fmt::Debug for FixedCells<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedCells").field("cells", &N).finish_non_exhaustive()
    }
}

/// An array that is never on the stack.
pub(super) enum Cells<const N: usize> {
    Heap(Box<[AtomicU64; N]>),
    Static(&'static FixedCells<N>),
}

impl<const N: usize> Cells<N> {
    pub(super) fn new() -> Self {
        let words: Vec<AtomicU64> = (0..N).map(|_| AtomicU64::new(0)).collect();
        Self::Heap(words.try_into().expect("there are N words"))
    }

    #[inline(always)]
    pub(super) fn words(&self) -> &[AtomicU64; N] {
        match self {
            Self::Heap(words) => words,
            Self::Static(cells) => &cells.words,
        }
    }
}
