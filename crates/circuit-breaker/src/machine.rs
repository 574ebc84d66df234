//! The state machine: who gets in, what an outcome changes, and who is told.
//!
//! ```text
//! enter, closed      one load
//! enter, open        one load, the clock; its time is over: lock ─▶ half-open, with the caller as first probe
//! enter, half-open   CAS: one probe more, up to the limit
//! settle, closed     one load; a success after a failure, or a failure: CAS the streak. The rule is met: lock ─▶ trip
//! settle, half-open  lock ─▶ one probe less ─▶ a failure: trip. enough successes: close
//! ```
//!
//! Mode and generation change only under the schedule's lock, by one swap of the word. What has to be said to others
//! (waiters, the observer) is said after the lock is open.

mod settle;

use core::time::Duration;

use tidegate_core::{
    Clock, Event, Tally, Timestamp,
    lock::Lock,
    primitive::atomic::{AtomicU64, Ordering},
};

use crate::{
    Observer, Pass, Refused, RefusedReason, Snapshot, State, Stats, Transition,
    builder::Settings,
    open_for::scatter,
    window::{Outcomes, Totals},
    word::Word,
};

#[derive(Debug)]
pub(crate) struct Machine<C, O> {
    /// See [`Word`]'s table.
    word: AtomicU64,
    // INVARIANT: while the word says `Open`, when that ends, in nanoseconds; set before the word, under the lock.
    open_until: AtomicU64,
    schedule: Lock<Schedule>,
    /// Notified once for a probe's place that became free, and all of them for a change of state.
    pub(crate) changed: Event,
    window: Option<Outcomes>,
    tally: Tally<6>,
    settings: Settings,
    pub(crate) clock: C,
    observer: O,
}

/// What the next open time depends on.
#[derive(Debug, Default)]
struct Schedule {
    /// Trips since the breaker was closed last.
    trips: u32,
    /// Open times drawn ever.
    draws: u64,
}

/// The counters of the tally.
const SUCCESSES: usize = 0;
const FAILURES: usize = 1;
const IGNORED: usize = 2;
const LATE: usize = 3;
const REFUSED: usize = 4;
const TRIPS: usize = 5;

/// Why somebody cannot enter now, and when that ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    pub(crate) reason: RefusedReason,
    pub(crate) until: Option<Timestamp>,
    seen: Timestamp,
}

impl Blocked {
    const fn by(reason: RefusedReason) -> Self {
        Self { reason, until: None, seen: Timestamp::ORIGIN }
    }
}

impl From<Blocked> for Refused {
    fn from(blocked: Blocked) -> Self {
        let retry_after = blocked.until.map(|until| until.since(blocked.seen));
        Self { reason: blocked.reason, retry_after }
    }
}

impl<C: Clock, O: Observer> Machine<C, O> {
    pub(crate) fn new(settings: Settings, clock: C, observer: O) -> Self {
        Self {
            word: AtomicU64::new(Word::INITIAL.bits()),
            open_until: AtomicU64::new(0),
            schedule: Lock::default(),
            changed: Event::new(),
            window: settings.rule.window().map(Outcomes::new),
            tally: Tally::new(),
            settings,
            clock,
            observer,
        }
    }

    /// Lets the caller in, or turns it away, counts that and tells the observer.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Pass<'_, C, O>, Refused> {
        self.admit().map_err(|blocked| self.refuse(blocked))
    }

    /// Lets the caller in, or says why not.
    #[inline]
    pub(crate) fn admit(&self) -> Result<Pass<'_, C, O>, Blocked> {
        let word = self.load();
        if word.admits_all() { Ok(self.pass(word)) } else { self.admit_guarded(word) }
    }

    /// Makes the pass of somebody whom `word` has let in.
    #[inline]
    fn pass(&self, word: Word) -> Pass<'_, C, O> {
        Pass::new(self, word.ticket())
    }

    #[cold]
    fn admit_guarded(&self, mut word: Word) -> Result<Pass<'_, C, O>, Blocked> {
        loop {
            match word.state() {
                State::Open => {
                    // ORDERING: Relaxed: at least as new as the word, whose Acquire load made it visible. If a later
                    // trip has set it already, it is right for that one, and `half_open` finds another generation.
                    let until = Timestamp::from_nanos(self.open_until.load(Ordering::Relaxed));
                    let seen = self.clock.now();
                    if seen < until {
                        let reason = RefusedReason::Open;
                        return Err(Blocked { reason, until: Some(until), seen });
                    }
                    if let Some(pass) = self.half_open(word, seen) {
                        return Ok(pass);
                    }
                    word = self.load();
                }
                State::HalfOpen if word.probes() >= self.settings.probes => {
                    return Err(Blocked::by(RefusedReason::Probing));
                }
                State::HalfOpen => match self.replace(word, word.with_probes(word.probes() + 1)) {
                    Ok(()) => return Ok(self.pass(word)),
                    Err(found) => word = found,
                },
                State::ForcedOpen => return Err(Blocked::by(RefusedReason::ForcedOpen)),
                State::Closed | State::ForcedClosed | State::ObserveOnly => {
                    return Ok(self.pass(word));
                }
            }
        }
    }

    /// Turns a caller away: counts that and tells the observer. No lock may be held.
    #[cold]
    pub(crate) fn refuse(&self, blocked: Blocked) -> Refused {
        let refused = blocked.into();
        self.tally.add(REFUSED, 1);
        self.observer.on_refuse(&refused);
        refused
    }

    #[cold]
    fn trip(&self, ticket: Word, open_for: Option<Duration>) {
        let now = self.clock.now();
        let moved = self.schedule.with(|schedule| {
            // Whoever else saw the rule met in this generation may have tripped already.
            let is_current = self.load().generation() == ticket.generation();
            is_current.then(|| self.open(schedule, now, open_for))
        });
        if let Some(transition) = moved {
            self.announce(&transition);
        }
    }

    /// Goes half-open from `open`, whose time is over, and lets the first probe in.
    #[cold]
    fn half_open(&self, open: Word, now: Timestamp) -> Option<Pass<'_, C, O>> {
        let transition = self.schedule.with(|_| {
            let is_current = self.load().generation() == open.generation();
            is_current.then(|| self.advance(State::HalfOpen, now, None))
        })?;
        // Before anybody is told: if a waker or the observer panics, the probe's place is given back.
        let pass = self.pass(open.next(State::HalfOpen));
        self.announce(&transition);
        Some(pass)
    }

    /// Puts the breaker in `state`, whatever it does now.
    pub(crate) fn force(&self, state: State) {
        self.schedule.with(|schedule| {
            schedule.trips = 0;
            self.next_generation(state);
        });
        self.changed.notify_all();
    }

    /// Trips. Under the schedule's lock.
    fn open(&self, schedule: &mut Schedule, now: Timestamp, asked: Option<Duration>) -> Transition {
        let open_for = asked.unwrap_or_else(|| {
            let settings = &self.settings;
            let noise = scatter(scatter(settings.seed ^ now.as_nanos()) ^ schedule.draws);
            schedule.draws += 1;
            settings.open_for.after(schedule.trips, noise)
        });
        if self.load().state() == State::ObserveOnly {
            return self.advance(State::ObserveOnly, now, Some(open_for));
        }
        schedule.trips = schedule.trips.saturating_add(u32::from(asked.is_none()));
        // ORDERING: Relaxed: published by the swap of the word in `advance`.
        self.open_until.store((now + open_for).as_nanos(), Ordering::Relaxed);
        self.advance(State::Open, now, Some(open_for))
    }

    /// Makes a change of its own accord. Under the schedule's lock.
    fn advance(&self, to: State, now: Timestamp, open_for: Option<Duration>) -> Transition {
        // Before the swap: whoever comes first in the next generation clears the window.
        let totals = self.totals(self.load().generation(), now);
        let (old, new) = self.next_generation(to);
        let figures = figures(old, totals);
        Transition { from: old.state(), to, generation: new.generation(), figures, open_for }
    }

    /// Enters the next generation; returns the old word and the new. Under the schedule's lock.
    fn next_generation(&self, to: State) -> (Word, Word) {
        let probes = u32::from(to == State::HalfOpen);
        let new = self.load().next(to).with_probes(probes);
        // ORDERING: AcqRel: Release publishes `open_until`; Acquire as in `load`. The mode and generation it replaces
        // are those loaded above, because the lock is held; the counts are the latest.
        let old = Word::from_bits(self.word.swap(new.bits(), Ordering::AcqRel));
        (old, new)
    }

    /// Says to everybody what has changed. No lock may be held.
    fn announce(&self, transition: &Transition) {
        if transition.open_for.is_some() {
            self.tally.add(TRIPS, 1);
        }
        // The waiters first: an observer may panic.
        self.changed.notify_all();
        transition.tell(&self.observer);
    }

    /// Returns the time if the window needs it.
    fn window_time(&self) -> Timestamp {
        match &self.window {
            Some(window) if window.needs_time() => self.clock.now(),
            _ => Timestamp::ORIGIN,
        }
    }

    fn figures(&self, word: Word, now: Timestamp) -> Snapshot {
        figures(word, self.totals(word.generation(), now))
    }

    fn totals(&self, generation: u32, now: Timestamp) -> Totals {
        self.window.as_ref().map(|window| window.totals(generation, now)).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> State {
        self.load().state()
    }

    pub(crate) fn stats(&self) -> Stats {
        let word = self.load();
        let counts = self.tally.snapshot();
        Stats {
            state: word.state(),
            generation: word.generation(),
            successes: counts[SUCCESSES],
            failures: counts[FAILURES],
            ignored: counts[IGNORED],
            late: counts[LATE],
            refused: counts[REFUSED],
            trips: counts[TRIPS],
            probes: word.probes(),
            window: self.figures(word, self.window_time()),
        }
    }

    /// Returns whether it turns nobody away now that a new one would let in, and was not told what to be. Nobody holds
    /// a pass.
    pub(crate) fn is_forgettable(&self) -> bool {
        match self.state() {
            State::Closed | State::HalfOpen => true,
            // ORDERING: Relaxed: as in `admit_guarded`.
            State::Open => self.clock.now().as_nanos() >= self.open_until.load(Ordering::Relaxed),
            State::ForcedOpen | State::ForcedClosed | State::ObserveOnly => false,
        }
    }

    #[inline]
    fn load(&self) -> Word {
        // ORDERING: Acquire: pairs with the Release in `advance`: whoever sees `Open` sees `open_until`.
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    /// Replaces `old` by `new`, or returns what is there.
    fn replace(&self, old: Word, new: Word) -> Result<(), Word> {
        // ORDERING: Release keeps the counts in order with what their callers did before; Acquire as in `load`.
        self.word
            .compare_exchange_weak(old.bits(), new.bits(), Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(Word::from_bits)
    }
}

/// Returns what the streak in `word` and the totals of its generation say together.
fn figures(word: Word, totals: Totals) -> Snapshot {
    let (failures, successes) = match word.state() {
        State::HalfOpen => (0, word.streak()),
        _ => (word.streak(), 0),
    };
    Snapshot {
        calls: totals.calls,
        failures: totals.failures,
        consecutive_failures: failures,
        probe_successes: successes,
    }
}
