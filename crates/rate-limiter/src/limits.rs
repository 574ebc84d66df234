//! Several limits at once.

use core::fmt;

use tidegate_core::{SystemClock, Timestamp, lock::Lock};

use crate::{
    algorithm::TokenCounter,
    bucket_math::BucketMath,
    grant::{Denied, Grant, Request},
    limiter::Limiter,
    quota::Quota,
    refunded::Refunded,
    state::{LimiterState, Shared},
};

/// Several limits on one object, all or nothing: 10 a second, and 500 an hour, and 5000 a day.
///
/// A request is granted if every limit grants it; otherwise it takes tokens from none. It waits for
/// the slowest limit. A grant states the limit, the remaining tokens and the reset of the quota
/// with the fewest tokens left; a refusal states the least burst. A call takes a short lock instead
/// of one atomic step.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{Limits, ManualClock, Quota};
///
/// let clock = ManualClock::new();
/// let quotas = [Quota::per_second(2), Quota::per_hour(3)];
/// let limits = Limits::with_clock(quotas, clock.clone());
/// assert_eq!(limits.try_acquire(2).unwrap().remaining(), 0);
/// clock.advance(Duration::from_secs(1));
/// // The hour has one left, the second two.
/// assert_eq!(limits.try_acquire(1).unwrap().limit(), 3);
/// let refused = limits.try_acquire(1).unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_secs(1199)));
/// ```
pub type Limits<const N: usize, C = SystemClock> = Limiter<AllOf<N>, C>;

impl<const N: usize> Limits<N> {
    /// Creates a limiter with one full bucket per quota that reads the system's clock.
    ///
    /// `N = 0` does not compile.
    pub fn new(quotas: [Quota; N]) -> Self {
        Self::with_clock(quotas, SystemClock)
    }
}

impl<const N: usize, C> Limits<N, C> {
    /// Creates a limiter with one full bucket per quota that reads `clock`.
    pub fn with_clock(quotas: [Quota; N], clock: C) -> Self {
        Self { shared: Shared::new((), clock), state: LimiterState::new(AllOf::new(quotas)) }
    }

    /// Returns the quotas.
    pub fn quotas(&self) -> [Quota; N] {
        self.state.algorithm.quotas()
    }
}

/// Several token buckets behind a short lock. A request takes tokens from all of them or from none;
/// see [`Limits`].
pub struct AllOf<const N: usize> {
    quotas: [Quota; N],
    state: Lock<State<N>>,
}

/// The buckets. A request takes the same number of tokens from each, so they share one axis of
/// granted tokens.
#[derive(Debug)]
struct State<const N: usize> {
    buckets: [Bucket; N],
    /// How many tokens were taken: the top of the axis.
    taken: u64,
    refunded: Refunded,
    /// The latest time of a call.
    now: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    math: BucketMath,
    full_at: u64,
    /// The position on the axis up to which nothing can be refunded, as the bucket was full or was
    /// penalized after those tokens were taken.
    refilled: u64,
}

impl Bucket {
    const fn new(quota: &Quota) -> Self {
        Self { math: quota.fine_math(), full_at: 0, refilled: 0 }
    }

    /// Moves the origin if the numbers do not cover `time`.
    fn extend_to(&mut self, time: Timestamp) {
        if !self.math.covers(time) && time != Timestamp::NEVER {
            let math = self.math.around(time);
            self.full_at = self.math.rebase(self.full_at, &math);
            self.math = math;
        }
    }

    /// Takes `n` tokens even if they are not available. `before` tokens were taken before them.
    fn force_take(&mut self, n: u32, before: u64, now: Timestamp) -> Grant {
        if self.full_at <= self.math.present(now) {
            self.refilled = before;
        }
        let (next, mut grant) = self.math.force_take(self.full_at, n, now);
        self.full_at = next;
        (grant.position, grant.epoch) = (before + u64::from(n), 1);
        grant
    }

    /// Refunds `n` tokens that end at `position`. `above` tokens were taken later and not refunded.
    fn refund(&mut self, position: u64, n: u64, above: u64, refunded: &Refunded, now: Timestamp) {
        if self.full_at == self.math.end || position <= self.refilled {
            return;
        }
        let n = n.min((position - self.refilled) - refunded.within(self.refilled, position));
        let price = |n: u64| self.math.time_units.cost.saturating_mul(n);
        let number = self.full_at.saturating_sub(price(above));
        let missing = number.saturating_sub(self.math.present(now));
        if missing >= price(n) {
            self.full_at -= price(n);
        } else {
            // Time has refilled a part of them, and all tokens taken before.
            self.full_at -= missing;
            self.refilled = position;
        }
    }
}

impl<const N: usize> State<N> {
    fn extend_to(&mut self, time: Timestamp) {
        self.buckets.iter_mut().for_each(|bucket| bucket.extend_to(time));
    }

    fn denied(&self, request: Request, limit: u32, queued: u64, now: Timestamp) -> Denied {
        Denied::behind(queued, request.least, limit, |n| {
            let ready = self.buckets.iter().map(|it| it.math.ready_at(it.full_at, n, now));
            ready.max().unwrap_or(now)
        })
    }

    fn force_take(&mut self, n: u32, now: Timestamp) -> Option<Grant> {
        let before = self.taken;
        self.taken += u64::from(n);
        let mut tightest: Option<Grant> = None;
        for bucket in &mut self.buckets {
            let grant = bucket.force_take(n, before, now);
            let tighter = tightest.filter(|other| other.remaining() <= grant.remaining());
            tightest = Some(tighter.unwrap_or(grant));
        }
        tightest
    }

    /// Refunds the latest `n` tokens up to `position` that were not refunded before.
    fn refund(&mut self, position: u64, n: u64) {
        let above = (self.taken - position) - self.refunded.above(position);
        for bucket in &mut self.buckets {
            bucket.refund(position, n, above, &self.refunded, self.now);
        }
        self.refunded.add(position, n);
        let refilled = self.buckets.iter().map(|bucket| bucket.refilled).min();
        self.refunded.forget_up_to(refilled.unwrap_or(0));
    }
}

impl<const N: usize> AllOf<N> {
    pub(crate) fn new(quotas: [Quota; N]) -> Self {
        const { assert!(N > 0, "no limit is no limiter") };
        let buckets = quotas.map(|quota| Bucket::new(&quota));
        let refunded = Refunded::new();
        let state = State { buckets, taken: 0, refunded, now: Timestamp::ORIGIN };
        Self { quotas, state: Lock::new(state) }
    }

    pub(crate) fn quotas(&self) -> [Quota; N] {
        self.quotas
    }

    /// Runs `f` on the state as of `now`.
    fn at<R>(&self, now: Timestamp, f: impl FnOnce(&mut State<N>) -> R) -> R {
        self.state.with(|state| {
            state.now = state.now.max(now);
            state.extend_to(now);
            f(state)
        })
    }
}

impl<const N: usize> TokenCounter for AllOf<N> {
    type Rule = ();

    fn limit(&self, (): &()) -> u32 {
        self.quotas.iter().map(Quota::max_burst).min().unwrap_or(u32::MAX)
    }

    fn take(&self, (): &(), request: Request, now: Timestamp) -> Result<Grant, Denied> {
        let limit = self.limit(&());
        self.at(now, |state| {
            // Finds the most tokens that every bucket has, and then takes that many from each.
            let granted = state.buckets.iter().try_fold(request.most, |most, bucket| {
                let taken = bucket.math.take(bucket.full_at, Request { most, ..request }, now);
                taken.ok().map(|(_, grant)| grant.tokens)
            });
            let grant = granted.and_then(|tokens| state.force_take(tokens, now));
            grant.ok_or_else(|| state.denied(request, limit, 0, now))
        })
    }

    fn deny_behind(&self, (): &(), request: Request, queued: u64, now: Timestamp) -> Denied {
        let limit = self.limit(&());
        self.at(now, |state| state.denied(request, limit, queued, now))
    }

    fn force_take(&self, (): &(), n: u32, now: Timestamp) -> Grant {
        self.at(now, |state| state.force_take(n, now)).expect("there is at least one limit")
    }

    fn refund(&self, (): &(), n: u32) {
        self.state.with(|state| {
            // The age of the tokens is unknown: refund them as if time had refilled none.
            let now = core::mem::replace(&mut state.now, Timestamp::ORIGIN);
            state.refund(state.taken, n.into());
            state.now = now;
        });
    }

    fn refund_grant(&self, (): &(), grant: &Grant, n: u32, now: impl Fn() -> Timestamp) {
        self.at(now(), |state| {
            if grant.position <= state.taken {
                let low = grant.position.saturating_sub(grant.tokens.into());
                let left = u64::from(grant.tokens) - state.refunded.within(low, grant.position);
                state.refund(grant.position, left.min(n.into()));
            }
        });
    }

    fn block_until(&self, (): &(), time: Timestamp) {
        self.state.with(|state| {
            state.extend_to(time);
            for bucket in &mut state.buckets {
                bucket.full_at = bucket.full_at.max(bucket.math.blocked_until(time));
                bucket.refilled = state.taken;
            }
        });
    }
}

impl<const N: usize> fmt::Debug for AllOf<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllOf").field("quotas", &self.quotas).finish_non_exhaustive()
    }
}
