//! A token bucket on one word.

use core::borrow::Borrow;

use tidegate_core::{
    Timestamp, const_fn,
    primitive::atomic::{AtomicU64, Ordering, fence},
};

use crate::{
    bucket_math::BucketMath,
    grant::{Denied, Grant, Request},
    quota::Quota,
};

/// The generic cell rate algorithm on one atomic word.
///
/// No thread fills the bucket. Its word is the *theoretical arrival time*: when the bucket would be
/// full again if no more were taken. Taking tokens moves it into the future by their cost; a
/// request that would move it further than a full bucket's worth beyond the present is denied.
///
/// ```text
///        now        word                now + depth
/// ────────┼──────────┼────────────────────────┼─────▶ time
///         └─ spent ──┴──────── left ──────────┘        idle: word ≤ now, everything is left
/// ```
///
/// | bits | meaning | changed by |
/// | --- | --- | --- |
/// | 0–62 | units: full up to the present, at the maximum blocked for ever | all, by CAS |
/// | 63, `LANE` | the quota's lane; with one lane, part of the units | [`change`](Self::change) |
///
/// Only a refund, the end of the last reservation, and a change of the quota or the origin move the
/// units down.
///
/// A caller that takes reads the word, then the quota of the word's lane, and then replaces the
/// word. If the quota was changed in between, the word names the other lane, so replacing it fails,
/// and what was read of the quota is thrown away. So no step mixes two quotas.
/// docs/decisions/0015-the-quota-in-two-lanes.md says what is left of the ABA problem.
#[derive(Debug, Default)]
pub(crate) struct Gcra<W = AtomicU64> {
    word: W,
}

/// The bit that names the lane where there are two.
pub(crate) const LANE: u64 = 1 << 63;

/// The word of a bucket without lanes whose quota is being changed.
pub(crate) const MOVING: u64 = u64::MAX - 1;

/// Where the quota of a word comes from.
pub(crate) trait QuotaSource {
    /// The bits of a word that name its lane.
    const LANES: u64;

    /// Returns the quota of lane 0 or 1. Called after the word was loaded with Acquire.
    fn lane_math(&self, lane: usize) -> BucketMath;

    /// Splits a word into the quota of its lane and the units at which the bucket is full.
    #[inline(always)]
    fn split(&self, word: u64) -> (BucketMath, u64) {
        (self.lane_math(usize::from(word & Self::LANES != 0)), word & !Self::LANES)
    }
}

/// A quota that does not change has one lane.
impl QuotaSource for Quota {
    const LANES: u64 = 0;

    #[inline]
    fn lane_math(&self, _lane: usize) -> BucketMath {
        self.math()
    }
}

impl Gcra {
    const_fn! {
        /// Creates a bucket in lane 0 that is full from `full_at` units on.
        pub(crate) fn new(full_at: u64) -> Self {
            Self { word: AtomicU64::new(full_at) }
        }
    }
}

impl<'a> Gcra<&'a AtomicU64> {
    /// Returns the bucket whose word is kept elsewhere; zero is a full bucket.
    #[inline(always)]
    pub(crate) const fn of(word: &'a AtomicU64) -> Self {
        Self { word }
    }
}

impl<W: Borrow<AtomicU64>> Gcra<W> {
    /// Returns the burst of the present quota. A snapshot.
    pub(crate) fn burst(&self, source: &impl QuotaSource) -> u32 {
        source.split(self.load()).0.burst
    }

    /// Takes what is requested, if it is available.
    ///
    /// Inlined with all that it calls, so that a grant or a denial stays in registers.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        source: &impl QuotaSource,
        request: Request,
        now: Timestamp,
    ) -> Result<Grant, Denied> {
        match self.try_take(source, request, now) {
            Some(taken) => taken,
            None => self.retry_take(source, request, now),
        }
    }

    #[cold]
    #[inline(never)]
    fn retry_take(
        &self,
        source: &impl QuotaSource,
        request: Request,
        now: Timestamp,
    ) -> Result<Grant, Denied> {
        loop {
            if let Some(taken) = self.try_take(source, request, now) {
                return taken;
            }
        }
    }

    /// Does what [`take`](Self::take) does, in one attempt. Returns `None`, with nothing taken, if
    /// another caller has changed the word meanwhile, or spuriously.
    #[inline(always)]
    pub(crate) fn try_take<S: QuotaSource>(
        &self,
        source: &S,
        request: Request,
        now: Timestamp,
    ) -> Option<Result<Grant, Denied>> {
        // Does not call `split`, so that the compiler keeps more in registers.
        let word = self.load();
        let math = source.lane_math(usize::from(word & S::LANES != 0));
        match math.take(word & !S::LANES, request, now) {
            Ok((next, grant)) => self.replace(S::LANES, word, next).ok().map(|()| Ok(grant)),
            Err(denied) => self.confirm(word).ok().map(|()| Err(denied)),
        }
    }

    /// Returns why a newcomer's request is denied while waiters need `queued` tokens.
    #[cold]
    pub(crate) fn deny_behind(
        &self,
        source: &impl QuotaSource,
        request: Request,
        queued: u64,
        now: Timestamp,
    ) -> Denied {
        let mut word = self.load();
        loop {
            let (math, full_at) = source.split(word);
            match self.confirm(word) {
                Ok(()) => {
                    let ready_at = |n| math.ready_at(full_at, n, now);
                    return Denied::behind(queued, request.least, math.burst, ready_at);
                }
                Err(found) => word = found,
            }
        }
    }

    /// Takes `n` tokens even if they are not available. `None` if the word is at the end of time,
    /// or its numbers do not cover `now`.
    pub(crate) fn force_take(
        &self,
        source: &impl QuotaSource,
        n: u32,
        now: Timestamp,
    ) -> Option<Grant> {
        let step = |math: &BucketMath, full_at| {
            if full_at == math.end || !math.covers(now) {
                return (full_at, None);
            }
            let (next, grant) = math.force_take(full_at, n, now);
            (next, Some(grant))
        };
        self.update(source, step).1
    }

    /// Refunds `n` tokens as if they were the latest.
    ///
    /// However far a word falls behind the present, it means a full bucket: a refund cannot
    /// overfill it. A bucket that is blocked for ever stays so.
    pub(crate) fn refund(&self, source: &impl QuotaSource, n: u32) {
        self.update(source, |math, full_at| {
            let price = if full_at == math.end { 0 } else { math.price(n) };
            (full_at.saturating_sub(price), ())
        });
    }

    /// Refunds `n` tokens of `grant` at `now`, except those that were refilled since; see
    /// [`BucketMath::refundable_by_age`]. Refunds nothing if the quota was changed since.
    ///
    /// `now` is called after the word is read: an earlier time would make the tokens look younger
    /// than they are.
    pub(crate) fn refund_grant(
        &self,
        source: &impl QuotaSource,
        grant: &Grant,
        n: u32,
        now: impl Fn() -> Timestamp,
    ) {
        self.update(source, |math, full_at| {
            let is_by_this_quota = grant.epoch == math.epoch.id;
            let missing =
                if is_by_this_quota { math.refundable_by_age(grant, n, now()) } else { 0 };
            (if full_at == math.end { full_at } else { full_at.saturating_sub(missing) }, ())
        });
    }

    /// Grants nothing before `time`.
    pub(crate) fn block_until(&self, source: &impl QuotaSource, time: Timestamp) {
        self.update(source, |math, full_at| (full_at.max(math.blocked_until(time)), ()));
    }

    /// Moves the word up to `full_at`, if it is below. Returns the new units.
    pub(crate) fn raise(&self, source: &impl QuotaSource, full_at: u64) -> u64 {
        self.update(source, |_, found| (found.max(full_at), ())).0
    }

    /// Returns the units of the word, whichever lane it is in.
    pub(crate) fn units(&self) -> u64 {
        self.load() & !LANE
    }

    /// Replaces the units in the same lane if they are `found`. Returns whether it did; it may also
    /// fail spuriously.
    pub(crate) fn exchange(&self, found: u64, full_at: u64) -> bool {
        let word = self.load();
        word & !LANE == found && self.replace(LANE, word, full_at).is_ok()
    }

    /// Writes units in the same lane. Returns the old ones.
    pub(crate) fn swap(&self, full_at: u64) -> u64 {
        let mut word = self.load();
        while let Err(found) = self.replace(LANE, word, full_at) {
            word = found;
        }
        word & !LANE
    }

    /// Moves the word to the other lane: `convert` is given the present lane and its units, writes
    /// the quota of the other lane, and returns the units there. For one caller at a time.
    pub(crate) fn change(&self, convert: impl Fn(usize, u64) -> u64) {
        let mut word = self.load();
        loop {
            let next = convert(usize::from(word & LANE != 0), word & !LANE);
            // ORDERING: Release: pairs with the Acquire of all readers of the word, so that they
            // see the lane's quota. Acquire: pairs with the Release of the callers that took by the
            // old quota: they have read it before the next change overwrites its lane. Relaxed on
            // failure: no other caller changes the quota.
            match self.word.borrow().compare_exchange(
                word,
                next | (!word & LANE),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
    }

    /// Replaces a word without lanes by what `convert` returns for it. `convert` may write the
    /// quota: meanwhile the word is [`MOVING`]. For one caller at a time.
    pub(crate) fn convert(&self, convert: impl FnOnce(u64) -> u64) {
        // ORDERING: Acquire: pairs with the Release of the callers that took by the old quota: they
        // have read it before `convert` overwrites it. Release: a caller that finds the mark sees
        // what was written before it.
        let found = self.word.borrow().swap(MOVING, Ordering::AcqRel);
        let next = convert(found);
        // ORDERING: Release: pairs with the Acquire of all readers of the word, so that they see
        // the new quota.
        self.word.borrow().store(next, Ordering::Release);
    }

    /// Moves the word within its lane by `step`, which is given the quota and the units, and
    /// repeats that until no other caller has changed the word in between.
    #[inline]
    pub(crate) fn update<S: QuotaSource, R>(
        &self,
        source: &S,
        step: impl Fn(&BucketMath, u64) -> (u64, R),
    ) -> (u64, R) {
        let mut word = self.load();
        loop {
            let (math, full_at) = source.split(word);
            let (next, result) = step(&math, full_at);
            match self.replace(S::LANES, word, next) {
                Ok(()) => return (next, result),
                Err(found) => word = found,
            }
        }
    }

    #[inline]
    fn load(&self) -> u64 {
        // ORDERING: Acquire: pairs with the Release in `change`: a reader of the word sees the
        // quota of its lane.
        self.word.borrow().load(Ordering::Acquire)
    }

    /// Replaces `word` by new units in the same lane, where `lanes` is the mask of the bits that
    /// name a lane. Fails with the word that is there, also spuriously.
    #[inline]
    fn replace(&self, lanes: u64, word: u64, full_at: u64) -> Result<(), u64> {
        // ORDERING: Release: the quota was read before the word is replaced; pairs with the Acquire
        // in `change`, whose caller overwrites the quota later. Acquire on failure: as `load`.
        self.word
            .borrow()
            .compare_exchange_weak(
                word,
                full_at | (word & lanes),
                Ordering::Release,
                Ordering::Acquire,
            )
            .map(drop)
    }

    /// Makes sure that the quota that was read belongs to `word`, without replacing the word. Fails
    /// with the word that is there, if it is another.
    #[inline]
    fn confirm(&self, word: u64) -> Result<(), u64> {
        // ORDERING: the fence pairs with the Release stores to a lane. A quota is overwritten only
        // after the word has changed. So had the caller read one of those stores, this load would
        // find a later word. The load is Acquire as in `load`, for the next attempt.
        fence(Ordering::Acquire);
        let found = self.word.borrow().load(Ordering::Acquire);
        if found == word { Ok(()) } else { Err(found) }
    }
}
