//! A queue between many producers and many consumers that can be closed.
//!
//! The items lie in `crossbeam-queue`'s lock-free queues, which can neither be closed nor waited
//! for. Two [`Event`]s add the waiting, one word adds the close:
//!
//! ```text
//! push: count += 1 ─▶ closed? take it back, refuse ─▶ into the queue (full? take it back) ─▶ wake a popper
//! pop:  out of the queue ─▶ count −= 1 ─▶ wake a pusher
//!       nothing there ─▶ closed and count = 0? end : wait
//! close: set the bit ─▶ wake all
//! ```
//!
//! An item is counted before it is in the queue and until it is out. So "closed and count 0" means
//! that no item is in the queue *and none is on its way*: nothing can slip in behind the end.
//!
//! This file is the only one that uses `crossbeam-queue`, which needs a target with
//! compare-and-swap.

use core::{
    fmt,
    future::Future,
    iter,
    mem::MaybeUninit,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    error::Closed,
    event::{Condition, Event, WaitUntil},
    primitive::{
        atomic::{AtomicUsize, Ordering},
        by_machine,
    },
    wake_list::each,
};

by_machine! {
    real { use crossbeam_queue::{ArrayQueue, SegQueue}; }
    model {
        mod model;
        use self::model::{ArrayQueue, SegQueue};
    }
}

/// The queue accepts no more items.
const CLOSED: usize = 1;
/// One item in the count.
const ITEM: usize = 2;

/// A bounded or unbounded queue that can be closed, for tasks and threads.
///
/// Items that were pushed before the close can still be popped; then every pop returns [`Closed`].
/// Items leave in the order in which they came in.
///
/// While there is no waiter, a push and a pop each cost two read-modify-writes and a fence if the
/// queue is bounded, and one read-modify-write more if it is not.
///
/// # Fairness
///
/// Waiters are woken in order, but a newcomer may take the item, or the room, before the woken
/// waiter does.
///
/// # Panics
///
/// If a waker panics, so does the call that woke it. All other waiters are woken all the same, but
/// an item that this call has popped is dropped in the panic.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::{Queue, Wait};
///
/// let queue = Queue::bounded(NonZeroUsize::MIN);
/// std::thread::scope(|s| {
///     s.spawn(|| {
///         for n in 0..3 {
///             queue.push(n).wait().unwrap();
///         }
///         queue.close();
///     });
///     let mut sum = 0;
///     while let Ok(n) = queue.pop().wait() {
///         sum += n;
///     }
///     assert_eq!(sum, 3);
/// });
/// ```
pub struct Queue<T> {
    items: Items<T>,
    /// | bits | meaning | changed by |
    /// | --- | --- | --- |
    /// | 0 | `CLOSED`, final | `close` |
    /// | 1.. | items in the queue, on their way in, or about to be refused | `try_push`, `try_pop` |
    word: AtomicUsize,
    not_empty: Event,
    not_full: Event,
}

enum Items<T> {
    Bounded(ArrayQueue<T>),
    Unbounded(SegQueue<T>),
}

impl<T> Queue<T> {
    /// The largest capacity of a bounded queue: as many items as an allocation can have, each with
    /// a word beside it.
    pub const MAX_CAPACITY: usize =
        isize::MAX as usize / size_of::<(AtomicUsize, MaybeUninit<T>)>();

    /// Creates an open queue with room for `capacity` items, allocated at once.
    ///
    /// # Panics
    ///
    /// Panics if the capacity is above [`MAX_CAPACITY`](Self::MAX_CAPACITY).
    #[track_caller]
    pub fn bounded(capacity: NonZeroUsize) -> Self {
        let most = Self::MAX_CAPACITY;
        assert!(
            capacity.get() <= most,
            "a queue's capacity of {capacity} is outside of 1..={most}"
        );
        Self::over(Items::Bounded(ArrayQueue::new(capacity.get())))
    }

    /// Creates an open queue that grows as needed. A push to it never waits.
    pub fn unbounded() -> Self {
        Self::over(Items::Unbounded(SegQueue::new()))
    }

    fn over(items: Items<T>) -> Self {
        Self { items, word: AtomicUsize::new(0), not_empty: Event::new(), not_full: Event::new() }
    }

    /// Adds an item if there is room now.
    ///
    /// # Errors
    ///
    /// [`TryPushError`] gives the item back if the queue is full or closed.
    #[inline]
    pub fn try_push(&self, item: T) -> Result<(), TryPushError<T>> {
        // ORDERING: Relaxed: a pusher that finds the bit takes its count back, with an Acquire (in
        // `uncount`) that pairs with the Release in `close`. It does not matter whether another
        // thread sees the count or the item first. It does matter that the bit and the count are
        // one word: a popper that reads "closed, 0" comes after every push that was counted, and
        // every later push finds the bit.
        if self.word.fetch_add(ITEM, Ordering::Relaxed) & CLOSED != 0 {
            self.uncount();
            return Err(TryPushError::Closed(item));
        }
        let pushed = match &self.items {
            Items::Bounded(items) => items.push(item),
            Items::Unbounded(items) => {
                items.push(item);
                Ok(())
            }
        };
        match pushed {
            Ok(()) => {
                self.not_empty.notify(1);
                Ok(())
            }
            Err(item) => {
                self.uncount();
                Err(TryPushError::Full(item))
            }
        }
    }

    /// Removes the oldest item if there is one.
    ///
    /// # Errors
    ///
    /// [`TryPopError::Empty`] if there is none now, [`TryPopError::Closed`] if there will never be
    /// one.
    #[inline]
    pub fn try_pop(&self) -> Result<T, TryPopError> {
        if let Some(item) = self.take() {
            return Ok(item);
        }
        // ORDERING: Acquire: pairs with the Release in `close`. An item on its way in is counted,
        // and its push will notify. An item that came in after the first `take` is counted, too,
        // and the second `take` looks for it.
        match self.word.load(Ordering::Acquire) {
            CLOSED => Err(TryPopError::Closed),
            _ => self.take().ok_or(TryPopError::Empty),
        }
    }

    /// Waits for room and adds an item.
    ///
    /// # Cancel safety
    ///
    /// The item is added when the future resolves, and not at all if the future is dropped before:
    /// then the item is dropped with it, unless [`Push::into_inner`] saves it.
    ///
    /// # Errors
    ///
    /// [`PushError`] gives the item back once the queue is closed.
    pub fn push(&self, item: T) -> Push<'_, T> {
        Push { waiting: self.not_full.wait_until(Pushing { queue: self, item: Some(item) }) }
    }

    /// Waits for an item and removes it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is removed unless the future resolves.
    ///
    /// # Errors
    ///
    /// [`Closed`] once the queue is closed and empty.
    pub fn pop(&self) -> Pop<'_, T> {
        Pop { waiting: self.not_empty.wait_until(Popping { queue: self }) }
    }

    /// Refuses every push from now on and wakes all waiters. Pops go on until the queue is empty.
    ///
    /// Returns false if the queue was closed already.
    pub fn close(&self) -> bool {
        // ORDERING: Release: what happened before the close is seen by a caller that finds the
        // queue closed.
        let before = self.word.fetch_or(CLOSED, Ordering::Release);
        each([&self.not_empty, &self.not_full].into_iter(), Event::notify_all);
        before & CLOSED == 0
    }

    /// Returns whether [`close`](Self::close) was called. Items may still be left.
    pub fn is_closed(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `close`.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Returns the number of items. A snapshot, which includes items on their way in or about to be
    /// refused.
    pub fn len(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        self.word.load(Ordering::Relaxed) / ITEM
    }

    /// Returns whether there are no items. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the largest number of items, `None` for an unbounded queue.
    pub fn capacity(&self) -> Option<usize> {
        match &self.items {
            Items::Bounded(items) => Some(items.capacity()),
            Items::Unbounded(_) => None,
        }
    }

    fn take(&self) -> Option<T> {
        let item = self.items.pop()?;
        self.uncount();
        if matches!(self.items, Items::Bounded(_)) {
            self.not_full.notify(1);
        }
        Some(item)
    }

    /// Takes an item out of the count; the last one of a closed queue ends every wait.
    #[inline]
    fn uncount(&self) {
        // ORDERING: Acquire: a caller that finds the bit here has found the queue closed. As a
        // read-modify-write, this also hands on what the close has released.
        if self.word.fetch_sub(ITEM, Ordering::Acquire) == ITEM | CLOSED {
            self.not_empty.notify_all();
        }
    }
}

impl<T> Items<T> {
    #[inline]
    fn pop(&self) -> Option<T> {
        match self {
            Self::Bounded(items) => items.pop(),
            Self::Unbounded(items) => items.pop(),
        }
    }
}

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        // An item whose destructor panics does not keep the others from being dropped.
        each(iter::from_fn(|| self.pop()), drop);
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

struct Pushing<'a, T> {
    queue: &'a Queue<T>,
    // `None` once the item is in the queue, given back, or taken out.
    item: Option<T>,
}

impl<T> Condition for Pushing<'_, T> {
    type Output = Result<(), PushError<T>>;

    #[inline]
    fn check(&mut self) -> Option<Self::Output> {
        match self.queue.try_push(self.item.take().expect("polled after it was ready")) {
            Ok(()) => Some(Ok(())),
            Err(TryPushError::Closed(item)) => Some(Err(PushError(item))),
            Err(TryPushError::Full(item)) => {
                self.item = Some(item);
                None
            }
        }
    }
}

struct Popping<'a, T> {
    queue: &'a Queue<T>,
}

impl<T> Condition for Popping<'_, T> {
    type Output = Result<T, Closed>;

    #[inline]
    fn check(&mut self) -> Option<Self::Output> {
        match self.queue.try_pop() {
            Ok(item) => Some(Ok(item)),
            Err(TryPopError::Closed) => Some(Err(Closed)),
            Err(TryPopError::Empty) => None,
        }
    }
}

/// Future of [`Queue::push`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Push<'a, T> {
    waiting: WaitUntil<'a, Pushing<'a, T>>,
}

impl<T> Push<'_, T> {
    /// Withdraws the push and returns its item, `None` if it was added or given back already.
    pub fn into_inner(mut self) -> Option<T> {
        self.waiting.condition_mut().item.take()
    }
}

impl<T> Future for Push<'_, T> {
    type Output = Result<(), PushError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.waiting).poll(cx)
    }
}

impl<T> fmt::Debug for Push<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").finish_non_exhaustive()
    }
}

/// Future of [`Queue::pop`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Pop<'a, T> {
    waiting: WaitUntil<'a, Popping<'a, T>>,
}

impl<T> Future for Pop<'_, T> {
    type Output = Result<T, Closed>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.waiting).poll(cx)
    }
}

impl<T> fmt::Debug for Pop<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pop").finish_non_exhaustive()
    }
}

/// The queue is closed; the error gives the item back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PushError<T>(T);

impl<T> PushError<T> {
    /// Returns the item that was not added.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushError(..)")
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("queue closed")
    }
}

impl<T> core::error::Error for PushError<T> {}

/// The item was not added; the error gives it back.
///
/// Exhaustive on purpose, as `std::sync::mpsc::TrySendError` is: not now, or never.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPushError<T> {
    /// There is no room now.
    Full(T),
    /// There will never be room.
    Closed(T),
}

impl<T> TryPushError<T> {
    /// Returns the item that was not added.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }

    /// Returns whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Returns whether the queue is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<T> fmt::Debug for TryPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> fmt::Display for TryPushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "queue full" } else { "queue closed" })
    }
}

impl<T> core::error::Error for TryPushError<T> {}

/// There was nothing to pop.
///
/// Exhaustive on purpose, as `std::sync::mpsc::TryRecvError` is: not now, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryPopError {
    /// There is no item now.
    Empty,
    /// There will never be an item.
    Closed,
}

impl fmt::Display for TryPopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "queue empty",
            Self::Closed => "queue closed",
        })
    }
}

impl core::error::Error for TryPopError {}
