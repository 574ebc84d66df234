//! A clock that is turned by hand.

use core::{
    fmt,
    future::Future,
    iter,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    primitive::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{
        Clock, Timer, Timestamp,
        timers::{Entry, Timers},
    },
    wake_list,
};

/// A clock that stands still until [`advance`](Self::advance) or [`advance_to`](Self::advance_to).
/// Clones are the same clock.
///
/// For tests and simulations, and for firmware whose tick interrupt turns it.
///
/// # Examples
///
/// ```
/// use core::{pin::pin, task::{Context, Waker}, time::Duration};
/// use tidegate_core::{ManualClock, Timer};
///
/// let clock = ManualClock::new();
/// let mut sleep = pin!(clock.sleep(Duration::from_secs(3600)));
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(sleep.as_mut().poll(&mut cx).is_pending());
/// clock.advance(Duration::from_secs(3600));
/// assert!(sleep.as_mut().poll(&mut cx).is_ready());
/// ```
#[derive(Clone, Default)]
pub struct ManualClock {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    // INVARIANT: never decreases.
    now: AtomicU64,
    // The target of all turns so far; `now` may still be on its way there. Two turns at once add up
    // here.
    turned_to: AtomicU64,
    timers: Timers,
}

impl ManualClock {
    /// Creates a clock that shows [`Timestamp::ORIGIN`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns the clock forward by `duration` and wakes every sleeper whose time has come, earliest
    /// first, equal times in the order of their first polls.
    ///
    /// While a sleeper is woken, the clock shows that sleeper's time or later, as it would if time
    /// had passed steadily. Turns by several threads at once add up; each call returns when every
    /// sleeper due by its target time has been woken, or is being woken by another of these
    /// threads.
    pub fn advance(&self, duration: Duration) {
        let later = |from| (Timestamp::from_nanos(from) + duration).as_nanos();
        // ORDERING: Relaxed: only the number counts; `set_now` publishes what happened before.
        let from =
            self.state
                .turned_to
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |from| Some(later(from)));
        let from = from.unwrap_or_else(|_| unreachable!("every time has a successor"));
        self.turn(Timestamp::from_nanos(later(from)));
    }

    /// Turns the clock forward to `time`. If the clock is past `time` already, only wakes the
    /// sleepers that are due by `time`.
    pub fn advance_to(&self, time: Timestamp) {
        // ORDERING: Relaxed: as above.
        self.state.turned_to.fetch_max(time.as_nanos(), Ordering::Relaxed);
        self.turn(time);
    }

    fn turn(&self, time: Timestamp) {
        // A waker that panics keeps neither later sleepers from being woken nor the clock from
        // advancing.
        wake_list::each(iter::from_fn(|| self.turn_to_next(time)), Waker::wake);
    }

    /// Turns the clock to the time of the first sleeper that is due by `time`, and takes out its
    /// waker. If no sleeper is, turns the clock to `time` and returns `None`.
    fn turn_to_next(&self, time: Timestamp) -> Option<Waker> {
        loop {
            // The time is set before an entry is removed: a sleeper that finds its entry gone finds
            // that its time has come.
            let due = self.state.timers.next().map_or(time, |due| due.min(time));
            self.set_now(due);
            match self.state.timers.pop_due(due) {
                // The clock was set to `time`, and after that no sleeper was due by then. A sleeper
                // registers before it reads the clock again, so one that was missed here reads the
                // new time.
                None if due == time => return None,
                None => {}
                waker => return waker,
            }
        }
    }

    /// Returns when the first sleeper is due; `None` if there is no sleeper. A simulation jumps
    /// there next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.state.timers.next()
    }

    fn set_now(&self, time: Timestamp) {
        // ORDERING: Release: what happened before the turn is seen by a caller that reads the new
        // time (Acquire in `now`).
        self.state.now.fetch_max(time.as_nanos(), Ordering::Release);
    }
}

impl Clock for ManualClock {
    #[inline]
    fn now(&self) -> Timestamp {
        // ORDERING: Acquire: pairs with the Release in `set_now`.
        Timestamp::from_nanos(self.state.now.load(Ordering::Acquire))
    }
}

impl Timer for ManualClock {
    type Sleep = ManualSleep;

    fn sleep_until(&self, time: Timestamp) -> ManualSleep {
        ManualSleep { clock: self.clone(), entry: Entry::new(time) }
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.now()).finish()
    }
}

/// Future of [`ManualClock`]'s [`Timer::sleep_until`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct ManualSleep {
    clock: ManualClock,
    entry: Entry,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { clock, entry } = self.get_mut();
        if entry.time() == Timestamp::NEVER {
            return Poll::Pending;
        }
        if clock.now() < entry.time() {
            let waits = if entry.is_registered() {
                entry.refresh(cx.waker())
            } else {
                drop(entry.register(&clock.state.timers, cx.waker()));
                true
            };
            // Checked again once the entry is registered: a turn of the clock that missed the entry
            // has already changed the time.
            if waits && clock.now() < entry.time() {
                return Poll::Pending;
            }
        }
        entry.withdraw();
        Poll::Ready(())
    }
}

impl fmt::Debug for ManualSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualSleep").field("until", &self.entry.time()).finish_non_exhaustive()
    }
}
