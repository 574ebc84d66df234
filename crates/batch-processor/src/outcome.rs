//! The result or the error of each item of a batch.

use core::mem;

use alloc::{vec, vec::Vec};

use crate::{error::BatchError, steps, unwind::drop_each};

/// A result or an error for each item, found by the item's index.
pub(crate) struct Outcome<R, E> {
    /// How many of the first items were dropped before the batch started.
    dropped: usize,
    /// `None` if the item has failed, or once its owner has taken the result.
    results: Vec<Option<R>>,
    // INVARIANT: in the order of their items, and no two for one item. Nearly always there is none,
    // or one for all items.
    failures: Vec<Failure<E>>,
}

/// The error that `len` items share, from the one at index `first` on.
struct Failure<E> {
    first: usize,
    len: usize,
    error: BatchError<E>,
}

impl<R, E> Outcome<R, E> {
    pub(crate) const fn new() -> Self {
        Self { dropped: 0, results: Vec::new(), failures: Vec::new() }
    }

    /// Returns the outcome of `len` items that have failed together.
    pub(crate) fn failed(len: usize, error: BatchError<E>) -> Self {
        let failures = vec![Failure { first: 0, len, error }];
        Self { dropped: 0, results: Vec::new(), failures }
    }

    /// Returns the outcome of the `len` items of one call of the handler.
    pub(crate) fn of(len: usize, outcome: Result<Vec<R>, BatchError<E>>) -> Self {
        let mut whole = Self::new();
        whole.add(len, outcome);
        whole
    }

    /// Adds the outcome of the next `len` items: `len` results, or the error that the items share.
    pub(crate) fn add(&mut self, len: usize, outcome: Result<Vec<R>, BatchError<E>>) {
        let first = self.results.len();
        match outcome {
            Ok(results) => self.results.extend(results.into_iter().map(Some)),
            Err(error) => {
                self.failures.push(Failure { first, len, error });
                self.results.resize_with(first + len, || None);
            }
        }
    }

    /// Returns how many items have failed.
    pub(crate) fn failures(&self) -> usize {
        self.failures.iter().map(|failure| failure.len).sum()
    }

    /// Sets how many items were dropped before those whose outcomes were added.
    pub(crate) fn behind(mut self, dropped: usize) -> Self {
        self.dropped = dropped;
        self
    }

    /// Takes the result or the error of an item; `None` if the outcome has neither, as for an item
    /// that was dropped before the batch started.
    #[inline]
    pub(crate) fn take(&mut self, index: usize) -> Option<Result<R, BatchError<E>>> {
        let index = index.checked_sub(self.dropped)?;
        if let Some(result) = self.results.get_mut(index).and_then(Option::take) {
            return Some(Ok(result));
        }
        let begun = self.failures.partition_point(|failure| {
            steps::step();
            failure.first <= index
        });
        let last = self.failures.get(begun.checked_sub(1)?)?;
        // Not `index < first + len`: `len` may be `usize::MAX`, and the sum would overflow.
        (index - last.first < last.len).then(|| Err(last.error.clone()))
    }
}

impl<R, E> Drop for Outcome<R, E> {
    /// Drops one by one the results and errors that no caller has taken: they are foreign, and the
    /// last owner that drops them may be the driver.
    fn drop(&mut self) {
        drop_each(mem::take(&mut self.results));
        drop_each(mem::take(&mut self.failures));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the steps of taking all outcomes of a batch as a bisection leaves it: every second
    /// item has an error of its own.
    fn steps_of_all(items: usize) -> usize {
        let mut outcome = Outcome::<usize, ()>::new();
        for item in 0..items {
            let bad = item % 2 == 1;
            outcome.add(1, if bad { Err(BatchError::Dropped) } else { Ok(vec![item]) });
        }
        steps::steps_of(|| {
            for item in 0..items {
                let taken = outcome.take(item);
                assert!(taken.is_some_and(|taken| taken.ok() == (item % 2 == 0).then_some(item)));
            }
            assert!(outcome.take(items).is_none());
        })
    }

    #[test]
    fn reading_the_error_of_each_item_of_a_batch_costs_its_logarithm() {
        let (few, many) = (steps_of_all(1000), steps_of_all(16_000));
        assert!(many < few * 16 * 3 / 2, "sixteen times as many items: {few} entries, and {many}");
    }
}
