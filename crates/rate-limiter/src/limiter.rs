//! A limiter.

use core::{fmt, num::NonZeroU32, time::Duration};

use tidegate_core::{Clock, SystemClock, Timer, Timestamp, const_fn};

use crate::{
    acquire::Acquire,
    algorithm::{Algorithm, Ask},
    cell::{Cell, Shared},
    grant::{Grant, Refused},
    inherit::Inherit,
    limits::AllOf,
    quota::{Quota, QuotaError},
    reservation::Reservation,
    sliding_log::Log,
    sliding_window::TwoBuckets,
    stats::Stats,
    token_bucket::TokenBucket,
    window::{Book, Sliding, Window},
};

/// A limiter of any algorithm: hands tokens out no faster than its rule allows, at once or after a wait.
///
/// Use it through its names: [`RateLimiter`], [`SlidingLog`], [`SlidingWindow`].
///
/// A refusal costs a clock read and two loads, a grant a compare-and-swap more (the windows take a short lock instead);
/// both are counted in a counter of the calling thread's.
///
/// # Fairness
///
/// Those who wait are served strictly in the order of their first polls, however much they ask for. While anybody waits,
/// a newcomer's [`try_acquire`](Self::try_acquire) is refused, also if it would fit. Only the first in line keeps a
/// timer; if its task is not polled, those behind it wait.
///
/// # Time
///
/// The clock may be read by many threads and may stand still or go backward: that mints no tokens. `*_at` methods take
/// the time instead of reading it; all times given to one limiter must be of one clock.
///
/// # Examples
///
/// Tasks and threads wait on the same object, in one line:
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
///
/// static LIMITER: RateLimiter =
///     RateLimiter::new(Quota::expect(Quota::every(Duration::from_millis(1))));
///
/// let thread = std::thread::spawn(|| LIMITER.acquire(1).wait());
/// let task = async { LIMITER.acquire(1).await };
/// assert!(task.wait().is_ok());
/// assert!(thread.join().unwrap().is_ok());
/// assert_eq!(LIMITER.stats().allowed, 2);
/// ```
pub struct Limiter<A: Algorithm, C = SystemClock> {
    pub(crate) shared: Shared<A, C>,
    pub(crate) cell: Cell<A>,
}

/// A token bucket: a steady rate, and a burst after a time of rest.
///
/// For every interval of length `t`, what is granted in it is at most `rate·t + burst`; after a rest of `burst/rate`
/// exactly one burst is there. The rate is exact: in the long run not one token more, and none less.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let limiter = RateLimiter::with_clock(Quota::per_second(3)?.burst(2)?, clock.clone());
/// assert_eq!(limiter.try_acquire(1).unwrap().remaining(), 1);
/// assert_eq!(limiter.try_acquire(1).unwrap().remaining(), 0);
/// let refused = limiter.try_acquire(1).unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_nanos(333_333_334)));
/// clock.advance(Duration::from_secs(1));
/// assert!(limiter.try_acquire(2).is_ok());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub type RateLimiter<C = SystemClock> = Limiter<TokenBucket, C>;

/// An exact sliding window: at most `limit` tokens in any interval as long as the window.
///
/// Costs 16 bytes for each token in the window; see [`Log`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{ManualClock, SlidingLog};
///
/// let clock = ManualClock::new();
/// let limiter = SlidingLog::with_clock(2, Duration::from_secs(10), clock.clone())?;
/// assert!(limiter.try_acquire(1).is_ok());
/// clock.advance(Duration::from_secs(9));
/// assert!(limiter.try_acquire(1).is_ok());
/// let refused = limiter.try_acquire(1).unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub type SlidingLog<C = SystemClock> = Limiter<Sliding<Log>, C>;

/// An approximate sliding window in constant memory: two counters, as many services count; see [`TwoBuckets`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{ManualClock, SlidingWindow};
///
/// let clock = ManualClock::new();
/// let limiter = SlidingWindow::with_clock(4, Duration::from_secs(10), clock.clone())?;
/// assert!(limiter.try_acquire(4).is_ok());
/// // A quarter into the next window three of the four still count.
/// clock.advance(Duration::from_millis(12_500));
/// assert!(limiter.try_acquire(1).is_ok());
/// assert!(limiter.try_acquire(1).is_err());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub type SlidingWindow<C = SystemClock> = Limiter<Sliding<TwoBuckets>, C>;

/// Several limits on one object, all or nothing: 10 a second, and 500 an hour, and 5000 a day.
///
/// A request is granted if every limit grants it, and else takes nothing from any. It waits for the slowest of them. The
/// answer is that of the limit with the fewest tokens left. A short lock instead of one atomic step; see [`AllOf`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{Limits, ManualClock, Quota};
///
/// let clock = ManualClock::new();
/// let quotas = [Quota::per_second(2)?, Quota::per_hour(3)?];
/// let limits = Limits::of_with_clock(quotas, clock.clone());
/// assert_eq!(limits.try_acquire(2).unwrap().remaining(), 0);
/// clock.advance(Duration::from_secs(1));
/// // The hour has one left, the second two.
/// assert_eq!(limits.try_acquire(1).unwrap().limit(), 3);
/// assert_eq!(limits.try_acquire(1).unwrap_err().retry_after(), Some(Duration::from_secs(1199)));
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub type Limits<const N: usize, C = SystemClock> = Limiter<AllOf<N>, C>;

impl<const N: usize> Limits<N> {
    /// Creates a limiter with full buckets, one for each of the quotas, that reads the system's clock.
    ///
    /// `N = 0` does not compile.
    pub fn of(quotas: [Quota; N]) -> Self {
        Self::of_with_clock(quotas, SystemClock)
    }
}

impl<const N: usize, C> Limits<N, C> {
    /// Creates a limiter with full buckets, one for each of the quotas, that reads `clock`.
    pub fn of_with_clock(quotas: [Quota; N], clock: C) -> Self {
        Self { shared: Shared::new((), clock), cell: Cell::new(AllOf::new(quotas)) }
    }

    /// Returns the quotas.
    pub fn quotas(&self) -> [Quota; N] {
        self.cell.algorithm.quotas()
    }
}

impl RateLimiter {
    const_fn! {
        /// Creates a limiter with a full bucket that reads the system's clock. Does not allocate.
        pub fn new(quota: Quota) -> Self {
            Self::with_clock(quota, SystemClock)
        }
    }
}

impl<C> RateLimiter<C> {
    const_fn! {
        /// Creates a limiter with a full bucket that reads `clock`.
        pub fn with_clock(quota: Quota, clock: C) -> Self {
            Self { shared: Shared::new((), clock), cell: Cell::new(TokenBucket::new(quota)) }
        }
    }

    /// Returns the quota.
    pub fn quota(&self) -> Quota {
        self.cell.algorithm.quota()
    }

    /// The same as [`set_quota`](Self::set_quota) at a given time.
    pub fn set_quota_at(&self, quota: Quota, inherit: Inherit, now: Timestamp) {
        self.cell.algorithm.set_quota(quota, inherit, now);
        self.cell.announce();
    }

    /// The same as [`reserve`](Self::reserve) at a given time.
    ///
    /// # Errors
    ///
    /// As `reserve`.
    pub fn reserve_at(&self, n: u32, now: Timestamp) -> Result<Reservation<'_, C>, Refused> {
        let ask = Ask::exactly(n);
        let promise = self
            .shared
            .unless_waited_for(&self.cell, ask, now)
            .and_then(|()| self.cell.algorithm.reserve(n, now));
        let promise = self.shared.answer(ask, promise, now)?;
        Ok(Reservation::new(self, promise))
    }
}

impl<C: Clock> RateLimiter<C> {
    /// Changes the quota while the limiter is used. What is left or owed is taken over as `inherit` says.
    ///
    /// No request is counted half by the old quota and half by the new one. Who waits keeps its place; the first in line
    /// looks again at once, and who asks for more than the new burst is refused with [`Refused::TooMany`] when its turn
    /// comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Inherit, Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(10)?);
    /// assert!(limiter.try_acquire(10).is_ok());
    /// limiter.set_quota(Quota::per_hour(15)?, Inherit::Additive);
    /// assert!(limiter.try_acquire(5).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn set_quota(&self, quota: Quota, inherit: Inherit) {
        self.set_quota_at(quota, inherit, self.shared.clock.now());
    }

    /// Takes `n` tokens in advance, and says when the caller may use them. Never waits.
    ///
    /// Reservations and those who wait share one order: a reservation is refused while anybody waits, as it would take
    /// what those in line are going to get, and whoever comes after a reservation comes after its time.
    ///
    /// # Errors
    ///
    /// [`Refused::TooMany`] if `n` is above [`limit`](Self::limit); [`Refused::NotNow`] while others wait in line, with the
    /// time after which the tokens would be there.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter, Timestamp};
    ///
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1)?, ManualClock::new());
    /// let [first, second] = [limiter.reserve(1).unwrap(), limiter.reserve(1).unwrap()];
    /// assert_eq!(first.ready_at(), Timestamp::ORIGIN);
    /// assert_eq!(second.ready_at(), Timestamp::ORIGIN + Duration::from_secs(1));
    /// assert_eq!(second.cancel(), 1);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn reserve(&self, n: u32) -> Result<Reservation<'_, C>, Refused> {
        self.reserve_at(n, self.shared.clock.now())
    }
}

impl<B: Book> Limiter<Sliding<B>> {
    /// Creates a limiter of `limit` tokens, at least 1, per `window`, at least 1 ns, that reads the system's clock.
    ///
    /// # Errors
    ///
    /// [`QuotaError`] if one of them is zero.
    pub fn new(limit: u32, window: Duration) -> Result<Self, QuotaError> {
        Self::with_clock(limit, window, SystemClock)
    }
}

impl<B: Book, C> Limiter<Sliding<B>, C> {
    /// Creates a limiter of `limit` tokens, at least 1, per `window`, at least 1 ns, that reads `clock`.
    ///
    /// # Errors
    ///
    /// [`QuotaError`] if one of them is zero.
    pub fn with_clock(limit: u32, window: Duration, clock: C) -> Result<Self, QuotaError> {
        let window = Window::new(limit, window)?;
        Ok(Self { shared: Shared::new((), clock), cell: Cell::new(Sliding::new(window)) })
    }

    /// Changes the limit while the limiter is used. What was taken in the window still counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroU32, time::Duration};
    /// use tidegate_rate_limiter::SlidingLog;
    ///
    /// let limiter = SlidingLog::new(5, Duration::from_secs(3600))?;
    /// assert!(limiter.try_acquire(5).is_ok());
    /// limiter.set_limit(NonZeroU32::new(7).unwrap());
    /// assert!(limiter.try_acquire(2).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn set_limit(&self, limit: NonZeroU32) {
        self.cell.algorithm.set_limit(limit);
        self.cell.announce();
    }
}

impl<A: Algorithm, C: Clock> Limiter<A, C> {
    /// Takes `n` tokens if they are there and nobody waits. Never waits.
    ///
    /// `n = 0` takes nothing and asks whether there is a debt: it is refused while anybody waits and during a penalty. A
    /// penalized token bucket is out of debt one token's interval before its first token is there; a window is when the
    /// penalty ends.
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] says after how long to try again; [`Refused::TooMany`] if `n` is above
    /// [`limit`](Self::limit).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(100)?);
    /// assert_eq!(limiter.try_acquire(60).unwrap().remaining(), 40);
    /// assert!(limiter.try_acquire(60).unwrap_err().retry_after().is_some());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self, n: u32) -> Result<Grant, Refused> {
        self.try_acquire_at(n, self.shared.clock.now())
    }

    /// Takes as many tokens as are there, up to `n`, if there is one and nobody waits. Never waits.
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] says after how long one token is there.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(5)?);
    /// assert_eq!(limiter.try_acquire_up_to(3).unwrap().tokens(), 3);
    /// assert_eq!(limiter.try_acquire_up_to(3).unwrap().tokens(), 2);
    /// assert!(limiter.try_acquire_up_to(3).is_err());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn try_acquire_up_to(&self, n: u32) -> Result<Grant, Refused> {
        self.shared.try_acquire_at(&self.cell, Ask::up_to(n), self.shared.clock.now())
    }

    /// Takes `n` tokens, whether they are there or not: for what has happened already. Never waits, and never refuses.
    ///
    /// What is not there becomes a debt, which may go beyond the burst, and has to be paid before anybody gets more: also
    /// before those who wait. So an interval sees at most `rate·t + burst` and the debt made in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10)?, ManualClock::new());
    /// assert_eq!(limiter.consume_now(30).remaining(), 0);
    /// let refused = limiter.try_acquire(1).unwrap_err();
    /// assert_eq!(refused.retry_after(), Some(Duration::from_millis(2100)));
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn consume_now(&self, n: u32) -> Grant {
        self.consume_at(n, self.shared.clock.now())
    }

    /// Corrects what `grant` took to what it has cost, known only afterwards: the rest is refunded, what was too little is
    /// taken as a debt, as by [`consume_now`](Self::consume_now).
    ///
    /// A refund restores what would be missing still: a bucket that has been refilled since the grant gets nothing, however
    /// much is given back, and so does one whose quota was changed or that was penalized since. So no interval sees more than
    /// `rate·t + burst` of what was granted and kept.
    ///
    /// To be called once for a grant of this limiter. [`Admission::cost`](crate::Admission::cost) does it for a gate. The
    /// grant of a [reservation](Reservation::grant) is corrected after its time.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// // Tokens of a language model: the answer's length is known when it is there.
    /// let limiter = RateLimiter::new(Quota::per_hour(1000)?);
    /// let guess = limiter.try_acquire(400).unwrap();
    /// limiter.adjust(guess, 250);
    /// assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 750);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn adjust(&self, grant: Grant, cost: u32) {
        self.shared.adjust(&self.cell, &grant, cost, || self.shared.clock.now());
    }

    /// Grants nothing for `duration` from this call; see [`penalize_until`](Self::penalize_until).
    pub fn penalize_for(&self, duration: Duration) {
        self.penalize_until(self.shared.clock.deadline_after(duration));
    }
}

impl<A: Algorithm, C> Limiter<A, C> {
    /// The same as [`try_acquire`](Self::try_acquire) at a given time.
    ///
    /// # Errors
    ///
    /// As `try_acquire`.
    ///
    /// # Examples
    ///
    /// Without any clock:
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Timestamp};
    ///
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1)?, ());
    /// assert!(limiter.try_acquire_at(1, Timestamp::from_nanos(5)).is_ok());
    /// assert!(limiter.try_acquire_at(1, Timestamp::from_nanos(1_000_000_004)).is_err());
    /// assert!(limiter.try_acquire_at(1, Timestamp::from_nanos(1_000_000_005)).is_ok());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    #[inline]
    pub fn try_acquire_at(&self, n: u32, now: Timestamp) -> Result<Grant, Refused> {
        self.shared.try_acquire_at(&self.cell, Ask::exactly(n), now)
    }

    /// The same as [`consume_now`](Self::consume_now) at a given time.
    pub fn consume_at(&self, n: u32, now: Timestamp) -> Grant {
        self.shared.consume(&self.cell, n, now)
    }

    /// The same as [`adjust`](Self::adjust) at a given time.
    pub fn adjust_at(&self, grant: Grant, cost: u32, now: Timestamp) {
        self.shared.adjust(&self.cell, &grant, cost, || now);
    }

    /// Gives `n` tokens back that were taken just now and not used, and lets the first in line look again.
    ///
    /// The limiter does not know when they were taken. A bucket counts them as the latest that it granted: it is never
    /// filled beyond its burst, but tokens from before it was last full come back as if they were new. Where tokens are
    /// given back later, use [`adjust`](Self::adjust), which knows their age. A window counts them as its oldest, which can
    /// only restore less.
    ///
    /// Give back what was taken, and no more: what was never taken would be made up. A refund does not shorten a penalty, and
    /// does not make two bursts fall together at the time of a reservation.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(1)?);
    /// assert!(limiter.try_acquire(1).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// limiter.refund(1);
    /// assert!(limiter.try_acquire(1).is_ok());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn refund(&self, n: u32) {
        self.shared.refund(&self.cell, n);
    }

    /// Grants nothing before `time`, a time of the limiter's clock: for a server that says `Retry-After`.
    ///
    /// The later of two penalties counts. A token bucket begins with one token at `time` and then goes on at its rate,
    /// without a burst. [`Timestamp::NEVER`] stops the limiter for good.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10)?, clock.clone());
    /// limiter.penalize_for(Duration::from_secs(30));
    /// assert_eq!(limiter.try_acquire(1).unwrap_err().retry_after(), Some(Duration::from_secs(30)));
    /// clock.advance(Duration::from_secs(30));
    /// assert!(limiter.try_acquire(1).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn penalize_until(&self, time: Timestamp) {
        self.shared.block_until(&self.cell, time);
    }

    /// Returns the most tokens that can be taken at once: the burst of a quota, the limit of a window.
    pub fn limit(&self) -> u32 {
        self.cell.algorithm.limit(&self.shared.rule)
    }

    /// Returns the limiter's clock.
    pub const fn clock(&self) -> &C {
        &self.shared.clock
    }

    /// Returns what the limiter has done so far. A snapshot.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }
}

impl<A: Algorithm, C: Timer> Limiter<A, C> {
    /// Waits for `n` tokens, in line behind those who came before.
    ///
    /// Poll it until it is ready, or drop it: the tokens of the first in line are taken in its poll, so one that is kept and
    /// not polled (in a `select!` that goes on with something else, in a stream that is not asked for its next item) holds
    /// up all behind it. A wait with a bound, as of [`wait_timeout`](tidegate_core::Wait::wait_timeout) or
    /// [`or_timeout`](tidegate_core::Wait::or_timeout), gives its place up at its end.
    ///
    /// [`wait_timeout`](tidegate_core::Wait::wait_timeout) waits until its time is over, also where that is in vain, as the
    /// limiter knows nothing of it. [`or_refuse_after`](Acquire::or_refuse_after) tells the limiter, which then refuses at
    /// once what cannot be in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no trace: tokens are taken in the very poll that returns them. Who stood behind it moves
    /// up.
    ///
    /// # Errors
    ///
    /// [`Refused::TooMany`] at once if `n` is above [`limit`](Self::limit). [`Refused::NotNow`] only after
    /// [`or_refuse_after`](Acquire::or_refuse_after).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{Quota, RateLimiter, TimedOut, Wait};
    ///
    /// let limiter = RateLimiter::new(Quota::per_second(1000)?.burst(1)?);
    /// let start = std::time::Instant::now();
    /// for _ in 0..3 {
    ///     limiter.acquire(1).wait()?;
    /// }
    /// assert!(start.elapsed() >= Duration::from_millis(2));
    ///
    /// limiter.penalize_for(Duration::from_secs(3600));
    /// assert_eq!(limiter.acquire(1).wait_timeout(Duration::from_millis(1)), Err(TimedOut));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    pub fn acquire(&self, n: u32) -> Acquire<'_, A, C> {
        Acquire::new(&self.shared, &self.cell, Ask::exactly(n))
    }

    /// Waits for one token, in line, and then takes as many as are there, up to `n`.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] only after [`or_refuse_after`](Acquire::or_refuse_after).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
    ///
    /// let limiter = RateLimiter::new(Quota::per_second(1000)?.burst(3)?);
    /// let mut sent = 0;
    /// while sent < 10 {
    ///     let chunk = limiter.acquire_up_to(10 - sent).wait()?.tokens();
    ///     assert!((1..=3).contains(&chunk));
    ///     sent += chunk;
    /// }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    pub fn acquire_up_to(&self, n: u32) -> Acquire<'_, A, C> {
        Acquire::new(&self.shared, &self.cell, Ask::up_to(n))
    }
}

impl<A: Algorithm, C> fmt::Debug for Limiter<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("algorithm", &self.cell.algorithm)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
