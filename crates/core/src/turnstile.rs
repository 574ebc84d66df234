//! One at a time, in order of arrival.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::{
    error::Closed,
    primitive::atomic::{AtomicU8, Ordering},
    wait_list::{Line, Supply, Turn, WaitList},
};

/// A caller is inside.
const TAKEN: u8 = 1;
/// There are waiters. Set and cleared under the list's lock only.
const WAITERS: u8 = 2;
/// No caller gets in any more.
const CLOSED: u8 = 4;

/// Lets one caller in at a time, first come, first served: a fair mutex without data.
///
/// It guards *turns*, not values: for example, which caller waits for time at the head of a wait
/// queue, or which one leads a batch. For values use a mutex; for more than one at a time use a
/// semaphore.
///
/// # Fairness
///
/// Callers enter strictly in the order of their first polls. [`try_enter`](Self::try_enter) refuses
/// while there are waiters.
///
/// # Examples
///
/// ```
/// use tidegate_core::{Turnstile, Wait};
///
/// static DOOR: Turnstile = Turnstile::new();
///
/// let inside = DOOR.enter().wait()?;
/// assert!(DOOR.try_enter().is_none());
/// drop(inside);
/// assert!(DOOR.try_enter().is_some());
/// # Ok::<(), tidegate_core::Closed>(())
/// ```
pub struct Turnstile {
    /// | bits | meaning | changed by |
    /// | --- | --- | --- |
    /// | `TAKEN` | a caller is inside, or was granted its turn and has not collected it | the caller that enters, by CAS; `serve`, for the head; a leaver, under the list's lock if another bit is set |
    /// | `WAITERS` | the wait queue is not empty | only under the list's lock |
    /// | `CLOSED` | final | `close` |
    word: AtomicU8,
    line: WaitList<()>,
}

impl Turnstile {
    crate::const_fn! {
        /// Creates an open, empty turnstile. Does not allocate.
        pub fn new() -> Self {
            Self { word: AtomicU8::new(0), line: WaitList::new() }
        }
    }

    /// Enters if no caller is inside, none waits and the turnstile is open; else returns `None`.
    #[inline]
    pub fn try_enter(&self) -> Option<Inside<'_>> {
        // ORDERING: Acquire: pairs with the Release in `Inside::drop`: what the last caller did
        // inside is seen. Relaxed on failure: nothing is concluded from the word but "not now".
        let taken = self.word.compare_exchange(0, TAKEN, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| Inside { turnstile: self })
    }

    /// Waits for the caller's turn to enter.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in the wait queue; if its turn was granted already,
    /// the turn goes to the next waiter.
    ///
    /// # Errors
    ///
    /// [`Closed`] once [`close`](Self::close) was called, unless the turn was granted before.
    pub fn enter(&self) -> Enter<'_> {
        Enter { turn: Some(Turn::new(self, ())) }
    }

    /// Rejects all waiters and refuses all newcomers, for ever. A caller inside stays until it
    /// leaves.
    pub fn close(&self) {
        self.line.with(|line| {
            // ORDERING: Release: what happened before the close is seen by callers that find it
            // closed (`is_closed`).
            self.word.fetch_or(CLOSED, Ordering::Release);
            line.dismiss_all();
            self.forget_waiters();
        });
    }

    /// Returns whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `close`.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Returns the number of waiters. A snapshot.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    fn forget_waiters(&self) {
        // ORDERING: Relaxed: under the list's lock, which orders all that read the bit and then act
        // on the wait queue.
        self.word.fetch_and(!WAITERS, Ordering::Relaxed);
    }

    #[cold]
    fn hand_over(&self) {
        self.line.with(|line| {
            // ORDERING: Release: as in the fast path of `Inside::drop`; the RMW also keeps the
            // release sequence unbroken.
            self.word.fetch_and(!TAKEN, Ordering::Release);
            self.serve(line);
        });
    }
}

impl Default for Turnstile {
    fn default() -> Self {
        Self::new()
    }
}

impl Supply for Turnstile {
    type Need = ();
    type Refusal = Closed;

    fn wait_list(&self) -> &WaitList<()> {
        &self.line
    }

    fn ask(&self, (): (), line: &mut Line<'_, ()>) -> Poll<Result<(), Closed>> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (new, answer) = match word {
                // The list's lock orders this with `close`.
                _ if word & CLOSED != 0 => return Poll::Ready(Err(Closed)),
                _ if word & TAKEN == 0 && line.is_empty() => (word | TAKEN, Poll::Ready(Ok(()))),
                _ => (word | WAITERS, Poll::Pending),
            };
            // ORDERING: Acquire on success: pairs with the Release of the last caller inside. The
            // check and setting WAITERS are one step on the word that leavers write, so either this
            // check sees that a caller has left, or that caller sees WAITERS.
            match self.word.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return answer,
                Err(found) => word = found,
            }
        }
    }

    fn serve(&self, line: &mut Line<'_, ()>) {
        if line.is_empty() {
            self.forget_waiters();
            return;
        }
        // ORDERING: Relaxed: while there are waiters, the turn is given back under the list's lock
        // only (`hand_over`), and the head is notified under the same lock.
        let before = self.word.fetch_or(TAKEN, Ordering::Relaxed);
        if before & TAKEN == 0 {
            line.grant_head(());
            if line.is_empty() {
                self.forget_waiters();
            }
        }
    }

    fn give_back(&self, (): ()) {
        drop(Inside { turnstile: self });
    }

    fn dismissal(&self) -> Closed {
        Closed
    }
}

impl fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ORDERING: Relaxed: a snapshot.
        let word = self.word.load(Ordering::Relaxed);
        f.debug_struct("Turnstile")
            .field("is_taken", &(word & TAKEN != 0))
            .field("is_waited_for", &(word & WAITERS != 0))
            .field("is_closed", &(word & CLOSED != 0))
            .finish()
    }
}

/// Future of [`Turnstile::enter`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Enter<'a> {
    // `None` once it has resolved.
    turn: Option<Turn<&'a Turnstile>>,
}

impl<'a> Future for Enter<'a> {
    type Output = Result<Inside<'a>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let turn = self.turn.as_mut().expect("polled after it was ready");
        let turnstile = *turn.supply();
        let fast = if turn.is_waiting() { None } else { turnstile.try_enter() };
        let entered = match fast {
            Some(inside) => Ok(inside),
            None => ready!(Pin::new(turn).poll(cx)).map(|()| Inside { turnstile }),
        };
        self.turn = None;
        Poll::Ready(entered)
    }
}

/// The one turn of a [`Turnstile`]; dropping it lets the next caller in.
#[must_use = "dropping it leaves at once"]
pub struct Inside<'a> {
    turnstile: &'a Turnstile,
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        let word = &self.turnstile.word;
        // ORDERING: Release: what was done inside is seen by the next caller (Acquire in
        // `try_enter` and `ask`). Relaxed on failure: the slow path checks again under the lock.
        if word.compare_exchange(TAKEN, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.turnstile.hand_over();
        }
    }
}

impl fmt::Debug for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").finish_non_exhaustive()
    }
}
