//! A token bucket on one word.

use core::borrow::Borrow;

use tidegate_core::{
    Timestamp, const_fn,
    primitive::atomic::{AtomicU64, Ordering, fence},
};

use crate::{
    algorithm::{Ask, Denied},
    grant::Grant,
    quota::Quota,
    terms::Terms,
};

/// The generic cell rate algorithm on one atomic word.
///
/// The bucket is not filled by anybody. Its word is the *theoretical arrival time*: when the bucket would be full again
/// if nobody took more. Taking tokens moves it into the future by their cost; a request that would move it further than
/// a full bucket's worth beyond the present is refused.
///
/// ```text
///        now        word                now + depth
/// ────────┼──────────┼────────────────────────┼─────▶ time
///         └─ spent ──┴──────── left ──────────┘        idle: word ≤ now, everything is left
/// ```
///
/// | bits | meaning | changed by |
/// | --- | --- | --- |
/// | 0–62 | units of the lane's pace: at most now means full, the last one blocked for ever | CAS to take, owe, block and give back; only giving back moves it down |
/// | 63, `LANE` | by which of two quotas the word counts; where there is but one, it belongs to the units | [`change`](Self::change) alone |
///
/// Who takes reads the word, then the terms that its lane has, and then replaces the word. If the quota was changed in
/// between, the word is another one, the replacing fails, and whatever was read of the terms is thrown away. So a step is
/// never half of one quota and half of another. What is left of the ABA problem is
/// [decision 15](https://github.com/tidegate/tidegate/blob/main/docs/decisions/0015-the-quota-in-two-lanes.md).
#[derive(Debug, Default)]
pub(crate) struct Gcra<W = AtomicU64> {
    word: W,
}

/// What names the lane where there are two.
pub(crate) const LANE: u64 = 1 << 63;

/// Where the terms of a word come from.
pub(crate) trait Source {
    /// The bits of a word that name its lane.
    const LANES: u64;

    /// Returns the terms of a lane: 0 or 1. Called after the word was read, with Acquire.
    fn terms(&self, lane: usize) -> Terms;
}

/// A quota that does not change has one lane.
impl Source for Quota {
    const LANES: u64 = 0;

    #[inline]
    fn terms(&self, _lane: usize) -> Terms {
        self.terms()
    }
}

#[inline]
fn lane_of<S: Source>(_source: &S, word: u64) -> usize {
    usize::from(word & S::LANES != 0)
}

#[inline]
fn units_of<S: Source>(_source: &S, word: u64) -> u64 {
    word & !S::LANES
}

impl Gcra {
    const_fn! {
        /// Creates a bucket in lane 0 that is full at `full_at` units, and was not before.
        pub(crate) fn new(full_at: u64) -> Self {
            Self { word: AtomicU64::new(full_at) }
        }
    }
}

impl<'a> Gcra<&'a AtomicU64> {
    /// Returns the bucket whose word is kept elsewhere; zero is a full one.
    #[inline(always)]
    pub(crate) const fn of(word: &'a AtomicU64) -> Self {
        Self { word }
    }
}

impl<W: Borrow<AtomicU64>> Gcra<W> {
    /// Returns the burst of the quota that counts. A snapshot.
    pub(crate) fn burst(&self, source: &impl Source) -> u32 {
        source.terms(lane_of(source, self.load())).burst
    }

    /// Takes what is asked for, if it is there.
    ///
    /// Inlined with what it calls, or else grants and refusals would go through memory on their way to a caller who only
    /// wants to know which it is.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        source: &impl Source,
        ask: Ask,
        now: Timestamp,
    ) -> Result<Grant, Denied> {
        match self.try_take(source, self.load(), ask, now) {
            Ok(taken) => taken,
            Err(found) => self.take_again(source, found, ask, now),
        }
    }

    /// As [`take`](Self::take), but `None` if another caller has come in between.
    #[inline(always)]
    pub(crate) fn take_once(
        &self,
        source: &impl Source,
        ask: Ask,
        now: Timestamp,
    ) -> Option<Result<Grant, Denied>> {
        self.try_take(source, self.load(), ask, now).ok()
    }

    /// Goes on with a word that another caller has put down.
    #[cold]
    #[inline(never)]
    fn take_again(
        &self,
        source: &impl Source,
        mut word: u64,
        ask: Ask,
        now: Timestamp,
    ) -> Result<Grant, Denied> {
        loop {
            match self.try_take(source, word, ask, now) {
                Ok(taken) => return taken,
                Err(found) => word = found,
            }
        }
    }

    /// Takes by `word`, or returns what is there instead of it.
    #[inline(always)]
    fn try_take(
        &self,
        source: &impl Source,
        word: u64,
        ask: Ask,
        now: Timestamp,
    ) -> Result<Result<Grant, Denied>, u64> {
        let terms = source.terms(lane_of(source, word));
        match terms.take(units_of(source, word), ask, now) {
            Ok((next, grant)) => self.replace(source, word, next).map(|()| Ok(grant)),
            Err(denied) => self.confirm(word).map(|()| Err(denied)),
        }
    }

    /// Says why `ask` is not granted while `wanted` tokens are waited for.
    #[cold]
    pub(crate) fn behind(
        &self,
        source: &impl Source,
        ask: Ask,
        wanted: u64,
        now: Timestamp,
    ) -> Denied {
        let mut word = self.load();
        loop {
            let terms = source.terms(lane_of(source, word));
            match self.confirm(word) {
                Ok(()) if ask.least > terms.burst => return Denied::Beyond(terms.burst),
                Ok(()) => {
                    let n = wanted.saturating_add(ask.least.into());
                    return Denied::Until(terms.due(units_of(source, word), n, wanted, now));
                }
                Err(found) => word = found,
            }
        }
    }

    /// Takes `n` tokens, whether they are there or not. `None` if the word is at the end of time, or does not reach as far as
    /// `now`.
    pub(crate) fn owe(&self, source: &impl Source, n: u32, now: Timestamp) -> Option<Grant> {
        let owe = |terms: &Terms, full_at| {
            if full_at == terms.end || !terms.reaches(now) {
                return (full_at, None);
            }
            let (next, grant) = terms.owe(full_at, n, now);
            (next, Some(grant))
        };
        self.update(source, owe).1
    }

    /// Takes `n` tokens back as if they were the latest.
    ///
    /// A word that falls behind the present means a full bucket, however far: this cannot overfill it. One that is
    /// blocked for ever stays so.
    pub(crate) fn give_back(&self, source: &impl Source, n: u32) {
        self.update(source, |terms, full_at| {
            let price = if full_at == terms.end { 0 } else { terms.price(n) };
            (full_at.saturating_sub(price), ())
        });
    }

    /// Takes `n` tokens of `grant` back that come at `now`, as far as they are still missing; see
    /// [`Terms::lacking_by_age`].
    ///
    /// `now` is asked for when the word is known: what was taken later than that would make the tokens look younger than they
    /// are.
    pub(crate) fn give_back_of(
        &self,
        source: &impl Source,
        grant: &Grant,
        n: u32,
        now: impl Fn() -> Timestamp,
    ) {
        let mut word = self.load();
        loop {
            let (terms, full_at) = (source.terms(lane_of(source, word)), units_of(source, word));
            let lacking = terms.lacking_by_age(grant, n, now());
            let next = if full_at == terms.end { full_at } else { full_at.saturating_sub(lacking) };
            match self.replace(source, word, next) {
                Ok(()) => return,
                Err(found) => word = found,
            }
        }
    }

    /// Grants nothing before `time`.
    pub(crate) fn block_until(&self, source: &impl Source, time: Timestamp) {
        self.update(source, |terms, full_at| (full_at.max(terms.blocked_until(time)), ()));
    }

    /// Moves the word up to `full_at`, if it is below.
    pub(crate) fn raise(&self, source: &impl Source, full_at: u64) {
        self.update(source, |_, found| (found.max(full_at), ()));
    }

    /// Returns the units of the word, for a caller that keeps all others from changing its lane.
    pub(crate) fn units(&self) -> u64 {
        self.load() & !LANE
    }

    /// Replaces the units `found`, in the same lane; returns whether they were there.
    pub(crate) fn exchange(&self, found: u64, full_at: u64) -> bool {
        let word = self.load();
        word & !LANE == found && self.replace_units(LANE, word, full_at).is_ok()
    }

    /// Puts units down in the same lane; returns those that were there.
    pub(crate) fn put(&self, full_at: u64) -> u64 {
        let mut word = self.load();
        while let Err(found) = self.replace_units(LANE, word, full_at) {
            word = found;
        }
        word & !LANE
    }

    /// Lets the word count by the other lane's terms from here on: `convert` is given the present lane and its units,
    /// puts the terms down in the other lane, and returns the units there. For one caller at a time.
    pub(crate) fn change(&self, convert: impl Fn(usize, u64) -> u64) {
        let mut word = self.load();
        loop {
            let next = convert(usize::from(word & LANE != 0), word & !LANE);
            // ORDERING: Release: pairs with the Acquire of all who read the word, so that they see the lane's terms.
            // Acquire: pairs with the Release of those who took by the old terms: they have read them before the other
            // lane is written again. Relaxed on failure: nobody else changes the terms.
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

    pub(crate) fn is_idle(&self, source: &impl Source, now: Timestamp) -> bool {
        let word = self.load();
        units_of(source, word) <= source.terms(lane_of(source, word)).present(now)
    }

    /// Moves the word within its lane by `step`, which is given the terms and the units, until it is done.
    #[inline]
    pub(crate) fn update<R>(
        &self,
        source: &impl Source,
        step: impl Fn(&Terms, u64) -> (u64, R),
    ) -> (u64, R) {
        let mut word = self.load();
        loop {
            let (next, result) = step(&source.terms(lane_of(source, word)), units_of(source, word));
            match self.replace(source, word, next) {
                Ok(()) => return (next, result),
                Err(found) => word = found,
            }
        }
    }

    #[inline]
    fn load(&self) -> u64 {
        // ORDERING: Acquire: pairs with the Release in `change`: who sees a word sees the terms of its lane.
        self.word.borrow().load(Ordering::Acquire)
    }

    /// Puts new units down in the same lane.
    #[inline]
    fn replace<S: Source>(&self, _source: &S, word: u64, full_at: u64) -> Result<(), u64> {
        self.replace_units(S::LANES, word, full_at)
    }

    #[inline]
    fn replace_units(&self, lanes: u64, word: u64, full_at: u64) -> Result<(), u64> {
        // ORDERING: Release: the terms were read before the word was replaced; pairs with the Acquire in `change`, whose
        // caller overwrites them later. Acquire on failure: as `load`.
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

    /// Makes sure that the terms that were read belong to `word`, without replacing it.
    #[inline]
    fn confirm(&self, word: u64) -> Result<(), u64> {
        // ORDERING: the fence pairs with the Release stores to a lane: had one of them been read, then the load would
        // find the word of the change before it. The load is Acquire as in `load`, for the next turn.
        fence(Ordering::Acquire);
        let found = self.word.borrow().load(Ordering::Acquire);
        if found == word { Ok(()) } else { Err(found) }
    }
}
