//! What came of a batch, shared by everybody who submitted an item of it.

use core::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tidegate_core::{
    WaitList,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    wait_list::{Line, Supply, Turn},
};

use crate::{error::BatchError, outcome::Outcome};

/// Every item of the batch has its result or its error.
const SETTLED: usize = usize::MAX;

/// The results of one batch, and the line of those who wait for them.
///
/// A result is a grant, not a condition: it belongs to one waiter from the start. So waiters stand in a
/// [`WaitList`], which takes one allocation for all of them. Who comes when the results are there does not enter it.
pub(crate) struct Answers<R, E> {
    /// | value | meaning |
    /// | --- | --- |
    /// | [`SETTLED`] | for ever; `outcome` is there |
    /// | n | pending, but for the items with an index below n, which were dropped |
    ///
    /// Grows only, and is written under the line's lock.
    settled: AtomicUsize,
    outcome: Lock<Outcome<R, E>>,
    line: WaitList<usize>,
}

impl<R, E> Answers<R, E> {
    /// Returns answers to one item, which has none but this.
    pub(crate) fn of_failure(error: BatchError<E>) -> Self {
        Self {
            settled: AtomicUsize::new(SETTLED),
            outcome: Lock::new(Outcome::failed(1, error)),
            line: WaitList::new(),
        }
    }

    /// Tells everybody. Called once, by whoever has taken the batch out of the gatherer.
    pub(crate) fn settle(&self, outcome: Outcome<R, E>) {
        let _unset = self.outcome.with(|place| core::mem::replace(place, outcome));
        self.line.with(|line| {
            // ORDERING: Relaxed: see `is_settled`.
            self.settled.store(SETTLED, Ordering::Relaxed);
            self.serve(line);
        });
    }

    /// Tells those whose items have an index below `index` that they were dropped.
    pub(crate) fn drop_below(&self, index: usize) {
        self.line.with(|line| {
            // ORDERING: Relaxed: under the line's lock; the index itself is the message.
            if self.settled.load(Ordering::Relaxed) < index {
                self.settled.store(index, Ordering::Relaxed);
                line.nudge_all();
            }
        });
    }

    /// Returns what came of an item that [`is_settled`](Self::is_settled). Only its owner asks, once.
    fn take(&self, index: usize) -> Result<R, BatchError<E>> {
        // Dropped items have no place in the outcome, which is not there yet, either.
        self.outcome.with(|outcome| outcome.take(index)).unwrap_or(Err(BatchError::Dropped))
    }

    fn is_settled(&self, index: usize) -> bool {
        // ORDERING: Relaxed: who finds it settled locks the outcome next. That comes after the lock under which `settle` has put it
        // there: else the store would come after our unlocking, and this load before it could not see it.
        index < self.settled.load(Ordering::Relaxed)
    }
}

impl<R, E> Default for Answers<R, E> {
    fn default() -> Self {
        Self {
            settled: AtomicUsize::new(0),
            outcome: Lock::new(Outcome::new()),
            line: WaitList::new(),
        }
    }
}

impl<R, E> fmt::Debug for Answers<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// What is asked for, and granted, is an index in the batch.
impl<R, E> Supply for Answers<R, E> {
    type Need = usize;
    type Refusal = Infallible;

    fn wait_list(&self) -> &WaitList<usize> {
        &self.line
    }

    fn ask(&self, index: usize, _line: &mut Line<'_, usize>) -> Poll<Result<usize, Infallible>> {
        // No note is left for `settle`: it always takes the lock.
        if self.is_settled(index) { Poll::Ready(Ok(index)) } else { Poll::Pending }
    }

    fn ask_again(
        &self,
        index: usize,
        _is_first: bool,
        line: &mut Line<'_, usize>,
    ) -> Poll<Result<usize, Infallible>> {
        self.ask(index, line)
    }

    fn serve(&self, line: &mut Line<'_, usize>) {
        // Only all at once: those whose items were dropped are nudged.
        while let Some(&index) = line.head().filter(|_| self.is_settled(SETTLED - 1)) {
            line.grant_head(index);
        }
    }

    /// The result stays where it is, and goes with the batch.
    fn give_back(&self, _index: usize) {}

    fn dismissal(&self) -> Infallible {
        unreachable!("nobody is sent away: a failure is a result")
    }
}

/// The result of one accepted item, to be awaited or waited for.
///
/// Made by [`Batcher::try_submit`](crate::Batcher::try_submit). It borrows nothing, so it can be stored and sent to
/// another task.
///
/// # Cancel safety
///
/// Dropping it gives up the result, not the item, which is processed exactly once either way.
///
/// # Errors
///
/// [`BatchError`], the same for every caller of a batch that failed as a whole.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, Wait};
///
/// let (batcher, driver) = Batcher::builder()
///     .max_items(2)
///     .build_on_thread(|words: Vec<&str>| Ok::<_, ()>(words.iter().map(|w| w.len()).collect()))?;
/// // Both are in before anybody waits, so they share a batch.
/// let (one, two) = (batcher.try_submit("one").unwrap(), batcher.try_submit("three").unwrap());
/// assert_eq!((two.wait().unwrap(), one.wait().unwrap()), (5, 3));
/// # drop(batcher);
/// # driver.join();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Reply<R, E> {
    turn: Turn<Arc<Answers<R, E>>>,
}

impl<R, E> Reply<R, E> {
    pub(crate) fn new(answers: Arc<Answers<R, E>>, index: usize) -> Self {
        Self { turn: Turn::new(answers, index) }
    }
}

impl<R, E> Future for Reply<R, E> {
    type Output = Result<R, BatchError<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let turn = &mut self.turn;
        let index = turn.need();
        if !(turn.is_fresh() && turn.supply().is_settled(index)) {
            let Ok(_) = ready!(Pin::new(&mut *turn).poll(cx));
        }
        Poll::Ready(turn.finish().take(index))
    }
}

impl<R, E> fmt::Debug for Reply<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("index", &self.turn.need()).finish_non_exhaustive()
    }
}
