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
    task::{Context, Poll, Waker, ready},
};

pub use self::line::Line;
use self::line::{Collected, Index, Left, Tickets};
use crate::lock::Lock;

/// A line of waiters, each asking for an `N` (an amount, a key, nothing at all).
///
/// Allocates for the first waiter and whenever more wait at once than ever before. Its memory is never above what the
/// longest line needed, and is given back when a long line has emptied.
pub struct WaitList<N> {
    tickets: Lock<Tickets<N>>,
}

impl<N: Copy> WaitList<N> {
    crate::const_fn! {
        /// Creates an empty line. Does not allocate.
        pub fn new() -> Self {
            Self { tickets: Lock::new(Tickets::new()) }
        }
    }

    /// Runs `section` on the line with the lock held; then opens the lock and wakes whom the section granted, dismissed or
    /// nudged.
    #[inline]
    pub fn with<R>(&self, section: impl FnOnce(&mut Line<'_, N>) -> R) -> R {
        let (result, woken) = self.tickets.with(|tickets| {
            let result = section(&mut Line { tickets });
            (result, tickets.take_woken())
        });
        if let Some((first, _rest)) = woken {
            // The rest is woken when it is dropped, also if this panics.
            first.wake();
        }
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
    // `None` once it was taken out, which is after the answer.
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

impl<P> Turn<P>
where
    P: Deref<Target: Supply>,
{
    /// Creates the future; it asks when it is polled first.
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

    /// Returns whether it has not been polled.
    #[inline]
    pub const fn is_fresh(&self) -> bool {
        matches!(self.stage, Stage::Fresh)
    }

    /// Returns whether the request stands in line.
    #[inline]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::InLine(_))
    }

    /// Takes the supply out of a request that is over: it was answered, or granted elsewhere before it was polled.
    ///
    /// # Panics
    ///
    /// Panics if the request stands in line, or is called twice.
    #[inline]
    pub fn finish(&mut self) -> P {
        assert!(!self.is_waiting(), "a request in line is not over");
        self.stage = Stage::Done;
        self.supply.take().expect("polled after it was ready")
    }

    fn join(&mut self, waker: &Waker) -> Poll<Answer<P::Target>> {
        let (supply, need) = (&**self.supply(), self.need);
        // Cloned outside of the lock: a waker's code is foreign.
        let mut waker = Some(waker.clone());
        let (answer, stage) = supply.wait_list().tickets.with(|tickets| {
            match supply.ask(need, &mut Line { tickets }) {
                Poll::Ready(answer) => (Poll::Ready(answer), Stage::Done),
                Poll::Pending => {
                    let waker = waker.take().expect("taken once");
                    let ticket = tickets.join(need, waker, supply.newest_first());
                    (Poll::Pending, Stage::InLine(ticket))
                }
            }
        });
        self.stage = stage;
        answer
    }

    /// Looks after the ticket; `None` if its waker has to be replaced.
    fn collect(
        &self,
        ticket: Index,
        waker: &Waker,
    ) -> Option<Poll<Left<<P::Target as Supply>::Need>>> {
        let list = self.supply().wait_list();
        match list.tickets.with(|tickets| tickets.collect(ticket, waker)) {
            Collected::Left(left) => Some(Poll::Ready(left)),
            Collected::Waits => Some(Poll::Pending),
            Collected::NeedsWaker | Collected::Nudged(_) => None,
        }
    }

    /// As `collect`, for a ticket that was nudged or has an old waker.
    #[cold]
    fn collect_again(
        &self,
        ticket: Index,
        waker: &Waker,
    ) -> Poll<Left<<P::Target as Supply>::Need>> {
        let supply = &**self.supply();
        // A waker's code is foreign, cloning and dropping included: it runs with the lock open.
        let mut spare = Some(waker.clone());
        supply.wait_list().with(|line| {
            let found = line.tickets.collect(ticket, waker);
            if let Collected::Nudged(need) = found {
                let is_head = line.tickets.is_head(ticket);
                if let Some(granted) = supply.ask_again(need, is_head, line) {
                    // Nudged, it has no waker that could be lost here.
                    let _ = line.tickets.withdraw(ticket);
                    // The note may be stale, and another is the head.
                    supply.serve(line);
                    return Poll::Ready(Left::Granted(granted));
                }
            }
            if let Collected::Left(left) = found {
                return Poll::Ready(left);
            }
            let waker = spare.take().expect("taken once");
            spare = line.tickets.replace_waker(ticket, waker);
            Poll::Pending
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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = match this.stage {
            Stage::Fresh => return this.join(cx.waker()),
            Stage::InLine(ticket) => ticket,
            Stage::Done => panic!("polled after it was ready"),
        };
        let left = match this.collect(ticket, cx.waker()) {
            Some(left) => ready!(left),
            None => ready!(this.collect_again(ticket, cx.waker())),
        };
        this.stage = Stage::Done;
        Poll::Ready(match left {
            Left::Granted(granted) => Ok(granted),
            Left::Dismissed => Err(this.supply().dismissal()),
        })
    }
}

impl<P> Drop for Turn<P>
where
    P: Deref<Target: Supply>,
{
    #[inline]
    fn drop(&mut self) {
        if let Stage::InLine(ticket) = self.stage {
            self.leave(ticket);
        }
    }
}

impl<P> Turn<P>
where
    P: Deref<Target: Supply>,
{
    fn leave(&self, ticket: Index) {
        let supply = &**self.supply();
        // With its waker, to be dropped outside of the lock.
        let withdrawn = supply.wait_list().with(|line| {
            let withdrawn = line.tickets.withdraw(ticket);
            if withdrawn.is_err() {
                // A smaller request behind a large head may fit now, and the note may be stale.
                supply.serve(line);
            }
            withdrawn
        });
        if let Ok(Left::Granted(granted)) = withdrawn {
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
