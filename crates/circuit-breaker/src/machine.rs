//! The state machine: which calls enter, what an outcome changes, and which waiters and observers
//! are notified.
//!
//! ```text
//! enter, closed      one load; timed calls: the clock, and calls in flight: a lock of the thread's shard
//! enter, open        one load, the clock; its time is over: lock ─▶ half-open, with the caller as first probe
//! enter, half-open   CAS: one probe more, up to the limit. with a timeout: lock ─▶ one is overdue: trip
//! settle, closed     one load; a success after a failure, or a failure: CAS the streak. The rule is met: lock ─▶ trip
//! settle, half-open  lock ─▶ one probe less ─▶ a failure: trip. enough succeeded: close
//! ```
//!
//! The state and its generation change only under the schedule's lock, by one swap of the word.
//! Waiters and the observer are notified after the lock is released.
//!
//! Every measured time (an open time, a probe's timeout, the duration of a call) begins at a fresh
//! reading of the clock: a cached reading would count time that had passed before.
//!
//! Any foreign code may panic: the clock, a waker, the observer, the predicate. A step that has
//! begun is finished all the same (`unwind.rs`): if the clock panics while a call settles, the
//! latest time that is known is used. If foreign code panics on the way into the breaker, the pass
//! is dropped, which frees a probe's slot.

mod admit;
mod config;
mod entered;
mod renew;
mod settle;
mod transition;

use core::fmt;

use tidegate_core::{
    Clock, Event, Tally, Timestamp,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    error::{Refused, RefusedReason},
    observer::Observer,
    open_limit::{Membership, OpenLimit},
    probe_starts::ProbeStarts,
    settings::Settings,
    state::State,
    stats::{Snapshot, Stats},
    window::Outcomes,
    word::Word,
};

use self::config::Config;
pub(crate) use self::entered::Entered;

pub(crate) struct Machine<C, O> {
    /// See [`Word`]'s table.
    word: AtomicU64,
    // INVARIANT: while the word says `Open`, when the open time ends, in nanoseconds; set before
    // the word, under the lock.
    open_until: AtomicU64,
    schedule: Lock<Schedule>,
    /// Waiters that want to enter. One is notified for each freed probe slot, and as many as there
    /// are slots left when the breaker goes half-open; any other transition notifies all of them.
    pub(crate) may_enter: Event,
    /// Waiters for a change of state. Each transition notifies all of them, and nothing else does.
    pub(crate) state_changed: Event,
    tally: Tally<8>,
    first: Config,
    // INVARIANT: `Some` if `is_reconfigured`; that is written before the word of the generation
    // that begins with it, under the schedule's lock. A lock within that one, and the last.
    later: Lock<Option<Arc<Config>>>,
    is_reconfigured: AtomicBool,
    seed: u64,
    pub(crate) clock: C,
    observer: O,
}

/// The part of the state that only transitions and probes need.
#[derive(Debug, Default)]
struct Schedule {
    /// Trips since the breaker last closed or was last forced into a state, without those for which
    /// the server asked for an open time.
    trips: u32,
    /// How many open times have been drawn since the breaker was made.
    draws: u64,
    // INVARIANT: with a probe timeout, the starts of all probes that the word counts, except those
    // that are paused. Else empty.
    probes: ProbeStarts,
    /// `None` unless a registry limits how many of its breakers are open.
    membership: Option<Membership>,
}

/// The counters of the tally.
const SUCCESSES: usize = 0;
const FAILURES: usize = 1;
const SLOW: usize = 2;
const IGNORED: usize = 3;
const LATE: usize = 4;
const WRITTEN_OFF: usize = 5;
const REFUSED: usize = 6;
const TRIPS: usize = 7;

/// Why a caller cannot enter now, and when it makes sense to check again.
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
    #[inline]
    fn from(blocked: Blocked) -> Self {
        let retry_after = blocked.until.map(|until| until.since(blocked.seen));
        Self { reason: blocked.reason, retry_after }
    }
}

impl<C: Clock, O: Observer> Machine<C, O> {
    pub(crate) fn new(settings: Arc<Settings>, seed: u64, clock: C, observer: O) -> Self {
        let first = Config::new(settings);
        let (is_recorded, is_timed) = first.marks();
        let word = Word::INITIAL.with_settings(is_recorded, is_timed);
        Self {
            word: AtomicU64::new(word.bits()),
            open_until: AtomicU64::new(0),
            schedule: Lock::default(),
            may_enter: Event::new(),
            state_changed: Event::new(),
            tally: Tally::new(),
            first,
            later: Lock::default(),
            is_reconfigured: AtomicBool::new(false),
            seed,
            clock,
            observer,
        }
    }

    /// Makes the breaker a member of a registry that limits how many may be open.
    pub(crate) fn join(&self, limit: &Arc<OpenLimit>) {
        self.schedule.with(|schedule| schedule.membership = Some(Membership::of(limit)));
    }

    /// Refuses a caller: counts that and notifies the observer. No lock may be held.
    #[inline]
    pub(crate) fn refuse(&self, blocked: Blocked) -> Refused {
        let refused = blocked.into();
        self.tally.add(REFUSED, 1);
        self.observer.on_refuse(&refused);
        refused
    }

    /// Returns the statistics of `word`'s generation, slow calls in flight included.
    fn snapshot(&self, word: Word, now: Timestamp) -> Snapshot {
        let (generation, config) = (word.generation(), self.config());
        let totals = match &config.window {
            Some(window) => window.totals(generation, now),
            None => Default::default(),
        };
        let in_flight = &config.in_flight;
        let slow_in_flight = in_flight.as_ref().map_or(0, |calls| calls.slow(generation, now));
        let mut snapshot = Snapshot {
            calls: totals.calls + slow_in_flight,
            failed: totals.failed,
            slow: totals.slow + slow_in_flight,
            slow_in_flight,
            ..Snapshot::default()
        };
        snapshot.set_streak(word);
        snapshot
    }

    /// Returns whether a closed breaker with these statistics trips. No lock may be held.
    fn is_met(&self, snapshot: &Snapshot) -> bool {
        let config = self.config();
        let Settings { rule, predicate, .. } = &*config.settings;
        rule.trips(snapshot) || predicate.as_ref().is_some_and(|predicate| predicate.call(snapshot))
    }

    /// Returns the time if the statistics depend on it, else the origin.
    fn snapshot_time(&self) -> Timestamp {
        let config = self.config();
        let by_window = config.window.as_ref().is_some_and(Outcomes::needs_time);
        let is_needed = by_window || config.in_flight.is_some();
        if is_needed { self.clock.now() } else { Timestamp::ORIGIN }
    }

    pub(crate) fn stats(&self) -> Stats {
        let word = self.load();
        let counts = self.tally.snapshot();
        Stats {
            state: word.state(),
            generation: word.generation(),
            succeeded: counts[SUCCESSES],
            failed: counts[FAILURES],
            slow: counts[SLOW],
            ignored: counts[IGNORED],
            late: counts[LATE],
            written_off: counts[WRITTEN_OFF],
            refused: counts[REFUSED],
            trips: counts[TRIPS],
            probes: word.probes(),
            window: self.snapshot(word, self.snapshot_time()),
        }
    }

    /// Returns whether the breaker was not forced and would let the next call in. Only right while
    /// no pass is held.
    pub(crate) fn is_forgettable(&self) -> bool {
        match self.state() {
            State::Closed | State::HalfOpen => true,
            // ORDERING: Relaxed: as in `open_is_over`.
            State::Open => self.clock.now().as_nanos() >= self.open_until.load(Ordering::Relaxed),
            State::ForcedOpen | State::ForcedClosed | State::ObserveOnly => false,
        }
    }

    /// Replaces `old` by `new`, or returns the word that it has found instead.
    fn replace(&self, old: Word, new: Word) -> Result<(), Word> {
        // ORDERING: Release and Acquire: a probe sees what the one before it in its slot did.
        // Relaxed on failure: what is found is a new guess, of which only the counts and the
        // generation are read.
        self.word
            .compare_exchange_weak(old.bits(), new.bits(), Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| ())
            .map_err(Word::from_bits)
    }

    /// Changes the counts. Under the schedule's lock, where no generation ends.
    fn update(&self, change: impl Fn(Word) -> Word) {
        let mut word = self.load();
        while let Err(found) = self.replace(word, change(word)) {
            word = found;
        }
    }
}

/// Methods that need neither the clock nor the observer.
impl<C, O> Machine<C, O> {
    #[inline]
    pub(crate) fn load(&self) -> Word {
        // ORDERING: Acquire: pairs with the Release in `swap`: a thread that sees `Open` sees
        // `open_until`, and one that sees a generation sees its configuration.
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    pub(crate) fn state(&self) -> State {
        self.load().state()
    }

    /// Prints the state and the counts under the name of the type that has the machine. It leaves
    /// out the window, which is behind locks, and everything foreign.
    pub(crate) fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.tally.snapshot();
        f.debug_struct(name)
            .field("state", &self.state())
            .field("succeeded", &counts[SUCCESSES])
            .field("failed", &counts[FAILURES])
            .field("slow", &counts[SLOW])
            .field("ignored", &counts[IGNORED])
            .field("refused", &counts[REFUSED])
            .field("trips", &counts[TRIPS])
            .finish_non_exhaustive()
    }
}
