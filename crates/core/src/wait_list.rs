//! Grants: "my turn for n?".
//!
//! A [`WaitList`] is a queue of tickets: first in, first out, unless its supply says otherwise. The
//! releaser decides, under the list's lock, whose ticket is granted; a granted waiter has what it
//! asked for before it runs again, so it cannot be overtaken.
//!
//! The list does not know *what* it hands out. Its [`Supply`] does: usually one atomic word that
//! says how much is free and whether there are waiters. [`Turn`] is the future that connects the
//! two:
//!
//! ```text
//! Turn::poll, first     lock ─▶ supply.ask: granted? refused? else note "waiters" ─▶ ticket at its place
//! giving back           word: no waiters ─▶ done.   waiters ─▶ lock ─▶ supply.serve ─▶ unlock ─▶ wake
//! Turn::poll, again     lock ─▶ granted? take the ticket out. nudged? supply.ask_again. keep the newest waker
//! Turn::drop            lock ─▶ ticket out; it was granted: pass it on. it was the head: the next may fit
//! ```
//!
//! `ask` runs under the same lock as `serve`, and notes "waiters" in the very word that releasers
//! write to. So if a release comes before `ask`, `ask` finds what was released; if it comes after
//! `ask`, the releaser sees the note and takes the lock.
//!
//! A supply that lets newcomers overtake does not grant at once: it *nudges* tickets, which ask
//! again when they are polled and keep their places if they come too late. The list keeps the sum
//! of what is promised to nudged tickets. It also keeps the tickets that sleep in an order of their
//! own, so that it finds the next one to nudge without a search.
//!
//! A grant belongs to its ticket at once, even if the ticket's future is not polled for a long
//! time. A promise does not: if a nudge is not answered, the supply [forgets](Line::forget_promise)
//! its promise, and nudges the next ticket.
//!
//! Tickets live in an index arena: slots are reused, no memory is freed while tickets wait, and
//! there are no pointers.

mod line;
mod nudges;

use core::{
    fmt,
    future::Future,
    mem,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, Waker},
};

pub use self::line::Line;
use self::{
    line::{Collected, Left, Tickets},
    nudges::Index,
};
use crate::{
    lock::Lock,
    unwind::{self, Foreign},
    wake_list::WakeList,
};

/// A wait queue, in which each waiter asks for an `N` (an amount, a key, nothing at all).
///
/// Allocates for the first waiter, and when more tickets wait at once than its memory has room for.
/// The memory has room for the longest queue so far; if it has grown beyond 64 tickets, it is freed
/// when no waiter is left.
pub struct WaitList<N> {
    tickets: Lock<Tickets<N>>,
}

impl<N: Copy> WaitList<N> {
    crate::const_fn! {
        /// Creates an empty wait queue. Does not allocate.
        pub fn new() -> Self {
            Self { tickets: Lock::new(Tickets::new()) }
        }
    }

    /// Runs `section` on the wait queue with the lock held; then opens the lock and wakes the
    /// waiters that the section granted, dismissed or nudged.
    #[inline]
    pub fn with<R>(&self, section: impl FnOnce(&mut Line<'_, N>) -> R) -> R {
        let (result, woken) = self.lock(section);
        wake(woken);
        result
    }

    /// Does what [`with`](Self::with) does, but returns the wakers: the caller calls them once no
    /// panic can lose a grant of the section any more.
    #[inline]
    fn lock<R>(&self, section: impl FnOnce(&mut Line<'_, N>) -> R) -> (R, Woken) {
        self.tickets.with(|tickets| {
            let result = section(&mut Line { tickets });
            (result, tickets.take_woken())
        })
    }

    /// Returns the number of waiters. A snapshot.
    pub fn len(&self) -> usize {
        self.tickets.with(|tickets| tickets.len())
    }

    /// Returns whether there are no waiters. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The wakers to call once the lock is open.
type Woken = Option<(Waker, Option<WakeList>)>;

/// Wakes the waiters that a section has granted, dismissed or nudged. Runs foreign code.
#[inline]
fn wake(woken: Woken) {
    if let Some((first, _rest)) = woken {
        // The rest is woken when it is dropped, also if the first waker panics. `in_drop`, because
        // the caller may be a destructor that runs in a panic.
        unwind::in_drop(|| first.wake());
    }
}

impl<N: Copy> Default for WaitList<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N> fmt::Debug for WaitList<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").finish_non_exhaustive()
    }
}

/// What a [`WaitList`] hands out.
///
/// The methods that get a [`Line`] run under the list's lock: they must be short, must not enter
/// the list again, and run no foreign code. Wakers are called after the lock is open.
pub trait Supply {
    /// What one waiter asks for, and what it is granted: the two values may differ where the waiter
    /// asks for a range.
    type Need: Copy;
    /// Why a waiter is rejected.
    type Refusal;

    /// Returns the wait queue of this supply.
    fn wait_list(&self) -> &WaitList<Self::Need>;

    /// Decides a newcomer's request: granted (and charged), refused, or `Pending` to join the
    /// queue.
    ///
    /// Before it returns `Pending` it must have noted, in the word that releasers write to, that
    /// there is a waiter.
    fn ask(
        &self,
        need: Self::Need,
        line: &mut Line<'_, Self::Need>,
    ) -> Poll<Result<Self::Need, Self::Refusal>>;

    /// Returns whether a newcomer that has to wait goes before all others, instead of to the tail.
    /// Must always return the same.
    fn newest_first(&self) -> bool {
        false
    }

    /// Returns whether tickets are [nudged in order](Line::nudge_head) instead of being granted at
    /// once. Must always return the same.
    ///
    /// If so, a ticket [asks again](Self::ask_again) whenever it is polled, nudged or not.
    fn nudges(&self) -> bool {
        false
    }

    /// Decides the request of a ticket that asks again: one that was nudged, or, in a supply that
    /// [nudges](Self::nudges), any that is polled. Granted (and charged), refused, or `Pending` to
    /// wait on in its place. Never called in a supply that neither [nudges](Self::nudges) nor uses
    /// [`Line::nudge_all`].
    ///
    /// `is_first` says that the ticket is the head, or, in a supply that nudges, that no ticket
    /// that sleeps is served before it. After an answer the list calls [`serve`](Self::serve);
    /// after `Pending`, once the ticket sleeps again, it calls
    /// [`serve_after_miss`](Self::serve_after_miss).
    fn ask_again(
        &self,
        need: Self::Need,
        is_first: bool,
        line: &mut Line<'_, Self::Need>,
    ) -> Poll<Result<Self::Need, Self::Refusal>> {
        let _ = (need, is_first, line);
        Poll::Pending
    }

    /// Grants to the head (or nudges it), and to as many behind it as the supply allows. Clears the
    /// note when no waiter is left.
    fn serve(&self, line: &mut Line<'_, Self::Need>);

    /// Serves the queue when a ticket has [asked again](Self::ask_again) in vain; if that ticket
    /// was nudged, nothing counts as [promised](Line::promised) any more. Does nothing by default,
    /// which is right if no other ticket could get what this one did not.
    fn serve_after_miss(&self, line: &mut Line<'_, Self::Need>) {
        let _ = line;
    }

    /// Takes back a grant that its waiter has never received.
    fn give_back(&self, granted: Self::Need);

    /// Returns the error of a waiter that [`Line::dismiss_head`] or [`Line::dismiss_all`] rejects.
    fn dismissal(&self) -> Self::Refusal;
}

/// Future of one request to a [`Supply`]: resolves to what is granted, or why nothing is.
///
/// `P` points to the supply: a reference, or an `Arc` for a future that keeps the supply alive.
///
/// # Cancel safety
///
/// If the future is dropped before the grant, it leaves no trace; if it is dropped after that,
/// [`Supply::give_back`] gets the grant. Once the future has resolved, the grant belongs to the
/// caller.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Turn<P: Deref<Target: Supply>> {
    // `None` once `finish` has taken it out.
    supply: Option<P>,
    need: <P::Target as Supply>::Need,
    stage: Stage,
}

enum Stage {
    Fresh,
    InLine(Index),
    Done,
}

/// What a poll of the future resolves to.
type Answer<S> = Result<<S as Supply>::Need, <S as Supply>::Refusal>;

impl<P: Deref<Target: Supply>> Turn<P> {
    /// Creates the future, which asks when it is first polled.
    #[inline]
    pub const fn new(supply: P, need: <P::Target as Supply>::Need) -> Self {
        Self { supply: Some(supply), need, stage: Stage::Fresh }
    }

    /// Returns the supply.
    ///
    /// # Panics
    ///
    /// Panics after [`finish`](Self::finish).
    #[inline]
    pub fn supply(&self) -> &P {
        self.supply.as_ref().expect("polled after it was ready")
    }

    /// Returns what was asked for.
    #[inline]
    pub const fn need(&self) -> <P::Target as Supply>::Need {
        self.need
    }

    /// Returns whether the request was neither polled nor finished.
    #[inline]
    pub const fn is_fresh(&self) -> bool {
        matches!(self.stage, Stage::Fresh)
    }

    /// Returns whether the request waits in the queue.
    #[inline]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::InLine(_))
    }

    /// Takes the supply out of a request that is over: it was answered, or granted elsewhere before
    /// it was polled.
    ///
    /// # Panics
    ///
    /// Panics if the request waits in the queue, or at the second call.
    #[inline]
    pub fn finish(&mut self) -> P {
        assert!(!self.is_waiting(), "a request in line is not over");
        self.stage = Stage::Done;
        self.supply.take().expect("polled after it was ready")
    }

    fn join(&mut self, waker: &Waker) -> Poll<Answer<P::Target>> {
        let supply = &**self.supply.as_ref().expect("polled after it was ready");
        let need = self.need;
        // Cloned outside of the lock: a waker's code is foreign.
        let mut spare = Some(waker.clone());
        let (answer, stage) = supply.wait_list().tickets.with(|tickets| {
            match supply.ask(need, &mut Line { tickets }) {
                Poll::Ready(answer) => (Poll::Ready(answer), Stage::Done),
                Poll::Pending => {
                    let waker = spare.take().expect("taken once");
                    let (in_front, nudges) = (supply.newest_first(), supply.nudges());
                    let ticket = tickets.join(need, waker, in_front, nudges);
                    (Poll::Pending, Stage::InLine(ticket))
                }
            }
        });
        self.stage = stage;
        match (answer, spare) {
            (Poll::Ready(answer), Some(spare)) => Poll::Ready(claim_past(supply, answer, spare)),
            (answer, _) => answer,
        }
    }

    /// Collects what has become of the ticket; returns `None` if it has to ask again or to get
    /// another waker.
    #[inline]
    fn collect(&mut self, ticket: Index, waker: &Waker) -> Option<Poll<Answer<P::Target>>> {
        let supply = &**self.supply();
        match supply.wait_list().tickets.with(|tickets| tickets.collect(ticket, waker)) {
            Collected::Left(left) => {
                self.stage = Stage::Done;
                Some(Poll::Ready(match left {
                    Left::Granted(granted) => Ok(granted),
                    Left::Dismissed => Err(self.supply().dismissal()),
                }))
            }
            Collected::Waits => Some(Poll::Pending),
            Collected::NeedsWaker | Collected::Nudged => None,
        }
    }

    /// Does what `collect` does, for a ticket that asks again or has an old waker.
    #[cold]
    fn collect_again(&mut self, ticket: Index, waker: &Waker) -> Poll<Answer<P::Target>> {
        let supply = &**self.supply.as_ref().expect("polled after it was ready");
        let need = self.need;
        // A waker's clone and drop are foreign code: they run with the lock released, and the drops
        // only when `Unclaimed` holds the grant.
        let mut spare = Some(waker.clone());
        let mut old = None;
        let (answer, woken) = supply.wait_list().lock(|line| {
            let asks = match line.tickets.collect(ticket, waker) {
                Collected::Left(Left::Granted(granted)) => return Poll::Ready(Some(Ok(granted))),
                Collected::Left(Left::Dismissed) => return Poll::Ready(None),
                Collected::Nudged => true,
                Collected::Waits | Collected::NeedsWaker => supply.nudges(),
            };
            let is_first = line.tickets.is_first(ticket);
            let asked = if asks { supply.ask_again(need, is_first, line) } else { Poll::Pending };
            if let Poll::Ready(answer) = asked {
                old = line.tickets.withdraw(ticket).err().flatten();
                // The note of waiters may be stale, and another ticket may be the head.
                supply.serve(line);
                return Poll::Ready(Some(answer));
            }
            let waker = spare.take().expect("taken once");
            old = line.tickets.replace_waker(ticket, waker);
            if asks {
                supply.serve_after_miss(line);
            }
            Poll::Pending
        });
        if answer.is_ready() {
            self.stage = Stage::Done;
        }
        let answer = answer
            .map(|answer| answer.map(|answer| answer.map(|granted| Unclaimed { supply, granted })));
        wake(woken);
        drop((spare, old));
        answer.map(|answer| match answer {
            Some(answer) => answer.map(Unclaimed::claim),
            None => Err(supply.dismissal()),
        })
    }

    fn leave(&self, ticket: Index) {
        let supply = &**self.supply();
        let (withdrawn, woken) = supply.wait_list().lock(|line| {
            let withdrawn = line.tickets.withdraw(ticket);
            if withdrawn.is_err() {
                // A smaller request behind a large head may fit now, and the note of waiters may be
                // stale.
                supply.serve(line);
            }
            withdrawn
        });
        let (_waker, _unclaimed) = match withdrawn {
            Ok(Left::Granted(granted)) => (None, Some(Unclaimed { supply, granted })),
            Ok(Left::Dismissed) => (None, None),
            // Dropped here, with the lock released.
            Err(waker) => (waker.map(Foreign::new), None),
        };
        wake(woken);
    }
}

/// Drops a waker, which is foreign code, and returns the answer. If the waker panics, a grant is
/// given back.
#[cold]
fn claim_past<S: Supply + ?Sized>(supply: &S, answer: Answer<S>, spare: Waker) -> Answer<S> {
    let answer = answer.map(|granted| Unclaimed { supply, granted });
    drop(spare);
    answer.map(Unclaimed::claim)
}

/// A grant that its waiter has not received yet: if foreign code panics meanwhile, the grant is
/// given back.
struct Unclaimed<'a, S: Supply + ?Sized> {
    supply: &'a S,
    granted: S::Need,
}

impl<S: Supply + ?Sized> Unclaimed<'_, S> {
    #[inline]
    fn claim(self) -> S::Need {
        let granted = self.granted;
        mem::forget(self);
        granted
    }
}

impl<S: Supply + ?Sized> Drop for Unclaimed<'_, S> {
    fn drop(&mut self) {
        self.supply.give_back(self.granted);
    }
}

// The supply's pointer is never pinned.
impl<P: Deref<Target: Supply>> Unpin for Turn<P> {}

impl<P: Deref<Target: Supply>> Future for Turn<P> {
    type Output = Answer<P::Target>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = match this.stage {
            Stage::Fresh => return this.join(cx.waker()),
            Stage::InLine(ticket) => ticket,
            Stage::Done => panic!("polled after it was ready"),
        };
        // Where the supply nudges, every ticket asks again, and so takes the lock only once.
        let collected = match this.supply().nudges() {
            true => None,
            false => this.collect(ticket, cx.waker()),
        };
        match collected {
            Some(answer) => answer,
            None => this.collect_again(ticket, cx.waker()),
        }
    }
}

impl<P: Deref<Target: Supply>> Drop for Turn<P> {
    #[inline]
    fn drop(&mut self) {
        if let Stage::InLine(ticket) = self.stage {
            self.leave(ticket);
        }
    }
}

impl<P: Deref<Target: Supply>> fmt::Debug for Turn<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("waiting", &self.is_waiting()).finish_non_exhaustive()
    }
}
