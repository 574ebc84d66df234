//! A clock whose reading is kept in a word.

use core::{
    convert::Infallible,
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;

use crate::{
    primitive::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Clock, SystemClock, Timer, Timestamp},
};

/// How often one poll of [`KeepFresh`] refreshes its clock at most: the first round begins a sleep,
/// and the second one polls it.
const ROUNDS: u32 = 2;

/// A clock that shows what its inner clock showed when this one was last
/// [refreshed](Self::refresh).
///
/// Reading it is one relaxed load. To read the system's clock takes some 20 to 30 ns, most of what
/// a limiter costs. Use it where a limiter or breaker is asked millions of times a second, and the
/// time may lag by a millisecond. Do not use it to measure short durations, or where it is not
/// refreshed.
///
/// Its resolution is the interval between refreshes: it lags by at most that plus the delays of the
/// refresher, and never goes backward. [`keep_fresh`](Self::keep_fresh) refreshes it in a task or a
/// thread of yours. Before the first refresh it shows [`Timestamp::ORIGIN`].
///
/// While it is not refreshed, time stands still: a limiter adds no tokens and refuses once its
/// burst is spent, an open breaker stays open. That is the safe side, and still an outage. *Waits*
/// are not stuck: a sleep is timed by the inner clock, and refreshes the cached one when it ends.
///
/// A sleeper must reach the clock for as long as it sleeps. So the clock itself is no [`Timer`]. A
/// `&'static CachedClock` and an `Arc<CachedClock>` are, and both can be the clock of a limiter.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{CachedClock, Clock, SystemClock, Timer, Wait};
///
/// static CLOCK: CachedClock = CachedClock::new(SystemClock);
///
/// let before = (&CLOCK).now();
/// (&CLOCK).sleep(Duration::from_millis(2)).wait();
/// assert!((&CLOCK).now().since(before) >= Duration::from_millis(2));
///
/// // In a program: a thread, or a task, that keeps it fresh.
/// std::thread::spawn(|| CLOCK.keep_fresh(Duration::from_millis(1)).wait());
/// ```
#[derive(Default)]
pub struct CachedClock<C = SystemClock> {
    clock: C,
    // INVARIANT: never decreases.
    shown: AtomicU64,
}

impl<C> CachedClock<C> {
    crate::const_fn! {
        /// Creates a clock that shows the origin until its first refresh.
        pub fn new(clock: C) -> Self {
            Self { clock, shown: AtomicU64::new(0) }
        }
    }

    /// Returns the clock that is read by a refresh.
    pub fn inner(&self) -> &C {
        &self.clock
    }
}

impl<C: Clock> CachedClock<C> {
    /// Reads the inner clock and shows its time, unless a later one is shown already; returns what
    /// is shown then.
    pub fn refresh(&self) -> Timestamp {
        let now = self.clock.now().as_nanos();
        // ORDERING: Relaxed: the number publishes nothing else.
        let before = self.shown.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_nanos(before.max(now))
    }
}

impl<T: Timer> CachedClock<T> {
    /// Refreshes the clock at once and then every `resolution`, for as long as the future is
    /// driven.
    ///
    /// The resolution may be shorter than a refresh takes. This keeps a task or a thread busy, but
    /// each poll ends after two refreshes.
    ///
    /// The future never ends: `.await` it in a task, or `.wait()` for it on a thread of its own.
    /// Dropping it stops the clock.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the clock goes on showing its latest reading.
    ///
    /// # Panics
    ///
    /// Panics if `resolution` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{pin::pin, task::{Context, Waker}, time::Duration};
    /// use tidegate_core::{CachedClock, Clock, ManualClock, Timestamp};
    ///
    /// let hand = ManualClock::new();
    /// let clock = CachedClock::new(hand.clone());
    /// let mut fresh = pin!(clock.keep_fresh(Duration::from_millis(1)));
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(fresh.as_mut().poll(&mut cx).is_pending());
    /// hand.advance(Duration::from_secs(1));
    /// assert_eq!(clock.now(), Timestamp::ORIGIN);
    /// assert!(fresh.as_mut().poll(&mut cx).is_pending());
    /// assert_eq!(clock.now(), Timestamp::ORIGIN + Duration::from_secs(1));
    /// ```
    #[track_caller]
    pub fn keep_fresh(&self, resolution: Duration) -> KeepFresh<'_, T> {
        assert!(!resolution.is_zero(), "the resolution of a clock is above zero");
        KeepFresh { clock: self, resolution, sleep: None }
    }
}

impl<C> fmt::Debug for CachedClock<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ORDERING: Relaxed: a snapshot. The clock behind it is not asked.
        let shown = Timestamp::from_nanos(self.shown.load(Ordering::Relaxed));
        f.debug_struct("CachedClock").field("shown", &shown).finish_non_exhaustive()
    }
}

impl<C: Clock> Clock for CachedClock<C> {
    #[inline]
    fn now(&self) -> Timestamp {
        // ORDERING: Relaxed: as in `refresh`.
        Timestamp::from_nanos(self.shown.load(Ordering::Relaxed))
    }

    fn fresh_now(&self) -> Timestamp {
        self.refresh()
    }
}

impl<T: Timer + 'static> Timer for &'static CachedClock<T>
where
    T: Sync,
{
    type Sleep = CachedSleep<Self, T>;

    fn sleep_until(&self, time: Timestamp) -> Self::Sleep {
        CachedSleep { clock: self, sleep: self.clock.sleep_until(time) }
    }
}

impl<T: Timer + Send + Sync + 'static> Timer for Arc<CachedClock<T>> {
    type Sleep = CachedSleep<Self, T>;

    fn sleep_until(&self, time: Timestamp) -> Self::Sleep {
        CachedSleep { clock: self.clone(), sleep: self.clock.sleep_until(time) }
    }
}

pin_project! {
    /// Future of a [`CachedClock`]'s [`Timer::sleep_until`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct CachedSleep<P, T: Timer> {
        clock: P,
        #[pin]
        sleep: T::Sleep,
    }
}

impl<P: Deref<Target = CachedClock<T>>, T: Timer> Future for CachedSleep<P, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        ready!(this.sleep.poll(cx));
        // After this refresh, a sleeper that reads this clock finds that its time has come. Without
        // it, the sleeper would sleep again and again, for no time at all.
        this.clock.refresh();
        Poll::Ready(())
    }
}

impl<P, T: Timer> fmt::Debug for CachedSleep<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSleep").finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`CachedClock::keep_fresh`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct KeepFresh<'a, T: Timer> {
        clock: &'a CachedClock<T>,
        resolution: Duration,
        #[pin]
        sleep: Option<T::Sleep>,
    }
}

impl<T: Timer> Future for KeepFresh<'_, T> {
    type Output = Infallible;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Infallible> {
        let mut this = self.project();
        for _ in 0..ROUNDS {
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            this.clock.refresh();
            this.sleep.set(Some(this.clock.clock.sleep(*this.resolution)));
        }
        // The resolution is shorter than a round takes: let the executor's other tasks run in
        // between.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Timer> fmt::Debug for KeepFresh<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepFresh").field("resolution", &self.resolution).finish_non_exhaustive()
    }
}
