//! Which calls enter.

use core::time::Duration;

use tidegate_core::{Clock, Timestamp, primitive::atomic::Ordering};

use super::{Blocked, Entered, Machine, WRITTEN_OFF};
use crate::{
    error::{Refused, RefusedReason},
    observer::{Observer, Transition},
    state::State,
    word::Word,
};

/// A call that was let in, or `None` if the state has changed on the way and has to be read again.
type Answer<'a, C, O> = Option<Entered<'a, C, O>>;

impl<C: Clock, O: Observer> Machine<C, O> {
    /// Lets the caller in, or refuses it, counts the refusal and notifies the observer.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Entered<'_, C, O>, Refused> {
        let word = self.load();
        // `Entered` is put together only here: so, in a plain call, its parts stay in registers.
        let (stamp, started) = if word.admits_untimed() {
            (word.stamp(), Timestamp::ORIGIN)
        } else {
            if word.state() == State::Open {
                if let Some(left) = self.refuse_while_open() {
                    return Err(Refused { reason: RefusedReason::Open, retry_after: Some(left) });
                }
            }
            self.enter_cold(word)?
        };
        Ok(Entered::new(self, stamp, started))
    }

    /// Refuses a caller as [`refuse`](Self::refuse) does, and returns how long the breaker stays
    /// open; returns `None`, and refuses nothing, if the open time is over. It returns a duration
    /// and not a [`Refused`], which would be returned through memory.
    #[inline(never)]
    fn refuse_while_open(&self) -> Option<Duration> {
        match self.open_is_over() {
            Ok(_) => None,
            Err(blocked) => self.refuse(blocked).retry_after,
        }
    }

    #[cold]
    #[inline(never)]
    fn enter_cold(&self, word: Word) -> Result<(Word, Timestamp), Refused> {
        self.admit_cold(word).map(Entered::into_parts).map_err(|blocked| self.refuse(blocked))
    }

    /// Lets the caller in, or says why not. That is not counted as a refusal yet.
    pub(crate) fn admit(&self) -> Result<Entered<'_, C, O>, Blocked> {
        let word = self.load();
        if word.admits_untimed() {
            return Ok(Entered::new(self, word.stamp(), Timestamp::ORIGIN));
        }
        self.admit_cold(word)
    }

    /// Lets the caller in, or not, by the state in `word`; starts again if the state has changed
    /// meanwhile.
    fn admit_cold(&self, mut word: Word) -> Result<Entered<'_, C, O>, Blocked> {
        loop {
            let answer = match word.state() {
                State::Open => {
                    let seen = self.open_is_over()?;
                    let is_timed =
                        word.is_timed() || self.config().settings.probe_timeout.is_some();
                    self.half_open(word, if is_timed { self.clock.fresh_now() } else { seen })
                }
                State::HalfOpen => self.probe(word)?,
                State::ForcedOpen => return Err(Blocked::by(RefusedReason::ForcedOpen)),
                State::Closed | State::ForcedClosed | State::ObserveOnly => self.admit_timed(word),
            };
            match answer {
                Some(entered) => return Ok(entered),
                None => word = self.load(),
            }
        }
    }

    /// Lets the caller in when `word` lets every call in, unless slow calls in flight make the
    /// breaker trip.
    fn admit_timed(&self, word: Word) -> Answer<'_, C, O> {
        let now = if word.is_timed() { self.clock.fresh_now() } else { Timestamp::ORIGIN };
        let config = self.config();
        let Some(in_flight) = &config.in_flight else {
            return Some(Entered::new(self, word.stamp(), now));
        };
        let is_watched = word.state() != State::ForcedClosed;
        if is_watched && in_flight.is_due(now) && self.is_met(&self.snapshot(word, now)) {
            self.trip(word, now, None);
            return None;
        }
        let (shard, start) = in_flight.enter(word.generation(), now);
        Some(Entered::new(self, word.with_shard(shard), start))
    }

    /// Returns the time if the open time is over, else why the caller may not enter.
    #[inline]
    fn open_is_over(&self) -> Result<Timestamp, Blocked> {
        // ORDERING: Relaxed: `open_until` is at least as new as the word, whose Acquire load made
        // it visible. If a later trip has set it already, `half_open` finds another generation.
        let until = Timestamp::from_nanos(self.open_until.load(Ordering::Relaxed));
        let seen = self.clock.now();
        if seen < until {
            return Err(Blocked { reason: RefusedReason::Open, until: Some(until), seen });
        }
        Ok(seen)
    }

    /// Lets the caller in as a probe if there is a free slot.
    fn probe(&self, word: Word) -> Result<Answer<'_, C, O>, Blocked> {
        let config = self.config();
        if let Some(timeout) = config.settings.probe_timeout {
            return self.probe_in_time(word, timeout);
        }
        if word.probes() >= config.settings.probes {
            return Err(Blocked::by(RefusedReason::Probing));
        }
        let now = if word.is_timed() { self.clock.fresh_now() } else { Timestamp::ORIGIN };
        let entered = self.replace(word, word.with_probes(word.probes() + 1));
        Ok(entered.ok().map(|()| Entered::new(self, word.stamp(), now)))
    }

    /// Lets the caller in as a probe that may take `timeout`. If a probe in flight has taken that
    /// long, the breaker trips instead.
    fn probe_in_time(&self, word: Word, timeout: Duration) -> Result<Answer<'_, C, O>, Blocked> {
        // The clock is foreign code, so it is read before the lock is taken.
        let now = self.clock.fresh_now();
        let found = self.schedule.with(|schedule| {
            let current = self.load();
            if current.generation() != word.generation() {
                return Found::Changed;
            }
            let due = schedule.probes.first_due(timeout);
            if due.is_some_and(|due| due <= now) {
                let overdue = schedule.probes.overdue(timeout, now);
                return Found::Overdue(overdue, self.open(schedule, now, None));
            }
            if current.probes() >= self.config().settings.probes {
                return Found::Full(due);
            }
            self.update(|word| word.with_probes(word.probes() + 1));
            schedule.probes.add(now);
            Found::Slot
        });
        match found {
            Found::Changed => Ok(None),
            Found::Overdue(probes, transition) => {
                self.tally.add(WRITTEN_OFF, probes);
                self.announce(&transition);
                Ok(None)
            }
            Found::Full(until) => Err(Blocked { reason: RefusedReason::Probing, until, seen: now }),
            Found::Slot => Ok(Some(Entered::new(self, word.stamp(), now))),
        }
    }
}

/// What a caller that wants to be a probe finds.
enum Found {
    Changed,
    /// So many probes had taken too long, and the breaker has tripped.
    Overdue(u64, Transition),
    /// No slot is free. At this time the first probe is overdue, unless a probe ends before; `None`
    /// if all probes are paused.
    Full(Option<Timestamp>),
    Slot,
}
