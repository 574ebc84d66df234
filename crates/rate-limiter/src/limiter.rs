//! A limiter.

use core::{fmt, time::Duration};

use tidegate_core::{Clock, SystemClock, Timer, Timestamp};

use crate::{
    acquire::Acquire,
    algorithm::Algorithm,
    grant::{Grant, Refused, Request},
    state::{LimiterState, Shared, StateRef},
    stats::{Counter, Stats},
};

/// A limiter of any algorithm: grants tokens no faster than its rule allows, at once or after a
/// wait.
///
/// Use it under the name of one algorithm: [`RateLimiter`](crate::RateLimiter),
/// [`SlidingLog`](crate::SlidingLog), [`SlidingWindow`](crate::SlidingWindow),
/// [`Limits`](crate::Limits).
///
/// A token bucket's refusal costs a clock read and two loads of its word; its grant costs a
/// compare-and-swap in place of the second load. [`Limits`](crate::Limits) and the windows take a
/// short lock instead. Each answer also adds to a counter; with std, threads that contend have
/// counters of their own.
///
/// # Fairness
///
/// Waiters are served strictly in the order of their first polls, whatever they request. While a
/// caller waits, a newcomer's [`try_acquire`](Self::try_acquire) is refused even if its tokens are
/// available. Only the head of the queue keeps a timer. If its task is not polled, the waiters
/// behind it wait.
///
/// # Time
///
/// Many threads may read the clock, and it may stand still or go backward: that mints no tokens.
/// The `*_at` methods take the time as an argument. All times of one limiter must be of one clock.
///
/// # Examples
///
/// Tasks and threads wait on the same object, in one queue:
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
///
/// static LIMITER: RateLimiter =
///     RateLimiter::new(Quota::every(Duration::from_millis(1)));
///
/// let thread = std::thread::spawn(|| LIMITER.acquire(1).wait());
/// let task = async { LIMITER.acquire(1).await };
/// assert!(task.wait().is_ok());
/// assert!(thread.join().unwrap().is_ok());
/// assert_eq!(LIMITER.stats().allowed, 2);
/// ```
pub struct Limiter<A: Algorithm, C = SystemClock> {
    pub(crate) shared: Shared<A, C>,
    pub(crate) state: LimiterState<A>,
}

impl<A: Algorithm, C: Clock> Limiter<A, C> {
    /// Takes `n` tokens if they are available and no caller waits. Never waits.
    ///
    /// `n = 0` takes nothing and checks for a debt: it is refused while there is one, while a
    /// caller waits and during a penalty. For such a request, the penalty of a window ends on time,
    /// and that of a token bucket one token's interval early.
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
    /// let limiter = RateLimiter::new(Quota::per_hour(100));
    /// assert_eq!(limiter.try_acquire(60).unwrap().remaining(), 40);
    /// assert!(limiter.try_acquire(60).unwrap_err().retry_after().is_some());
    /// ```
    #[inline]
    pub fn try_acquire(&self, n: u32) -> Result<Grant, Refused> {
        self.try_acquire_at(n, self.shared.clock.now())
    }

    /// Takes all available tokens, up to `n` and at least one, if no caller waits. Never waits.
    /// `n = 0` is as in [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] says after how long one token is available.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(5));
    /// assert_eq!(limiter.try_acquire_up_to(3).unwrap().tokens(), 3);
    /// assert_eq!(limiter.try_acquire_up_to(3).unwrap().tokens(), 2);
    /// assert!(limiter.try_acquire_up_to(3).is_err());
    /// ```
    pub fn try_acquire_up_to(&self, n: u32) -> Result<Grant, Refused> {
        self.state_ref().try_acquire_at(Request::up_to(n), self.shared.clock.now())
    }

    /// Takes `n` tokens even if they are not available, for something that has already happened.
    /// Never waits, and never refuses.
    ///
    /// The missing tokens become a debt, which may be larger than the burst. Until time has paid it
    /// off, no caller gets tokens, not even one that waits already. So an interval of length `t`
    /// sees at most `rate·t + burst` tokens plus the debt made in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
    ///
    /// let quota = Quota::per_second(10);
    /// let limiter = RateLimiter::with_clock(quota, ManualClock::new());
    /// assert_eq!(limiter.consume_now(30).remaining(), 0);
    /// let refused = limiter.try_acquire(1).unwrap_err();
    /// assert_eq!(refused.retry_after(), Some(Duration::from_millis(2100)));
    /// ```
    pub fn consume_now(&self, n: u32) -> Grant {
        self.consume_at(n, self.shared.clock.now())
    }

    /// Corrects what `grant` took to the actual cost, which is known only afterwards. Tokens that
    /// were not needed are refunded; missing ones are taken as a debt, as by
    /// [`consume_now`](Self::consume_now).
    ///
    /// A refund restores only what time has not refilled since the grant. In a token bucket it
    /// restores nothing if the quota was changed or the limiter penalized since. So no interval
    /// sees more than `rate·t + burst` of the tokens that were granted and not refunded.
    ///
    /// Call it at most once for each grant, on the limiter that has granted it; for the grant of a
    /// [reservation](crate::Reservation::grant), call it after the reservation's time. For a pass
    /// of a gate, [`Admission::cost`](crate::Admission::cost) does it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// // Tokens of a language model: the length of the answer is known afterwards.
    /// let limiter = RateLimiter::new(Quota::per_hour(1000));
    /// let guess = limiter.try_acquire(400).unwrap();
    /// limiter.adjust(guess, 250);
    /// assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 750);
    /// ```
    pub fn adjust(&self, grant: Grant, cost: u32) {
        self.state_ref().adjust(&grant, cost, || self.shared.clock.now());
    }

    /// Grants nothing for `duration` from this call; see [`penalize_until`](Self::penalize_until).
    pub fn penalize_for(&self, duration: Duration) {
        self.penalize_until(self.shared.clock.deadline_after(duration));
    }
}

impl<A: Algorithm, C> Limiter<A, C> {
    /// Does the same as [`try_acquire`](Self::try_acquire) at a given time.
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
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1), ());
    /// let times = [5, 1_000_000_004, 1_000_000_005];
    /// let [first, early, late] = times.map(Timestamp::from_nanos);
    /// assert!(limiter.try_acquire_at(1, first).is_ok());
    /// assert!(limiter.try_acquire_at(1, early).is_err());
    /// assert!(limiter.try_acquire_at(1, late).is_ok());
    /// ```
    #[inline]
    pub fn try_acquire_at(&self, n: u32, now: Timestamp) -> Result<Grant, Refused> {
        self.state_ref().try_acquire_at(Request::exactly(n), now)
    }

    /// Does the same as [`consume_now`](Self::consume_now) at a given time.
    pub fn consume_at(&self, n: u32, now: Timestamp) -> Grant {
        self.shared.counters.add(Counter::Allowed, 1);
        self.state.algorithm.force_take(&self.shared.rule, n, now)
    }

    /// Does the same as [`adjust`](Self::adjust) at a given time.
    pub fn adjust_at(&self, grant: Grant, cost: u32, now: Timestamp) {
        self.state_ref().adjust(&grant, cost, || now);
    }

    /// Refunds `n` tokens that were taken just now and not used, and wakes the head of the queue.
    ///
    /// The limiter does not know when the tokens were taken. A bucket treats them as the latest
    /// that it granted: it is never filled beyond its burst, but tokens that time has refilled
    /// already are restored once more. To refund tokens later, use [`adjust`](Self::adjust), which
    /// knows their age. A window treats them as the oldest that it still counts, which can only
    /// restore less.
    ///
    /// Refund only what was taken: a larger refund would mint tokens. A refund does not shorten a
    /// penalty. At the time of a reservation, at most one burst is available in all, the reserved
    /// tokens included, whatever was refunded before.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// assert!(limiter.try_acquire(1).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// limiter.refund(1);
    /// assert!(limiter.try_acquire(1).is_ok());
    /// ```
    pub fn refund(&self, n: u32) {
        self.state_ref().refund(n);
    }

    /// Grants nothing before `time`, a time of the limiter's clock. Call it when a server has
    /// answered with `Retry-After`.
    ///
    /// The later of two penalties counts. A token bucket begins with one token at `time` and
    /// continues at its rate, without a burst. [`Timestamp::NEVER`] stops the limiter for good. In
    /// a token bucket, tokens that were taken before the call are not refunded any more, as that
    /// might shorten the penalty.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10), clock.clone());
    /// limiter.penalize_for(Duration::from_secs(30));
    /// let refused = limiter.try_acquire(1).unwrap_err();
    /// assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)));
    /// clock.advance(Duration::from_secs(30));
    /// assert!(limiter.try_acquire(1).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// ```
    pub fn penalize_until(&self, time: Timestamp) {
        self.state_ref().block_until(time);
    }

    /// Returns the most tokens that can be taken at once: the burst of a quota, the limit of a
    /// window, the least burst of several quotas.
    pub fn limit(&self) -> u32 {
        self.state.algorithm.limit(&self.shared.rule)
    }

    /// Returns the limiter's clock.
    pub const fn clock(&self) -> &C {
        &self.shared.clock
    }

    /// Returns the statistics of the limiter. A snapshot.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }

    #[inline]
    pub(crate) fn state_ref(&self) -> StateRef<'_, A, C> {
        self.shared.with(&self.state)
    }
}

impl<A: Algorithm, C: Timer> Limiter<A, C> {
    /// Waits for `n` tokens, in the queue behind earlier waiters.
    ///
    /// Poll the future until it is ready, or drop it. The head of the queue takes its tokens when
    /// it is polled. So a head that is kept and not polled holds up all waiters behind it: for
    /// example in a `select!` that continues with something else, or in a stream whose next item is
    /// not requested.
    ///
    /// [`wait_timeout`](tidegate_core::Wait::wait_timeout) and
    /// [`or_timeout`](tidegate_core::Wait::or_timeout) leave the queue when their timeout ends. The
    /// limiter does not know the timeout, so such a caller may wait in vain. With
    /// [`or_refuse_after`](Acquire::or_refuse_after) the limiter knows it, and refuses at once a
    /// request that it cannot grant in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no trace, as tokens are taken in the very poll that returns them.
    /// The waiters behind it in the queue move up.
    ///
    /// # Errors
    ///
    /// [`Refused::TooMany`] at once if `n` is above [`limit`](Self::limit). [`Refused::NotNow`]
    /// only if [`or_refuse_after`](Acquire::or_refuse_after) was called.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{Quota, RateLimiter, TimedOut, Wait};
    ///
    /// let limiter = RateLimiter::new(Quota::per_second(1000).burst(1));
    /// let start = std::time::Instant::now();
    /// for _ in 0..3 {
    ///     limiter.acquire(1).wait()?;
    /// }
    /// assert!(start.elapsed() >= Duration::from_millis(2));
    ///
    /// limiter.penalize_for(Duration::from_secs(3600));
    /// let waited = limiter.acquire(1).wait_timeout(Duration::from_millis(1));
    /// assert_eq!(waited, Err(TimedOut));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    pub fn acquire(&self, n: u32) -> Acquire<'_, A, C> {
        Acquire::new(self.state_ref(), Request::exactly(n))
    }

    /// Waits for one token, in the queue behind earlier waiters, and then takes all available
    /// tokens, up to `n`. `n = 0` waits until a debt or a penalty is over.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// [`Refused::NotNow`] only if [`or_refuse_after`](Acquire::or_refuse_after) was called.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
    ///
    /// let limiter = RateLimiter::new(Quota::per_second(1000).burst(3));
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
        Acquire::new(self.state_ref(), Request::up_to(n))
    }
}

impl<A: Algorithm, C> fmt::Debug for Limiter<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("algorithm", &self.state.algorithm)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
