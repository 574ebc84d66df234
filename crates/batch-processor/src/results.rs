//! The results of a batch, shared by all callers that submitted an item of it.

use core::{
    fmt,
    future::Future,
    panic::{RefUnwindSafe, UnwindSafe},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use alloc::collections::VecDeque;

use tidegate_core::{
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    unwind::in_drop,
    wake_list,
};

use crate::{error::BatchError, outcome::Outcome, steps};

/// Value of `settled`: every item of the batch has its result or its error.
const SETTLED: usize = usize::MAX;

/// The results of one batch, and the wakers of the callers that wait for them.
///
/// Each result belongs to one waiter from the start. Result and waker are found by the index of the
/// item, so no waiter is woken for the result of another. A caller that comes after the results
/// leaves no waker.
pub(crate) struct Results<R, E> {
    /// | value | meaning |
    /// | --- | --- |
    /// | [`SETTLED`] | every item is settled, for ever; `outcome` is there |
    /// | n | the items with an index below n were dropped; the others are pending |
    ///
    /// It only grows, and is written under the lock of `wakers`.
    settled: AtomicUsize,
    outcome: Lock<Outcome<R, E>>,
    wakers: Lock<Wakers>,
}

/// The wakers of the waiters, by the indices of their items.
#[derive(Default)]
struct Wakers {
    // INVARIANT: every item with an index below this is settled.
    first: usize,
    // INVARIANT: one entry for each item from `first` on, up to the last that has had a waiter.
    of: VecDeque<Option<Waker>>,
}

impl Wakers {
    fn get(&mut self, index: usize) -> Option<&mut Option<Waker>> {
        self.of.get_mut(index.checked_sub(self.first)?)
    }

    /// Returns the slot for the waker of an item that is not settled.
    fn place(&mut self, index: usize) -> &mut Option<Waker> {
        let place = index - self.first;
        if self.of.len() <= place {
            self.of.resize_with(place + 1, || None);
        }
        &mut self.of[place]
    }

    /// Takes out the wakers of all items with an index below `index`.
    fn take_below(&mut self, index: usize) -> VecDeque<Option<Waker>> {
        let dropped = (index - self.first).min(self.of.len());
        self.first = index;
        self.of.drain(..dropped).inspect(|_| steps::step()).collect()
    }
}

impl<R, E> Results<R, E> {
    /// Returns the results of a batch of one item that has failed with `error`.
    pub(crate) fn of_failure(error: BatchError<E>) -> Self {
        Self {
            settled: AtomicUsize::new(SETTLED),
            outcome: Lock::new(Outcome::failed(1, error)),
            wakers: Lock::default(),
        }
    }

    /// Stores the outcome and wakes all waiters. Called once, by the driver or its drop, after the
    /// batch has left the gatherer.
    pub(crate) fn settle(&self, outcome: Outcome<R, E>) {
        let _unset = self.outcome.with(|place| core::mem::replace(place, outcome));
        self.settle_below(SETTLED);
    }

    /// Settles the items with an index below `index`, which were dropped, and wakes their waiters.
    /// Looks at no other waiters.
    pub(crate) fn drop_below(&self, index: usize) {
        self.settle_below(index);
    }

    fn settle_below(&self, index: usize) {
        let woken = self.wakers.with(|wakers| {
            // ORDERING: Relaxed: it is written only under this lock; for the outcome see
            // `is_settled`.
            if self.settled.load(Ordering::Relaxed) >= index {
                return VecDeque::new();
            }
            self.settled.store(index, Ordering::Relaxed);
            wakers.take_below(index)
        });
        // Wakes the others even if a waker panics.
        wake_list::each(woken.into_iter().flatten(), Waker::wake);
    }

    /// Returns the result or the error of an item that [`is_settled`](Self::is_settled). Called
    /// once for an item, by its owner.
    fn take(&self, index: usize) -> Result<R, BatchError<E>> {
        // The outcome has nothing for a dropped item, and may not be there yet.
        self.outcome.with(|outcome| outcome.take(index)).unwrap_or(Err(BatchError::Dropped))
    }

    #[inline]
    fn is_settled(&self, index: usize) -> bool {
        // ORDERING: Relaxed: a caller that finds its item settled locks the outcome next, and
        // `settle` has unlocked it by then. If the caller locked it first, `settle` would lock it,
        // and then store, only after this load, which could not have seen that store.
        index < self.settled.load(Ordering::Relaxed)
    }

    /// Leaves a waker for an item; returns `Ready` if the item is settled.
    fn wait(&self, index: usize, waker: &Waker) -> Poll<()> {
        let is_known = self.wakers.with(|wakers| {
            let known = wakers.get(index).and_then(|known| known.as_ref());
            known.is_some_and(|known| known.will_wake(waker))
        });
        if is_known {
            return Poll::Pending;
        }
        // Calling, cloning or dropping a waker is foreign code, so it runs with no lock held.
        let mut unused = Some(waker.clone());
        self.wakers.with(|wakers| {
            if self.is_settled(index) {
                return Poll::Ready(());
            }
            core::mem::swap(wakers.place(index), &mut unused);
            Poll::Pending
        })
    }

    /// Removes the waker of an item for which its caller no longer waits.
    fn leave(&self, index: usize) {
        let waker = self.wakers.with(|wakers| wakers.get(index).and_then(Option::take));
        in_drop(|| drop(waker));
    }
}

impl<R, E> Default for Results<R, E> {
    fn default() -> Self {
        Self {
            settled: AtomicUsize::new(0),
            outcome: Lock::new(Outcome::new()),
            wakers: Lock::default(),
        }
    }
}

/// Future of the result of one accepted item.
///
/// Made by [`Batcher::try_submit`](crate::Batcher::try_submit) and
/// [`Batcher::enqueue`](crate::Batcher::enqueue). It borrows nothing, so it can be stored and sent
/// to another task.
///
/// # Cancel safety
///
/// Dropping the reply gives up the result only: the item is processed as if its caller still
/// waited.
///
/// # Errors
///
/// [`BatchError`]; all callers of a batch that failed as a whole get the same one.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, Wait};
///
/// let (batcher, driver) = Batcher::builder()
///     .max_items(2)
///     .build_on_thread(|words: Vec<&str>| Ok::<_, ()>(words.iter().map(|w| w.len()).collect()))?;
/// // Both are in before the first wait, so they share a batch.
/// let (one, two) = (batcher.try_submit("one").unwrap(), batcher.try_submit("three").unwrap());
/// assert_eq!((two.wait().unwrap(), one.wait().unwrap()), (5, 3));
/// # drop(batcher);
/// # driver.join();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Reply<R, E> {
    // `None` once it has resolved.
    results: Option<Arc<Results<R, E>>>,
    index: usize,
    /// Whether its waker is in `results`.
    waits: bool,
}

impl<R, E> Reply<R, E> {
    pub(crate) fn new(results: Arc<Results<R, E>>, index: usize) -> Self {
        Self { results: Some(results), index, waits: false }
    }
}

impl<R, E> Future for Reply<R, E> {
    type Output = Result<R, BatchError<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let index = self.index;
        let results = self.results.as_ref().expect("polled after it was ready");
        if !results.is_settled(index) && results.wait(index, cx.waker()).is_pending() {
            self.waits = true;
            return Poll::Pending;
        }
        self.waits = false;
        let results = self.results.take().expect("it is there");
        Poll::Ready(results.take(index))
    }
}

// What a reply shares with its batch is behind locks.
impl<R, E> UnwindSafe for Reply<R, E> {}
impl<R, E> RefUnwindSafe for Reply<R, E> {}

impl<R, E> Drop for Reply<R, E> {
    fn drop(&mut self) {
        if let Some(results) = self.results.as_ref().filter(|_| self.waits) {
            results.leave(self.index);
        }
    }
}

impl<R, E> fmt::Debug for Reply<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_settled = self.results.as_ref().is_none_or(|results| results.is_settled(self.index));
        f.debug_struct("Reply").field("is_settled", &is_settled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Counts the waiters that are looked at while the items of a batch are dropped one by one, the
    /// oldest first.
    fn steps_of_drops(items: usize) -> usize {
        let results = Arc::new(Results::<(), ()>::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut replies: Vec<_> = (0..items).map(|n| Reply::new(results.clone(), n)).collect();
        // The youngest waits first.
        for reply in replies.iter_mut().rev() {
            assert!(Pin::new(reply).poll(&mut cx).is_pending());
        }
        steps::steps_of(|| {
            for (dropped, reply) in replies.iter_mut().enumerate() {
                assert!(Pin::new(&mut *reply).poll(&mut cx).is_pending());
                results.drop_below(dropped + 1);
                let polled = Pin::new(reply).poll(&mut cx);
                assert!(matches!(polled, Poll::Ready(Err(BatchError::Dropped))));
            }
        })
    }

    #[test]
    fn dropping_the_oldest_item_wakes_its_waiter_and_nobody_else() {
        assert_eq!((steps_of_drops(100), steps_of_drops(1600)), (100, 1600));
    }
}
