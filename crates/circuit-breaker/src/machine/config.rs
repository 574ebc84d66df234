//! The settings of a machine and what is made from them; how they are replaced in use.

use core::ops::Deref;

use tidegate_core::{
    Clock, Timestamp,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::Machine;
use crate::{
    in_flight::InFlight,
    observer::{Observer, Transition},
    settings::Settings,
    unwind::{finally, finally_with},
    window::Outcomes,
};

/// The settings, and the counts whose size and kind they decide.
pub(super) struct Config {
    /// Shared by the breakers of a registry, of which there may be many.
    pub(super) settings: Arc<Settings>,
    pub(super) window: Option<Outcomes>,
    pub(super) in_flight: Option<InFlight>,
}

impl Config {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            window: settings.rule.window().map(Outcomes::new),
            in_flight: settings.rule.in_flight_threshold().map(InFlight::new),
            settings,
        }
    }

    /// Returns whether every success is recorded, and whether calls are timed.
    pub(super) fn marks(&self) -> (bool, bool) {
        let is_recorded = self.window.is_some() || self.settings.predicate.is_some();
        (is_recorded, self.settings.rule.threshold().is_some())
    }
}

/// The configuration that is in use.
pub(super) enum Current<'a> {
    First(&'a Config),
    Later(Arc<Config>),
}

impl Deref for Current<'_> {
    type Target = Config;

    #[inline]
    fn deref(&self) -> &Config {
        match self {
            Self::First(config) => config,
            Self::Later(config) => config,
        }
    }
}

impl<C, O> Machine<C, O> {
    /// Returns the configuration of the generation that the caller's word is of, or of a later one.
    /// In the latter case nothing that the caller does counts: its generation is over, or ends with
    /// the next step of the word. May be called under the schedule's lock.
    #[inline]
    pub(super) fn config(&self) -> Current<'_> {
        // ORDERING: Relaxed: the word was loaded before (Acquire), and the swap that published its
        // generation (Release, in `reconfigure`) came after the store.
        match self.is_reconfigured.load(Ordering::Relaxed) {
            false => Current::First(&self.first),
            true => self.later_config(),
        }
    }

    #[cold]
    fn later_config(&self) -> Current<'_> {
        match self.later.with(|later| later.clone()) {
            Some(config) => Current::Later(config),
            None => Current::First(&self.first),
        }
    }
}

impl<C: Clock, O: Observer> Machine<C, O> {
    /// Begins a generation with the settings that `latest` returns, in the same state. The
    /// predicate stays.
    ///
    /// `latest` is called under the schedule's lock: of several changes at once, the last one has
    /// what is latest then.
    pub(crate) fn reconfigure(&self, latest: impl FnOnce() -> Arc<Settings>) {
        // A clock that panics does not keep the breaker from its new settings.
        finally_with(
            || self.snapshot_time(),
            Timestamp::ORIGIN,
            |now| {
                let (transition, old) = self.schedule.with(|schedule| {
                    let mut window = self.snapshot(self.load(), now);
                    schedule.probes.clear();
                    let config = self.configure(latest());
                    let (is_recorded, is_timed) = config.marks();
                    let old = self.later.with(|later| later.replace(Arc::new(config)));
                    // ORDERING: Relaxed: published by the swap below.
                    self.is_reconfigured.store(true, Ordering::Relaxed);
                    let state = self.load().state();
                    let new = self.load().next(state).with_settings(is_recorded, is_timed);
                    let before = self.swap(new);
                    window.set_streak(before);
                    let generation = new.generation();
                    (Transition { from: state, to: state, generation, window, open_for: None }, old)
                });
                drop(old);
                finally(|| self.notify_all(), || self.observer.on_reconfigure(&transition));
            },
        );
    }

    /// Gives a breaker that was just made other settings than those that it was made with. Its
    /// state and the predicate stay.
    pub(crate) fn begin_with(&mut self, settings: Arc<Settings>) {
        let config = self.configure(settings);
        let (is_recorded, is_timed) = config.marks();
        let word = self.load().with_settings(is_recorded, is_timed);
        self.word = AtomicU64::new(word.with_probes(0).with_streak(0).bits());
        self.schedule.with(|schedule| schedule.probes.clear());
        (self.first, self.later) = (config, Lock::default());
        self.is_reconfigured = AtomicBool::new(false);
    }

    /// Returns the configuration by other settings, with the predicate of the first ones. Settings
    /// without one are shared.
    fn configure(&self, settings: Arc<Settings>) -> Config {
        Config::new(match &self.first.settings.predicate {
            None => settings,
            predicate => Arc::new(Settings { predicate: predicate.clone(), ..(*settings).clone() }),
        })
    }

    /// Wakes the watchers and all callers that wait to enter, even if a waker panics on the way.
    fn notify_all(&self) {
        finally(|| self.may_enter.notify_all(), || self.state_changed.notify_all());
    }
}
