//! Grants: "my turn for n?".
//!
//! A [`WaitList`] is a line of tickets, first in, first out unless its supply says otherwise. Whoever gives something back
//! decides, under the list's lock, whose ticket is granted; a granted waiter has what it asked for before it runs again,
//! so nobody can overtake it.
//!
//! The list does not know *what* it hands out. That is a [`Supply`]: usually one atomic word that says how much is free
//! and whether anybody waits. [`Turn`] is the future that connects the two:
//!
//! ```text
//! Turn::poll, first     lock ─▶ supply.ask: granted? refused? else note "somebody waits" ─▶ ticket at its place
//! giving back           word: nobody waits ─▶ done.   somebody waits ─▶ lock ─▶ supply.serve ─▶ unlock ─▶ wake
//! Turn::poll, again     lock ─▶ granted? take the ticket out. nudged? supply.ask_again. else keep the newest waker
//! Turn::drop            lock ─▶ ticket out; it was granted: pass it on. it was the head: the next may fit
//! ```
//!
//! `ask` runs under the same lock as `serve`, and notes "somebody waits" in the very word a giver writes to. So a gift
//! either comes before `ask`, which finds it, or after, and then the giver sees the note and takes the lock.
//!
//! A supply that lets newcomers overtake does not grant at once: it *nudges* tickets, which ask again when they are
//! polled and keep their places if they come too late.
//!
//! Tickets live in an index arena: a slot is reused, nothing is freed while waiting, and there are no pointers.

mod line;

use core::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, Waker},
};

pub use self::line::Line;
use self::line::{Collected, Left, Tickets};
use crate::{lock::Lock, wake_list::WakeList};

/// A line of waiters, each asking for an `N` (an amount, a key, nothing at all).
///
/// Allocates for the first waiter and whenever more wait at once than ever before. Its memory is never above what the
/// longest line needed, and is given back when a long line has emptied.
pub struct WaitList<N> {
    tickets: Lock<Tickets<N>>,
}

impl<N> WaitList<N> {
    crate::const_fn! {
        /// Creates an empty line. Does not allocate.
        pub fn new() -> Self {
            Self { tickets: Lock::new(Tickets::new()) }
        }
    }

    /// Runs `section` on the line with the lock held; then opens the lock and wakes whom the section granted or
    /// dismissed.
    pub fn with<R>(&self, section: impl FnOnce(&mut Line<'_, N>) -> R) -> R {
        let mut woken = WakeList::new();
        let result = self.tickets.with(|tickets| section(&mut Line { tickets, woken: &mut woken }));
        woken.wake();
        result
    }

    /// Returns how many wait. A snapshot.
    pub fn len(&self) -> usize {
        self.tickets.with(|tickets| tickets.len())
    }

    /// Returns whether nobody waits. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<N> Default for WaitList<N> {
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
/// The methods that get a [`Line`] run under the list's lock: they must be short, must not enter the list again, and
/// run no foreign code. Wakers are called after the lock is open.
pub trait Supply {
    /// What one waiter asks for, and what it gets: the two may differ where it asks for a range.
    type Need: Copy;
    /// Why a waiter is sent away empty-handed.
    type Refusal;

    /// Returns the line of this supply.
    fn wait_list(&self) -> &WaitList<Self::Need>;

    /// Decides a newcomer's request: granted (and charged), refused, or `Pending` to join the line.
    ///
    /// Before it returns `Pending` it must have noted, in the word that givers write to, that somebody waits.
    fn ask(
        &self,
        need: Self::Need,
        line: &mut Line<'_, Self::Need>,
    ) -> Poll<Result<Self::Need, Self::Refusal>>;

    /// Returns whether a newcomer that has to wait goes before all others, instead of to the tail. Always the same.
    fn newest_first(&self) -> bool {
        false
    }

    /// Decides the request of a ticket that was [nudged](Line::nudge_while): granted (and charged), or `None` to wait on
    /// in its place. Never called in a supply that does not nudge.
    fn ask_again(
        &self,
        need: Self::Need,
        is_head: bool,
        line: &mut Line<'_, Self::Need>,
    ) -> Option<Self::Need> {
        let _ = (need, is_head, line);
        None
    }

    /// Grants to the head, and to as many behind it as the supply allows. Takes the note back when nobody is left.
    fn serve(&self, line: &mut Line<'_, Self::Need>);

    /// Takes a grant back whose owner never picked it up.
    fn give_back(&self, granted: Self::Need);

    /// Returns what a waiter gets that [`Line::dismiss_all`] sends away.
    fn dismissal(&self) -> Self::Refusal;
}

/// Future of one request to a [`Supply`]: resolves to what is granted, or why nothing is.
///
/// `P` points to the supply: a reference, or an `Arc` for a future that owns its part.
///
/// # Cancel safety
///
/// Dropped before the grant, it leaves no trace. Dropped after the grant, [`Supply::give_back`] gets it. Once it has
/// resolved, the grant belongs to the caller.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Turn<P>
where
    P: Deref<Target: Supply>,
{
    supply: P,
    need: <P::Target as Supply>::Need,
    stage: Stage,
}

enum Stage {
    Fresh,
    InLine(usize),
    Done,
}

/// What a poll of the future resolves to.
type Answer<S> = Result<<S as Supply>::Need, <S as Supply>::Refusal>;

impl<P> Turn<P>
where
    P: Deref<Target: Supply>,
{
    /// Creates the future; it asks when it is polled first.
    pub const fn new(supply: P, need: <P::Target as Supply>::Need) -> Self {
        Self { supply, need, stage: Stage::Fresh }
    }

    /// Returns the supply.
    pub const fn supply(&self) -> &P {
        &self.supply
    }

    /// Returns what was asked for.
    pub const fn need(&self) -> <P::Target as Supply>::Need {
        self.need
    }

    /// Returns whether the request stands in line.
    pub const fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::InLine(_))
    }

    fn join(&mut self, waker: &Waker) -> Poll<Answer<P::Target>> {
        let (supply, need) = (&*self.supply, self.need);
        // Cloned outside of the lock: a waker's code is foreign.
        let waker = waker.clone();
        let (answer, _unused) = supply.wait_list().with(|line| match supply.ask(need, line) {
            Poll::Ready(answer) => (Poll::Ready(answer), Some(waker)),
            Poll::Pending => {
                let in_front = supply.newest_first();
                self.stage = Stage::InLine(line.tickets.join(need, waker, in_front));
                (Poll::Pending, None)
            }
        });
        if answer.is_ready() {
            self.stage = Stage::Done;
        }
        answer
    }

    /// Looks after the ticket; `spare` is put where a waker is missing, and holds what is not needed afterwards.
    fn collect(
        &self,
        ticket: usize,
        waker: &Waker,
        spare: &mut Option<Waker>,
    ) -> Collected<<P::Target as Supply>::Need> {
        let supply = &*self.supply;
        supply.wait_list().with(|line| {
            let mut found = line.tickets.collect(ticket, waker);
            if let Collected::Nudged(need) = found {
                let is_head = line.tickets.is_head(ticket);
                if let Some(granted) = supply.ask_again(need, is_head, line) {
                    line.tickets.unlink(ticket);
                    line.tickets.release(ticket);
                    // The note may be stale, and another is the head.
                    supply.serve(line);
                    return Collected::Left(Left::Granted(granted));
                }
                found = Collected::NeedsWaker;
            }
            if let (Collected::NeedsWaker, Some(waker)) = (&found, spare.take()) {
                *spare = line.tickets.replace_waker(ticket, waker);
                found = Collected::Waits;
            }
            found
        })
    }
}

// The supply's pointer is never pinned.
impl<P> Unpin for Turn<P> where P: Deref<Target: Supply> {}

impl<P> Future for Turn<P>
where
    P: Deref<Target: Supply>,
{
    type Output = Answer<P::Target>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = match this.stage {
            Stage::Fresh => return this.join(cx.waker()),
            Stage::InLine(ticket) => ticket,
            Stage::Done => panic!("polled after it was ready"),
        };
        let mut spare = None;
        let left = loop {
            match this.collect(ticket, cx.waker(), &mut spare) {
                Collected::Left(left) => break left,
                Collected::Waits => return Poll::Pending,
                // A waker's code is foreign, cloning and dropping included: it runs with the lock open. The ticket may
                // leave the line meanwhile, so look again.
                Collected::NeedsWaker | Collected::Nudged(_) => spare = Some(cx.waker().clone()),
            }
        };
        this.stage = Stage::Done;
        Poll::Ready(match left {
            Left::Granted(granted) => Ok(granted),
            Left::Dismissed => Err(this.supply.dismissal()),
            Left::Waiting => unreachable!("a waiting ticket is not collected"),
        })
    }
}

impl<P> Drop for Turn<P>
where
    P: Deref<Target: Supply>,
{
    fn drop(&mut self) {
        let Stage::InLine(ticket) = self.stage else { return };
        let supply = &*self.supply;
        let emptied = supply.wait_list().with(|line| {
            let waits = line.tickets.waits(ticket);
            if waits {
                line.tickets.unlink(ticket);
            }
            let emptied = line.tickets.release(ticket);
            if waits {
                // A smaller request behind a large head may fit now, and the note may be stale.
                supply.serve(line);
            }
            // With its waker, to be dropped outside of the lock.
            emptied
        });
        if let Left::Granted(granted) = emptied.left() {
            supply.give_back(granted);
        }
    }
}

impl<P> fmt::Debug for Turn<P>
where
    P: Deref<Target: Supply>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("waiting", &self.is_waiting()).finish_non_exhaustive()
    }
}
