//! How many threads can run at once.

use core::num::NonZero;

use super::ProcessCell;

static ANSWER: ProcessCell<usize> = ProcessCell::new();

/// Returns the number of threads that can run at once, as the system said when it was asked first;
/// 1 where it does not know.
pub fn parallelism() -> usize {
    *ANSWER.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

/// Makes [`parallelism`] return `threads` in this process, for tests that are about machines of
/// that size; returns false if that has given another answer before.
#[doc(hidden)]
pub fn assume_parallelism(threads: usize) -> bool {
    *ANSWER.get_or_init(|| threads) == threads
}
