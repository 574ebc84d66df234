//! The order in which waiters are served.

use core::num::NonZeroU32;

/// The order in which waiters are served, and whether a newcomer may overtake them.
///
/// A future that waits in the queue has to be polled when it is woken, or dropped. Under `Fifo`,
/// and under `Eventual` once the head has been overtaken too often, permits are *granted*: they
/// belong to the head whether or not it is polled, and a head that is kept and never polled again
/// keeps its permits from all other callers. Under `Eventual`, `Barging` and `Lifo` the head is
/// otherwise only *woken*. A woken waiter that is not polled loses its turn, though not its place:
/// once other callers have acquired at least 128 times, a release wakes the next waiter as well.
/// Any waiter that is polled takes what is free, woken or not, unless newcomers are barred. As
/// there is no timer, this has a limit: if no other caller acquires, releases or polls any more,
/// nothing notices that the woken waiter does not poll.
///
/// | | order of the queue | a newcomer may take what is free |
/// | --- | --- | --- |
/// | `Fifo` | as they came | only if no request waits |
/// | `Eventual` | as they came | until the head has been overtaken `overtakes` times |
/// | `Barging` | as they came | always |
/// | `Lifo` | the latest first | always |
///
/// # Which one
///
/// `Fifo`, the default, hands each permit to the waiter that has waited longest. No waiter starves,
/// and a large request is served like a small one. The price: a permit on its way to a sleeping
/// waiter is idle for as long as the wake-up takes. That is nothing where permits are held for
/// milliseconds (a connection, a request in flight), and much where they are held for less than a
/// wake-up: then running threads wait in the queue behind threads that have to be woken first, a
/// *convoy*.
///
/// `Eventual` avoids convoys: a running thread may take a free permit, until a check finds that the
/// head of the queue has been overtaken [`overtakes`](Self::Eventual) times; then newcomers are
/// barred until the head is served. `parking_lot`'s mutex does the same, but bounds the time. To
/// count overtakings needs no clock; the literature calls such a bound bounded bypass.
///
/// Under all but `Fifo` a thread that waits spins for a permit before it joins the queue, unless
/// other requests wait there. It spins for as long as that has paid lately, at most some 20 µs. A
/// task joins the queue at once.
///
/// `Barging` is `Eventual` without a bound: the head may starve. `Lifo` serves the latest first.
/// Under overload this serves callers that still wait for the answer: those that came first have
/// often given up already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", deny_unknown_fields))]
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
        /// The count begins, and is checked, when a caller that releases or joins the queue finds
        /// the head asleep, and when a woken head polls in vain. So newcomers are barred, at the
        /// latest, at the first poll of the head after so many overtakings. Newcomers between the
        /// wake-up and the poll of the head do it no harm: without them the permits would lie idle
        /// until it polls. Behind a head that is not polled, the next waiter is protected in the
        /// same way once it has been woken in the head's stead. Numbers above 2²⁸ count as 2²⁸.
        overtakes: NonZeroU32,
    },
    /// In order, but newcomers may always overtake.
    Barging,
    /// The latest first, newcomers included.
    Lifo,
}

/// The highest bound. The word counts acquisitions modulo 2²⁹: under a higher bound the count could
/// wrap around before a check finds that the bound is reached.
const MOST: u32 = 1 << 28;

/// What `Fairness::bound` returns where there is no bound.
pub(crate) const FOR_EVER: u32 = u32::MAX;

impl Fairness {
    /// Returns [`Eventual`](Self::Eventual) with 128 overtakings, which take a few microseconds
    /// under heavy contention.
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
