//! The order in which waiters are served.

use core::num::NonZeroU32;

/// The order in which waiters are served, and whether a newcomer may overtake them.
///
/// A future that waits in the queue has to be polled when it is woken, or dropped. Under `Fifo`,
/// and under `Eventual` once the head has been overtaken too often, permits are *granted*: they
/// belong to the head whether or not it is polled, and one that is kept and never polled again
/// keeps its permits from all others. Under `Eventual`, `Barging` and `Lifo` the head is otherwise
/// only *woken*. One that is not polled loses its turn, though not its place: after 128
/// acquisitions by others the next one is woken as well, at a release. Any waiter that is polled
/// takes what is free, woken or not. Without a timer this has a limit: if no other caller acquires,
/// releases or polls any more, nothing notices that the woken waiter does not poll.
///
/// | | order of the queue | a newcomer may take what is free |
/// | --- | --- | --- |
/// | `Fifo` | as they came | only if no request waits |
/// | `Eventual` | as they came | until the head was overtaken so many times |
/// | `Barging` | as they came | always |
/// | `Lifo` | the latest first | always |
///
/// # Which one
///
/// `Fifo`, the default, hands each permit to the waiter that has waited longest. No waiter starves,
/// and a large request is served like a small one. The price: a permit on its way to a sleeping
/// waiter is idle for as long as the wake-up takes. That is nothing where permits are held for
/// milliseconds (a connection, a request in flight), and much where they are held for less than a
/// wake-up: then threads that could have gone on queue up behind ones that have to be woken, a
/// *convoy*.
///
/// `Eventual` avoids convoys: a running thread may take a free permit, until the head of the queue
/// has been overtaken [`overtakes`](Self::Eventual) times and polls again; then newcomers are
/// barred until the head is served. The idea is that of `parking_lot`'s mutex, which bounds the
/// time instead; a number of overtakings needs no clock, and is what the literature calls bounded
/// bypass.
///
/// Under all but `Fifo` a thread that waits spins for a permit before it joins the queue, unless
/// other requests wait there: for as long as that has paid lately, at most some 20 µs. A task joins
/// at once.
///
/// `Barging` is `Eventual` without a bound: the head may starve. `Lifo` serves the latest first:
/// under overload the callers of the latest requests still wait for the answer, while the first
/// have given up already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Fairness {
    /// Strictly in the order of the first polls.
    #[default]
    Fifo,
    /// In order, but newcomers may overtake the head a limited number of times.
    Eventual {
        /// By how many acquisitions the head of the queue may be overtaken before newcomers are
        /// barred.
        ///
        /// Counted from when it was woken first as the head. Checked at each release that finds the
        /// head asleep, and whenever the head is woken and polls in vain. So newcomers are barred
        /// at the latest when the head has polled after it was overtaken so often; those that come
        /// while it has been woken and does not run yet do it no harm, as the permits would only
        /// wait for it. Behind a head that is not polled the next one is protected in the same way,
        /// once it was woken in its stead. Numbers above 2²⁸ count as that.
        overtakes: NonZeroU32,
    },
    /// In order, but newcomers may always overtake.
    Barging,
    /// The latest first, newcomers included.
    Lifo,
}

/// A greater number could not be told from a smaller one by the acquisitions in the word.
const MOST: u32 = 1 << 28;

/// The bound where there is none.
pub(crate) const FOR_EVER: u32 = u32::MAX;

impl Fairness {
    /// [`Eventual`](Self::Eventual) with 128 overtakings: a few microseconds under heavy
    /// contention.
    pub const fn eventual() -> Self {
        match NonZeroU32::new(128) {
            Some(overtakes) => Self::Eventual { overtakes },
            None => Self::Fifo,
        }
    }

    /// Returns how often the head may be overtaken; [`FOR_EVER`] without a bound.
    pub(crate) const fn bound(self) -> u32 {
        match self {
            Self::Fifo => 0,
            Self::Eventual { overtakes } if overtakes.get() < MOST => overtakes.get(),
            Self::Eventual { .. } => MOST,
            Self::Barging | Self::Lifo => FOR_EVER,
        }
    }
}
