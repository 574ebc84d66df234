//! What an outcome changes.

use core::time::Duration;

use tidegate_core::{Clock, Outcome, primitive::atomic::Ordering};

use super::{FAILURES, IGNORED, LATE, Machine, SUCCESSES};
use crate::{Observer, State, Transition, word::Word};

impl<C: Clock, O: Observer> Machine<C, O> {
    /// Settles the call that entered with `ticket`.
    #[inline]
    pub(crate) fn settle(&self, ticket: Word, outcome: Outcome) {
        match outcome {
            Outcome::Success if self.window.is_none() && self.still_is(ticket) => {
                self.tally.add(SUCCESSES, 1);
            }
            Outcome::Ignored if ticket.admits_all() => self.tally.add(IGNORED, 1),
            _ => self.settle_slow(ticket, outcome, None),
        }
    }

    /// Settles a failure after which the breaker opens for `open_for`, whatever the rule says.
    #[cold]
    pub(crate) fn fail_and_open(&self, ticket: Word, open_for: Duration) {
        self.settle_slow(ticket, Outcome::Failure, Some(open_for));
    }

    fn settle_slow(&self, ticket: Word, outcome: Outcome, open_for: Option<Duration>) {
        if ticket.state() == State::HalfOpen {
            return self.settle_probe(ticket, outcome, open_for);
        }
        let failed = outcome == Outcome::Failure;
        let Some(streak) = self.count_streak(ticket, failed) else {
            return self.tally.add(LATE, 1);
        };
        self.tally.add(if failed { FAILURES } else { SUCCESSES }, 1);
        if ticket.state() == State::ForcedClosed {
            return;
        }
        let now = self.window_time();
        if let Some(window) = &self.window {
            window.record(ticket.generation(), failed, now);
        }
        if failed {
            let figures = self.figures(ticket.with_streak(streak), now);
            if open_for.is_some() || self.settings.rule.trips(&figures) {
                self.trip(ticket, open_for);
            }
        }
    }

    /// Counts an outcome in the word and returns the streak of failures; `None` if the ticket's generation is over.
    fn count_streak(&self, ticket: Word, failed: bool) -> Option<u32> {
        let mut word = self.load();
        loop {
            if word.generation() != ticket.generation() {
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

    #[cold]
    fn settle_probe(&self, ticket: Word, outcome: Outcome, open_for: Option<Duration>) {
        // Foreign code, so before the lock.
        let now = self.clock.now();
        let settled = self.schedule.with(|schedule| {
            let word = self.load();
            if word.generation() != ticket.generation() {
                return Settled::Late;
            }
            let streak = word.streak() + u32::from(outcome == Outcome::Success);
            match outcome {
                // A probe that decides keeps its place until it has: nobody becomes a probe of a state that is over.
                Outcome::Failure => Settled::Moved(self.open(schedule, now, open_for)),
                Outcome::Success if streak >= self.settings.close_after => {
                    self.update(|word| word.with_streak(streak));
                    schedule.trips = 0;
                    Settled::Moved(self.advance(State::Closed, now, None))
                }
                _ => {
                    self.update(|word| word.with_probes(word.probes() - 1).with_streak(streak));
                    Settled::FreedPlace
                }
            }
        });
        self.tally.add(
            match (outcome, &settled) {
                (Outcome::Ignored, _) => IGNORED,
                (_, Settled::Late) => LATE,
                (Outcome::Success, _) => SUCCESSES,
                (Outcome::Failure, _) => FAILURES,
            },
            1,
        );
        match settled {
            Settled::Late => {}
            Settled::FreedPlace => self.changed.notify(1),
            Settled::Moved(transition) => self.announce(&transition),
        }
    }

    /// Returns whether the word is what it was when `ticket` was given, with nothing counted since.
    ///
    /// It is not for a probe's ticket: that probe is counted.
    #[inline]
    fn still_is(&self, ticket: Word) -> bool {
        // ORDERING: Relaxed: nothing is read that the word publishes, and the caller sees its own past anyway.
        self.word.load(Ordering::Relaxed) == ticket.bits()
    }

    /// Changes the counts. Under the schedule's lock, where no generation ends.
    fn update(&self, change: impl Fn(Word) -> Word) {
        let mut word = self.load();
        while let Err(found) = self.replace(word, change(word)) {
            word = found;
        }
    }
}

/// How a settled probe left the machine.
enum Settled {
    Late,
    FreedPlace,
    Moved(Transition),
}
