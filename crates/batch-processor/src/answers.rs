//! What came of a batch, shared by everybody who submitted an item of it.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::vec::Vec;

use tidegate_core::{
    WaitList,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    wait_list::{Line, Supply, Turn},
};

use crate::error::BatchError;

/// The batch is not done.
const PENDING: u8 = 0;
/// Every item has its result.
const SETTLED: u8 = 1;
/// The batch failed as a whole.
const FAILED: u8 = 2;

/// The results of one batch, and the line of those who wait for them.
///
/// A result is a grant, not a condition: it belongs to one waiter from the start. So waiters stand in a
/// [`WaitList`], which takes one allocation for all of them.
pub(crate) struct Answers<R, E> {
    /// `PENDING`, then for ever `SETTLED` or `FAILED`. Written under the line's lock, after `outcome`.
    state: AtomicU8,
    outcome: Lock<Outcome<R, E>>,
    line: WaitList<()>,
}

enum Outcome<R, E> {
    Pending,
    /// By index in the batch; `None` once its owner has taken it.
    Settled(Vec<Option<R>>),
    Failed(BatchError<E>),
}

impl<R, E> Answers<R, E> {
    /// Tells everybody. Called once, by whoever has taken the batch out of the gatherer.
    pub(crate) fn settle(&self, result: Result<Vec<R>, BatchError<E>>) {
        let (state, outcome) = match result {
            Ok(results) => (SETTLED, Outcome::Settled(results.into_iter().map(Some).collect())),
            Err(error) => (FAILED, Outcome::Failed(error)),
        };
        self.outcome.with(|place| *place = outcome);
        self.line.with(|line| {
            // ORDERING: Relaxed: read under the line's lock only.
            self.state.store(state, Ordering::Relaxed);
            self.serve(line);
        });
    }

    fn take(&self, index: usize) -> Option<R> {
        self.outcome.with(|outcome| match outcome {
            Outcome::Settled(results) => results.get_mut(index)?.take(),
            _ => None,
        })
    }

    fn state(&self) -> u8 {
        // ORDERING: Relaxed: written under the line's lock, which the caller holds.
        self.state.load(Ordering::Relaxed)
    }
}

impl<R, E> Default for Answers<R, E> {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(PENDING),
            outcome: Lock::new(Outcome::Pending),
            line: WaitList::new(),
        }
    }
}

impl<R, E> fmt::Debug for Answers<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl<R, E> Supply for Answers<R, E> {
    type Need = ();
    type Refusal = BatchError<E>;

    fn wait_list(&self) -> &WaitList<()> {
        &self.line
    }

    fn ask(&self, (): (), _line: &mut Line<'_, ()>) -> Poll<Result<(), BatchError<E>>> {
        // No note is left for `settle`: it always takes the lock.
        match self.state() {
            PENDING => Poll::Pending,
            SETTLED => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(self.dismissal())),
        }
    }

    fn serve(&self, line: &mut Line<'_, ()>) {
        match self.state() {
            PENDING => {}
            SETTLED => {
                while !line.is_empty() {
                    line.grant_head(());
                }
            }
            _ => line.dismiss_all(),
        }
    }

    /// The result stays where it is, and goes with the batch.
    fn give_back(&self, (): ()) {}

    fn dismissal(&self) -> BatchError<E> {
        self.outcome.with(|outcome| match outcome {
            Outcome::Failed(error) => error.clone(),
            _ => unreachable!("waiters are sent away only if the batch failed"),
        })
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
/// [`BatchError`], the same for every caller of the batch.
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
    index: usize,
}

impl<R, E> Reply<R, E> {
    pub(crate) fn new(answers: Arc<Answers<R, E>>, index: usize) -> Self {
        Self { turn: Turn::new(answers, ()), index }
    }
}

impl<R, E> Future for Reply<R, E> {
    type Output = Result<R, BatchError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.turn).poll(cx).map_ok(|()| {
            let result = self.turn.supply().take(self.index);
            result.expect("a granted turn finds its result, which nobody else takes")
        })
    }
}

impl<R, E> fmt::Debug for Reply<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("index", &self.index).finish_non_exhaustive()
    }
}
