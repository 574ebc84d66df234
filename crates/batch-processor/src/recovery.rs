//! What is done with a batch that failed: it is tried again, and then split, until only the items
//! to blame fail.
//!
//! ```text
//!           ┌────────pause, while there are retries────────┐
//!           ▼                                              │
//! batch ─▶ call ──error──▶ a retry left, still open? ──yes─┘
//!           │                     │ no
//!           │               more than one item? ──yes──▶ the first half is called, later the second
//!           │ results             │ no
//!           ▼                     ▼
//!         the results or the error of these items; then the part that comes next, or over
//! ```
//!
//! Like the gatherer, this module has no clock and no lock: it only says what comes next.

use core::{mem, time::Duration};

use alloc::vec::Vec;

use tidegate_core::backoff::Retries;

use crate::{
    error::BatchError,
    outcome::Outcome,
    unwind::{DropEach, drop_each, shielded},
};

/// What happens to the items of a batch for which the handler failed.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, OnError, Wait};
///
/// // One bad row makes the transaction fail; the others are written without it.
/// let insert = |rows: Vec<&'static str>| match rows.contains(&"bad") {
///     true => Err("constraint violated"),
///     false => Ok(vec![(); rows.len()]),
/// };
/// let (batcher, driver) =
///     Batcher::builder().max_items(4).on_error(OnError::Bisect).build_on_thread(insert)?;
/// let replies = ["a", "b", "bad", "c"].map(|row| batcher.try_submit(row).unwrap());
/// let results = replies.map(|reply| reply.wait().is_ok());
/// assert_eq!(results, [true, true, false, true]);
/// # drop(batcher);
/// # driver.join();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnError {
    /// All items share the error.
    #[default]
    Fail,
    /// The batch is split into halves, and the handler is called for each. A half that fails is
    /// split again, until each item has its result, or the error of a call for it alone.
    ///
    /// A batch of n items of which k are to blame costs at most 2k⌈log₂ n⌉ calls after the first,
    /// and never more than 2n − 2. A panic and a wrong number of results count as errors.
    Bisect,
}

/// What a batcher does with batches that failed.
#[derive(Debug)]
pub(crate) struct Recovery<T> {
    // Clones items: the methods of the builder that set it require `T: Clone`.
    pub(crate) copy: fn(&[T]) -> Vec<T>,
    pub(crate) retries: Option<Retries>,
    pub(crate) on_error: OnError,
}

/// A batch for which the handler can be called several times.
pub(crate) struct Effort<T, R, E> {
    // INVARIANT: the items of the current part; empty once `items` has returned them for the last
    // call that this part can have.
    items: Vec<T>,
    /// How many items the current part has.
    sent: usize,
    // INVARIANT: the later parts, the last one first.
    later: Vec<Vec<T>>,
    /// Whether the batch was split: only a whole batch is retried.
    is_split: bool,
    failures: u32,
    outcome: Outcome<R, E>,
}

/// What comes next for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A call for the same items, after this pause.
    Retry(Duration),
    /// A call for the first half of what failed.
    Split,
    /// A call for the next part.
    Part,
    /// Nothing: the batch is over. See [`Effort::into_outcome`].
    Over,
}

/// Clones items. If one of the clones panics, those made before are dropped one by one.
pub(crate) fn copies<T: Clone>(items: &[T]) -> Vec<T> {
    let mut copies = DropEach::new(Vec::with_capacity(items.len()));
    copies.extend(items.iter().cloned());
    copies.into_inner()
}

impl<T> Recovery<T> {
    /// Adds to the budget for retries what a new batch earns.
    pub(crate) fn begin(&self) {
        if let Some(retries) = &self.retries {
            retries.begin();
        }
    }

    /// Returns whether after the next call another one may follow for items of the current part.
    fn may_need<R, E>(&self, effort: &Effort<T, R, E>) -> bool {
        let attempts = self.retries.as_ref().map_or(1, |retries| retries.backoff().attempts());
        let has_retries = effort.failures < attempts - 1;
        (has_retries && !effort.is_split) || self.can_split(effort.sent)
    }

    fn can_split(&self, sent: usize) -> bool {
        self.on_error == OnError::Bisect && sent > 1
    }
}

impl<T, R, E> Effort<T, R, E> {
    pub(crate) fn new(items: Vec<T>) -> Self {
        let sent = items.len();
        Self {
            items,
            sent,
            later: Vec::new(),
            is_split: false,
            failures: 0,
            outcome: Outcome::new(),
        }
    }

    /// Returns how many items the next call is for.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// Returns the items for the next call: clones if another call for them may follow, else the
    /// items themselves.
    pub(crate) fn items(&mut self, recovery: &Recovery<T>) -> Vec<T> {
        if recovery.may_need(self) {
            (recovery.copy)(&self.items)
        } else {
            mem::take(&mut self.items)
        }
    }

    /// Records the result of a call, and returns what comes next. `may_retry` is true if the
    /// handler returned an error that is transient, and the batcher is not closed.
    pub(crate) fn on_result(
        &mut self,
        result: Result<Vec<R>, BatchError<E>>,
        may_retry: bool,
        recovery: &mut Recovery<T>,
    ) -> Next {
        if result.is_err() {
            if let Some(again) = self.again(may_retry, recovery) {
                // No caller gets this error. Its destructor is foreign.
                shielded(|| drop(result));
                return again;
            }
        }
        self.outcome.add(self.sent, result);
        match self.later.pop() {
            Some(items) => {
                self.sent = items.len();
                self.items = items;
                Next::Part
            }
            None => Next::Over,
        }
    }

    /// Returns what comes next for items that have failed; `None` if no call for them follows.
    fn again(&mut self, may_retry: bool, recovery: &mut Recovery<T>) -> Option<Next> {
        if may_retry && !self.is_split {
            let retries = recovery.retries.as_ref();
            let pause = retries.and_then(|retries| retries.pause(self.failures.saturating_add(1)));
            if let Some(pause) = pause {
                self.failures += 1;
                return Some(Next::Retry(pause));
            }
        }
        if !recovery.can_split(self.sent) {
            return None;
        }
        self.later.push(self.items.split_off(self.sent / 2));
        self.sent /= 2;
        self.is_split = true;
        Some(Next::Split)
    }

    pub(crate) fn into_outcome(mut self) -> Outcome<R, E> {
        mem::replace(&mut self.outcome, Outcome::new())
    }
}

impl<T, R, E> Drop for Effort<T, R, E> {
    /// Drops the items one by one: they are foreign.
    fn drop(&mut self) {
        drop_each(mem::take(&mut self.items));
        drop_each(mem::take(&mut self.later).into_iter().flatten());
    }
}
