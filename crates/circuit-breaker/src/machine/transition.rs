//! How the state changes, and which waiters and observers are notified.

use core::time::Duration;

use tidegate_core::{Clock, Timestamp, primitive::atomic::Ordering, random::Random};

use super::{Entered, Machine, Schedule, TRIPS};
use crate::{
    observer::{Observer, Transition},
    state::State,
    unwind::{finally, finally_with},
    word::Word,
};

impl<C: Clock, O: Observer> Machine<C, O> {
    /// Trips unless the generation of `stamp` is over. If the clock panics, `known` is used as the
    /// time.
    #[cold]
    pub(super) fn trip(&self, stamp: Word, known: Timestamp, open_for: Option<Duration>) {
        finally_with(
            || self.clock.fresh_now(),
            known,
            |now| {
                let moved = self.schedule.with(|schedule| {
                    // Another caller that saw the rule met in this generation may have tripped
                    // already.
                    let is_current = self.load().generation() == stamp.generation();
                    is_current.then(|| self.open(schedule, now, open_for))
                });
                if let Some(transition) = moved {
                    self.announce(&transition);
                }
            },
        );
    }

    /// Goes half-open from `open`, whose time is over, and lets the caller in as the first probe;
    /// `None` if another caller has changed the state before.
    #[cold]
    pub(super) fn half_open(&self, open: Word, now: Timestamp) -> Option<Entered<'_, C, O>> {
        let transition = self.schedule.with(|schedule| {
            if self.load().generation() != open.generation() {
                return None;
            }
            let transition = self.advance(schedule, State::HalfOpen, now, None);
            if self.config().settings.probe_timeout.is_some() {
                schedule.probes.add(now);
            }
            Some(transition)
        })?;
        // Made before any notification: if a waker or the observer panics, its drop frees the slot.
        let entered = Entered::new(self, open.next(State::HalfOpen), now);
        self.announce(&transition);
        Some(entered)
    }

    /// Puts the breaker in `state`, whatever state it is in, and notifies the observer by `notify`.
    pub(crate) fn force(&self, state: State, notify: fn(&O, &Transition)) {
        // A clock that panics does not keep the breaker from changing its state.
        finally_with(
            || self.snapshot_time(),
            Timestamp::ORIGIN,
            |now| {
                let transition = self.schedule.with(|schedule| {
                    schedule.trips = 0;
                    self.advance(schedule, state, now, None)
                });
                finally(|| self.notify(state), || notify(&self.observer, &transition));
            },
        );
    }

    /// Wakes the watchers and the callers that wait to enter, even if a waker panics on the way.
    fn notify(&self, to: State) {
        let wake_waiters = || match to {
            // The first probe has a slot; wake as many waiters as there are other slots. The sleeps
            // of the rest end by themselves: the open time is over.
            State::HalfOpen => self.may_enter.notify(self.config().settings.probes as usize - 1),
            _ => self.may_enter.notify_all(),
        };
        finally(wake_waiters, || self.state_changed.notify_all());
    }

    /// Trips, for the open time `asked`, or else that of the settings. Instead of opening, a
    /// breaker that only observes stays in its state, and one whose registry's limit is reached
    /// becomes closed. Under the schedule's lock.
    pub(super) fn open(
        &self,
        schedule: &mut Schedule,
        now: Timestamp,
        asked: Option<Duration>,
    ) -> Transition {
        let open_for = asked.unwrap_or_else(|| {
            let of_trip = Random::new(self.seed ^ now.as_nanos()).next_u64();
            let noise = Random::new(of_trip ^ schedule.draws).next_u64();
            schedule.draws += 1;
            self.config().settings.open_for.after(schedule.trips, noise)
        });
        if self.load().state() == State::ObserveOnly {
            return self.advance(schedule, State::ObserveOnly, now, Some(open_for));
        }
        let until = now + open_for;
        let membership = schedule.membership.as_mut();
        if !membership.is_none_or(|membership| membership.try_open(now, until)) {
            return self.close(schedule, now, Some(open_for));
        }
        schedule.trips = schedule.trips.saturating_add(u32::from(asked.is_none()));
        // ORDERING: Relaxed: published by `swap`.
        self.open_until.store(until.as_nanos(), Ordering::Relaxed);
        self.advance(schedule, State::Open, now, Some(open_for))
    }

    /// Closes. `withheld` is the open time of a trip that the registry's limit has prevented. Under
    /// the schedule's lock.
    pub(super) fn close(
        &self,
        schedule: &mut Schedule,
        now: Timestamp,
        withheld: Option<Duration>,
    ) -> Transition {
        schedule.trips = 0;
        self.advance(schedule, State::Closed, now, withheld)
    }

    /// Changes the state to `to` and returns the transition. Under the schedule's lock.
    fn advance(
        &self,
        schedule: &mut Schedule,
        to: State,
        now: Timestamp,
        open_for: Option<Duration>,
    ) -> Transition {
        // Before the swap: the first call of the next generation clears the window.
        let mut snapshot = self.snapshot(self.load(), now);
        let (old, new) = self.next_generation(schedule, to);
        snapshot.set_streak(old);
        Transition {
            from: old.state(),
            to,
            generation: new.generation(),
            window: snapshot,
            open_for,
        }
    }

    /// Enters the next generation; returns the old word and the new. Under the schedule's lock.
    fn next_generation(&self, schedule: &mut Schedule, to: State) -> (Word, Word) {
        schedule.probes.clear();
        if to != State::Open {
            if let Some(membership) = &mut schedule.membership {
                membership.leave_open();
            }
        }
        let probes = u32::from(to == State::HalfOpen);
        let new = self.load().next(to).with_probes(probes);
        (self.swap(new), new)
    }

    /// Begins the generation of `new`; returns the word before. Under the schedule's lock.
    pub(super) fn swap(&self, new: Word) -> Word {
        // ORDERING: Release publishes `open_until` and the configuration. The mode and generation
        // it replaces are those that the caller has loaded, because the lock is held; the counts
        // may be newer, and publish nothing.
        Word::from_bits(self.word.swap(new.bits(), Ordering::Release))
    }

    /// Notifies waiters and the observer of a change. No lock may be held.
    pub(super) fn announce(&self, transition: &Transition) {
        if transition.open_for.is_some() {
            self.tally.add(TRIPS, 1);
        }
        // The waiters first; even if a waker panics, the observer is notified.
        finally(|| self.notify(transition.to), || transition.notify(&self.observer));
    }
}
