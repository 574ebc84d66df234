//! Grants: "my turn for n?".
//!
//! A [`WaitList`] is a FIFO of tickets. Whoever gives something back decides, under the list's lock, whose ticket is
//! granted; a granted waiter has what it asked for before it runs again, so nobody can overtake it.
//!
//! The list does not know *what* it hands out. That is a [`Supply`]: usually one atomic word that says how much is free
//! and whether anybody waits. [`Turn`] is the future that connects the two:
//!
//! ```text
//! Turn::poll, first     lock ─▶ supply.ask: granted? refused? else note "somebody waits" ─▶ ticket at the tail
//! giving back           word: nobody waits ─▶ done.   somebody waits ─▶ lock ─▶ supply.serve ─▶ unlock ─▶ wake
//! Turn::poll, again     lock ─▶ granted? take the ticket out. else keep the newest waker
//! Turn::drop            lock ─▶ ticket out; it was granted: pass it on. it was the head: the next may fit
//! ```
//!
//! `ask` runs under the same lock as `serve`, and notes "somebody waits" in the very word a giver writes to. So a gift
//! either comes before `ask`, which finds it, or after, and then the giver sees the note and takes the lock.
//!
//! Tickets live in an index arena: a slot is reused, nothing is freed while waiting, and there are no pointers.

use core::{
    fmt,
    future::Future,
    mem,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use alloc::vec::Vec;

use crate::{lock::Lock, wake_list::WakeList};

/// A first-in-first-out line of waiters, each asking for an `N` (an amount, a key, nothing at all).
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
            Self { tickets: Lock::new(Tickets { slots: Vec::new(), free: NONE, head: NONE, tail: NONE, len: 0, taken: 0 }) }
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
        self.tickets.with(|tickets| tickets.len)
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

/// The end of a chain of slots.
const NONE: usize = usize::MAX;

/// An emptied arena above this many slots is given back to the allocator.
const KEPT_SLOTS: usize = 64;

struct Tickets<N> {
    slots: Vec<Slot<N>>,
    /// Head of the chain of free slots, linked by `next`.
    free: usize,
    // INVARIANT: `head` to `tail` through `next`, and back through `prev`, are the tickets in state `Waiting`, oldest
    // first, and there are `len` of them. A granted or dismissed ticket is in no chain until its owner collects it.
    head: usize,
    tail: usize,
    len: usize,
    // INVARIANT: the number of slots that are not `Free`; `len` of them are in line.
    taken: usize,
}

struct Slot<N> {
    state: State<N>,
    prev: usize,
    next: usize,
}

/// | state | meaning | left by |
/// | --- | --- | --- |
/// | `Free` | in the free chain | `Line::join` |
/// | `Waiting` | in line, with the waker of its last poll | `grant_head`, `dismiss_all`, or its owner's drop |
/// | `Granted` | out of the line, the supply is already charged | its owner: poll collects, drop passes on |
/// | `Dismissed` | out of the line, nothing granted | its owner |
enum State<N> {
    Free,
    Waiting { need: N, waker: Waker },
    Granted,
    Dismissed,
}

/// How a ticket left the line.
enum Left {
    Waiting,
    Granted,
    Dismissed,
}

/// The line while its lock is held; what a [`Supply`] works on.
pub struct Line<'a, N> {
    tickets: &'a mut Tickets<N>,
    woken: &'a mut WakeList,
}

impl<N> Line<'_, N> {
    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.tickets.len
    }

    /// Returns whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.tickets.len == 0
    }

    /// Returns what the longest waiting ticket asks for.
    pub fn head(&self) -> Option<&N> {
        match &self.tickets.slots.get(self.tickets.head)?.state {
            State::Waiting { need, .. } => Some(need),
            _ => unreachable!("only waiting tickets are in line"),
        }
    }

    /// Grants the head's request. The caller has charged the supply for it.
    ///
    /// Does nothing if nobody waits.
    pub fn grant_head(&mut self) {
        self.settle_head(State::Granted);
    }

    /// Sends everybody away with [`Supply::dismissal`].
    pub fn dismiss_all(&mut self) {
        while !self.is_empty() {
            self.settle_head(State::Dismissed);
        }
    }

    /// Sends the head away with [`Supply::dismissal`]. Does nothing if nobody waits.
    pub fn dismiss_head(&mut self) {
        self.settle_head(State::Dismissed);
    }

    fn settle_head(&mut self, state: State<N>) {
        let head = self.tickets.head;
        if head != NONE {
            self.tickets.unlink(head);
            if let State::Waiting { waker, .. } =
                mem::replace(&mut self.tickets.slots[head].state, state)
            {
                self.woken.push(waker);
            }
        }
    }
}

impl<N> Tickets<N> {
    fn join(&mut self, need: N, waker: Waker) -> usize {
        let slot = Slot { state: State::Waiting { need, waker }, prev: self.tail, next: NONE };
        let index = self.free;
        let index = if index == NONE {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            self.free = self.slots[index].next;
            self.slots[index] = slot;
            index
        };
        match self.tail {
            NONE => self.head = index,
            tail => self.slots[tail].next = index,
        }
        self.tail = index;
        self.len += 1;
        self.taken += 1;
        index
    }

    /// Takes a waiting ticket out of the line, keeping its slot.
    fn unlink(&mut self, index: usize) {
        let Slot { prev, next, .. } = self.slots[index];
        match prev {
            NONE => self.head = next,
            prev => self.slots[prev].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => self.slots[next].prev = prev,
        }
        self.len -= 1;
    }

    /// Frees a slot that is in no chain.
    fn release(&mut self, index: usize) -> State<N> {
        let state = mem::replace(&mut self.slots[index].state, State::Free);
        self.slots[index].next = self.free;
        self.free = index;
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > KEPT_SLOTS {
            self.slots = Vec::new();
            self.free = NONE;
        }
        state
    }

    /// Looks after a ticket: frees its slot if it has left the line, else says whether `waker` has to replace its own.
    fn collect(&mut self, index: usize, waker: &Waker) -> Collected {
        match &self.slots[index].state {
            State::Waiting { waker: held, .. } if held.will_wake(waker) => Collected::Waits,
            State::Waiting { .. } => Collected::NeedsWaker,
            _ => Collected::Left(self.release(index).into()),
        }
    }

    /// Gives a ticket another waker if it still waits; returns whether it does, and the waker that is not needed.
    fn replace_waker(&mut self, index: usize, waker: Waker) -> (bool, Waker) {
        match &mut self.slots[index].state {
            State::Waiting { waker: held, .. } => (true, mem::replace(held, waker)),
            _ => (false, waker),
        }
    }
}

/// What became of a ticket since its last poll.
enum Collected {
    Waits,
    NeedsWaker,
    Left(Left),
}

impl<N> From<State<N>> for Left {
    fn from(state: State<N>) -> Self {
        match state {
            State::Waiting { .. } => Left::Waiting,
            State::Granted => Left::Granted,
            State::Dismissed => Left::Dismissed,
            State::Free => {
                unreachable!("a ticket's slot belongs to its future until it is collected")
            }
        }
    }
}

impl<N> fmt::Debug for Line<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What a [`WaitList`] hands out.
///
/// The methods that get a [`Line`] run under the list's lock: they must be short, must not enter the list again, and
/// run no foreign code. Wakers are called after the lock is open.
pub trait Supply {
    /// What one waiter asks for.
    type Need: Copy;
    /// Why a waiter is sent away empty-handed.
    type Refusal;

    /// Returns the line of this supply.
    fn wait_list(&self) -> &WaitList<Self::Need>;

    /// Decides a newcomer's request: granted (and charged), refused, or `Pending` to join the tail of the line.
    ///
    /// Before it returns `Pending` it must have noted, in the word that givers write to, that somebody waits.
    fn ask(
        &self,
        need: Self::Need,
        line: &mut Line<'_, Self::Need>,
    ) -> Poll<Result<(), Self::Refusal>>;

    /// Grants to the head, and to as many behind it as the supply allows. Takes the note back when nobody is left.
    fn serve(&self, line: &mut Line<'_, Self::Need>);

    /// Takes a grant back whose owner never picked it up.
    fn give_back(&self, need: Self::Need);

    /// Returns what a waiter gets that [`Line::dismiss_all`] sends away.
    fn dismissal(&self) -> Self::Refusal;
}

/// Future of one request to a [`Supply`]: resolves when it is granted or refused.
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

    fn join(&mut self, waker: &Waker) -> Poll<Result<(), <P::Target as Supply>::Refusal>> {
        let (supply, need) = (&*self.supply, self.need);
        // Cloned outside of the lock: a waker's code is foreign.
        let waker = waker.clone();
        let (answer, _unused) = supply.wait_list().with(|line| match supply.ask(need, line) {
            Poll::Ready(answer) => (Poll::Ready(answer), Some(waker)),
            Poll::Pending => {
                self.stage = Stage::InLine(line.tickets.join(need, waker));
                (Poll::Pending, None)
            }
        });
        if answer.is_ready() {
            self.stage = Stage::Done;
        }
        answer
    }
}

// The supply's pointer is never pinned.
impl<P> Unpin for Turn<P> where P: Deref<Target: Supply> {}

impl<P> Future for Turn<P>
where
    P: Deref<Target: Supply>,
{
    type Output = Result<(), <P::Target as Supply>::Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = match this.stage {
            Stage::Fresh => return this.join(cx.waker()),
            Stage::InLine(ticket) => ticket,
            Stage::Done => panic!("polled after it was ready"),
        };
        let list = this.supply.wait_list();
        let left = loop {
            match list.with(|line| line.tickets.collect(ticket, cx.waker())) {
                Collected::Left(left) => break left,
                Collected::Waits => return Poll::Pending,
                Collected::NeedsWaker => {
                    // A waker's code is foreign, cloning and dropping included: it runs with the lock open. The ticket
                    // may leave the line meanwhile, so look again.
                    let waker = cx.waker().clone();
                    let (waits, _unneeded) =
                        list.with(|line| line.tickets.replace_waker(ticket, waker));
                    if waits {
                        return Poll::Pending;
                    }
                }
            }
        };
        this.stage = Stage::Done;
        Poll::Ready(match left {
            Left::Granted => Ok(()),
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
        let state = supply.wait_list().with(|line| {
            let waits = matches!(line.tickets.slots[ticket].state, State::Waiting { .. });
            if waits {
                line.tickets.unlink(ticket);
            }
            let state = line.tickets.release(ticket);
            if waits {
                // A smaller request behind a large head may fit now, and the note may be stale.
                supply.serve(line);
            }
            // With its waker, to be dropped outside of the lock.
            state
        });
        if matches!(Left::from(state), Left::Granted) {
            supply.give_back(self.need);
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
