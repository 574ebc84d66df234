//! What an outcome changes.

use core::{mem::ManuallyDrop, time::Duration};

use tidegate_core::{Clock, Outcome, Timestamp, primitive::atomic::Ordering, unwind::contain};

use super::{FAILURES, IGNORED, LATE, Machine, SLOW, SUCCESSES};
use crate::{
    observer::{Observer, Transition},
    state::State,
    unwind::{contain_if_unwinding, finally_with, is_unwinding},
    window::Call,
    word::Word,
};

impl<C: Clock, O: Observer> Machine<C, O> {
    /// Settles the call that entered with `stamp`. `started` matters only if calls are timed or
    /// probes have a timeout.
    #[inline]
    pub(crate) fn settle(&self, stamp: Word, started: Timestamp, outcome: Outcome) {
        match outcome {
            Outcome::Success if stamp.settles_by_count() && self.still_is(stamp) => {
                self.tally.add(SUCCESSES, 1);
            }
            _ => self.settle_cold(stamp, started, outcome),
        }
    }

    /// Settles a failure that trips the breaker, whatever the rule says, unless it is forced
    /// closed. `open_for` is the open time.
    #[cold]
    pub(crate) fn fail_and_open(&self, stamp: Word, started: Timestamp, open_for: Duration) {
        if is_unwinding() {
            return self.settle_contained(stamp, started, Outcome::Failure, Some(open_for));
        }
        self.settle_any(stamp, started, Outcome::Failure, Some(open_for));
    }

    #[cold]
    #[inline(never)]
    fn settle_cold(&self, stamp: Word, started: Timestamp, outcome: Outcome) {
        if outcome == Outcome::Ignored && stamp.admits_untimed() {
            return self.tally.add(IGNORED, 1);
        }
        if is_unwinding() {
            return self.settle_contained(stamp, started, outcome, None);
        }
        self.settle_any(stamp, started, outcome, None);
    }

    /// Settles a call while its thread unwinds. A panic of foreign code ends here, because a second
    /// one would abort the process.
    #[cold]
    #[inline(never)]
    fn settle_contained(
        &self,
        stamp: Word,
        started: Timestamp,
        outcome: Outcome,
        open_for: Option<Duration>,
    ) {
        contain(|| self.settle_any(stamp, started, outcome, open_for));
    }

    #[inline(always)]
    fn settle_any(
        &self,
        stamp: Word,
        started: Timestamp,
        outcome: Outcome,
        open_for: Option<Duration>,
    ) {
        if !stamp.admits_all() {
            return self.settle_probe(stamp, started, outcome, open_for);
        }
        // Take the call out of those in flight before the window counts it: counted in both, it
        // might trip the breaker.
        if let Some(in_flight) = self.config().in_flight.as_ref().filter(|_| !stamp.is_paused()) {
            in_flight.leave(stamp.generation(), stamp.shard(), started);
        }
        if outcome == Outcome::Ignored {
            return self.tally.add(IGNORED, 1);
        }
        let failed = outcome == Outcome::Failure;
        let Some(streak) = self.count_streak(stamp, failed) else {
            return self.tally.add(LATE, 1);
        };
        let word = stamp.with_streak(streak);
        let counted = Counted { machine: self, word, started, failed, open_for };
        let now = if stamp.is_timed() { self.clock.fresh_now() } else { self.snapshot_time() };
        counted.settle(now);
    }

    /// Counts an outcome in the word and returns the new streak of failures; `None` if the stamp's
    /// generation is over.
    fn count_streak(&self, stamp: Word, failed: bool) -> Option<u32> {
        let mut word = self.load();
        loop {
            if word.generation() != stamp.generation() {
                return None;
            }
            let streak = if failed { word.streak() + 1 } else { 0 };
            let new = word.with_streak(streak);
            if new == word {
                return Some(streak);
            }
            match self.replace(word, new) {
                Ok(()) => return Some(streak),
                Err(found) => word = found,
            }
        }
    }

    fn settle_probe(
        &self,
        stamp: Word,
        started: Timestamp,
        outcome: Outcome,
        open_for: Option<Duration>,
    ) {
        // ORDERING: Relaxed: this is at least as new as the open time that the stamp's word
        // published.
        let open_ended = Timestamp::from_nanos(self.open_until.load(Ordering::Relaxed));
        let settle = |now| {
            let call = Call {
                failed: outcome == Outcome::Failure,
                slow: outcome != Outcome::Ignored && self.was_slow(stamp, started, now),
            };
            let has_failed =
                call.failed || call.slow && self.config().settings.rule.fails_slow_probes();
            let settled = self.schedule.with(|schedule| {
                let word = self.load();
                if word.generation() != stamp.generation() {
                    return Settled::Late;
                }
                if has_failed {
                    // A probe that ends the half-open state keeps its slot until the state has
                    // changed, so that no caller becomes a probe of a generation that is ending.
                    return Settled::Moved(self.open(schedule, now, open_for));
                }
                let streak = word.streak() + u32::from(outcome == Outcome::Success);
                if outcome == Outcome::Success && streak >= self.config().settings.close_after {
                    self.update(|word| word.with_streak(streak));
                    return Settled::Moved(self.close(schedule, now, None));
                }
                if !stamp.is_paused() {
                    schedule.probes.remove(started);
                }
                self.update(|word| word.with_probes(word.probes() - 1).with_streak(streak));
                Settled::FreedSlot
            });
            match (outcome, &settled) {
                (Outcome::Ignored, _) => self.tally.add(IGNORED, 1),
                (_, Settled::Late) => self.tally.add(LATE, 1),
                _ => self.count(call),
            }
            match settled {
                Settled::Late => {}
                Settled::FreedSlot => self.may_enter.notify(1),
                Settled::Moved(transition) => self.announce(&transition),
            }
        };
        // The clock is foreign code, so it is read before `settle` takes the lock.
        finally_with(|| self.clock.fresh_now(), started.max(open_ended), settle);
    }

    #[cold]
    #[inline(never)]
    fn settle_without_clock(
        &self,
        word: Word,
        started: Timestamp,
        failed: bool,
        open_for: Option<Duration>,
    ) {
        let counted = Counted { machine: self, word, started, failed, open_for };
        contain_if_unwinding(|| counted.settle(started));
    }

    #[inline(always)]
    fn was_slow(&self, stamp: Word, started: Timestamp, now: Timestamp) -> bool {
        stamp.is_timed() && !stamp.is_paused() && {
            let threshold = self.config().settings.rule.threshold();
            threshold.is_some_and(|threshold| now.since(started) > threshold)
        }
    }

    #[inline(always)]
    fn count(&self, call: Call) {
        self.tally.add(if call.failed { FAILURES } else { SUCCESSES }, 1);
        if call.slow {
            self.tally.add(SLOW, 1);
        }
    }

    /// Returns whether the word equals `stamp`: the same generation, and no failure in the streak.
    ///
    /// Never true for a probe's stamp: the word counts the probe, the stamp does not.
    #[inline]
    fn still_is(&self, stamp: Word) -> bool {
        // ORDERING: Relaxed: nothing is read that the word publishes, and a thread sees its own
        // earlier writes anyway.
        self.word.load(Ordering::Relaxed) == stamp.bits()
    }
}

/// How a settled probe left the machine.
enum Settled {
    Late,
    FreedSlot,
    Moved(Transition),
}

/// A call that is counted in the word's streak and not settled yet. `word` is its stamp with that
/// streak. If the clock panics, the drop settles the call as if it had ended when it started.
struct Counted<'a, C: Clock, O: Observer> {
    machine: &'a Machine<C, O>,
    word: Word,
    started: Timestamp,
    failed: bool,
    open_for: Option<Duration>,
}

impl<C: Clock, O: Observer> Counted<'_, C, O> {
    #[inline(always)]
    fn settle(self, now: Timestamp) {
        // It is not dropped, since the drop would settle it again.
        ManuallyDrop::new(self).settle_at(now);
    }

    #[inline(always)]
    fn settle_at(&self, now: Timestamp) {
        let Self { machine, word, started, failed, open_for } = *self;
        let call = Call { failed, slow: machine.was_slow(word, started, now) };
        machine.count(call);
        if word.state() == State::ForcedClosed {
            return;
        }
        let config = machine.config();
        if let Some(window) = &config.window {
            window.record(word.generation(), call, now);
        }
        if open_for.is_some() {
            return machine.trip(word, now, open_for);
        }
        if failed || call.slow || config.settings.predicate.is_some() {
            let snapshot = machine.snapshot(word, now);
            if machine.is_met(&snapshot) {
                machine.trip(word, now, None);
            }
        }
    }
}

impl<C: Clock, O: Observer> Drop for Counted<'_, C, O> {
    // The fields go by value into a function that is hardly ever called: as long as it is not
    // called, they stay in registers.
    #[inline(always)]
    fn drop(&mut self) {
        let Self { machine, word, started, failed, open_for } = *self;
        machine.settle_without_clock(word, started, failed, open_for);
    }
}
