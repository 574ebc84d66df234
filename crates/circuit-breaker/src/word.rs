//! The state, its generation, and what is counted in it: one word.

use crate::state::State;

/// The most probes in flight, and the longest streak: what 13 bits count to.
pub(crate) const COUNT_MAX: u32 = (1 << 13) - 1;

/// The state of a breaker.
///
/// | bits | name | meaning | changed by |
/// | --- | --- | --- | --- |
/// | 0–1 | mode | with `GUARDED`: the state | a transition, under the schedule's lock |
/// | 2 | `GUARDED` | set in the states that do not let every call through | the same |
/// | 3 | `RECORDED` | every success is recorded, not only counted | other settings, under the schedule's lock |
/// | 4 | `TIMED` | calls are timed, so `RECORDED` is set, too | the same |
/// | 5 | `PAUSED` | in a stamp: the call is not timed, as it waits for a later gate; else zero | its pass |
/// | 6–18 | probes | half-open: probes in flight | CAS to enter, or entering under the lock; settling, under the lock |
/// | 19–31 | streak | half-open: probes that succeeded | settling a probe, under the lock |
/// |  |  | else: failures since the last success, at most [`COUNT_MAX`] | CAS by the call that settles |
/// | 32–63 | generation | one more for each transition, wrapping | the same step that changes the mode |
///
/// A transition swaps the whole word. So counts that change at the same time are lost together with
/// their generation, and every later compare-and-swap fails on the generation.
///
/// A pass keeps the word as its stamp, without the counts. If calls in flight are counted, the
/// stamp has, in place of the streak, the number of the shard that counts the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

const MODES: u64 = 0b111;
const GUARDED: u64 = 0b100;
const RECORDED: u64 = 0b1000;
const TIMED: u64 = 0b1_0000;
const PAUSED: u64 = 0b10_0000;
const PROBES_AT: u32 = 6;
const STREAK_AT: u32 = 19;
const GENERATION_AT: u32 = 32;
const COUNT: u64 = COUNT_MAX as u64;

impl Word {
    /// A closed breaker that has seen nothing and only counts its successes.
    pub(crate) const INITIAL: Self = Self(0);

    /// Returns the word with the bits that say what is to be done for each call.
    pub(crate) const fn with_settings(self, recorded: bool, timed: bool) -> Self {
        let recorded = if recorded || timed { RECORDED } else { 0 };
        Self(self.0 & !(RECORDED | TIMED) | recorded | if timed { TIMED } else { 0 })
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether every call is let through.
    #[inline]
    pub(crate) const fn admits_all(self) -> bool {
        self.0 & GUARDED == 0
    }

    /// Returns whether every call is let through, untimed.
    #[inline]
    pub(crate) const fn admits_untimed(self) -> bool {
        self.0 & (GUARDED | TIMED) == 0
    }

    /// Returns whether a success is only counted, and not recorded or timed.
    #[inline]
    pub(crate) const fn settles_by_count(self) -> bool {
        self.0 & (GUARDED | RECORDED) == 0
    }

    #[inline]
    pub(crate) const fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    #[inline]
    pub(crate) const fn state(self) -> State {
        match self.0 & MODES {
            0 => State::Closed,
            1 => State::ForcedClosed,
            2 => State::ObserveOnly,
            4 => State::Open,
            5 => State::HalfOpen,
            _ => State::ForcedOpen,
        }
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> GENERATION_AT) as u32
    }

    pub(crate) const fn probes(self) -> u32 {
        (self.0 >> PROBES_AT & COUNT) as u32
    }

    pub(crate) const fn streak(self) -> u32 {
        (self.0 >> STREAK_AT & COUNT) as u32
    }

    /// Returns the word without its counts, as the stamp of a pass that is not paused.
    #[inline]
    pub(crate) const fn stamp(self) -> Self {
        Self(self.0 & !(COUNT << PROBES_AT | COUNT << STREAK_AT | PAUSED))
    }

    /// Returns the stamp of a call that is not timed while it waits for a later gate.
    pub(crate) const fn paused(self) -> Self {
        Self(self.0 | PAUSED)
    }

    #[inline]
    pub(crate) const fn is_paused(self) -> bool {
        self.0 & PAUSED != 0
    }

    pub(crate) const fn with_probes(self, probes: u32) -> Self {
        Self(self.0 & !(COUNT << PROBES_AT) | (probes as u64 & COUNT) << PROBES_AT)
    }

    /// Returns the word with another streak; one above [`COUNT_MAX`] counts as that.
    pub(crate) const fn with_streak(self, streak: u32) -> Self {
        let streak = if streak > COUNT_MAX { COUNT_MAX } else { streak };
        Self(self.0 & !(COUNT << STREAK_AT) | (streak as u64) << STREAK_AT)
    }

    /// Returns the stamp with the number of the shard that counts its call.
    pub(crate) const fn with_shard(self, shard: u32) -> Self {
        self.stamp().with_streak(shard)
    }

    pub(crate) const fn shard(self) -> u32 {
        self.streak()
    }

    /// Returns the first word of the next generation.
    pub(crate) const fn next(self, state: State) -> Self {
        let mode = match state {
            State::Closed => 0,
            State::ForcedClosed => 1,
            State::ObserveOnly => 2,
            State::Open => 4,
            State::HalfOpen => 5,
            State::ForcedOpen => 6,
        };
        let settings = self.0 & (RECORDED | TIMED);
        Self((self.generation().wrapping_add(1) as u64) << GENERATION_AT | settings | mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] = [
        State::Closed,
        State::Open,
        State::HalfOpen,
        State::ForcedOpen,
        State::ForcedClosed,
        State::ObserveOnly,
    ];

    #[test]
    fn each_field_keeps_to_its_bits() {
        for state in STATES {
            let word = Word::INITIAL.next(state).with_probes(COUNT_MAX).with_streak(COUNT_MAX);
            assert_eq!((word.state(), word.generation()), (state, 1));
            assert_eq!((word.probes(), word.streak()), (COUNT_MAX, COUNT_MAX));
            assert_eq!(word.with_probes(3).with_streak(7).with_probes(0).streak(), 7);
            assert_eq!(word.stamp(), Word::INITIAL.next(state));
            let timed = Word::INITIAL.with_settings(false, true).next(state);
            let stamp = timed.with_streak(7).with_shard(COUNT_MAX);
            assert_eq!((stamp.shard(), stamp.stamp()), (COUNT_MAX, timed));
            assert!(stamp.paused().is_paused() && !stamp.is_paused());
            assert_eq!(stamp.paused().with_shard(7), timed.with_shard(7));
        }
    }

    #[test]
    fn settings_outlive_a_generation() {
        let word = Word::INITIAL.with_settings(true, false);
        assert!(word.admits_untimed() && !word.settles_by_count() && !word.is_timed());
        let timed = Word::INITIAL.with_settings(false, true).next(State::ObserveOnly);
        assert!(timed.admits_all() && !timed.admits_untimed() && !timed.settles_by_count());
        assert_eq!(timed.state(), State::ObserveOnly);
        assert!(Word::INITIAL.settles_by_count());
    }

    #[test]
    fn a_streak_stops_at_its_end() {
        assert_eq!(Word::INITIAL.with_streak(COUNT_MAX + 1).streak(), COUNT_MAX);
    }

    #[test]
    fn generations_wrap_without_touching_the_mode() {
        let last = Word::from_bits(u64::from(u32::MAX) << GENERATION_AT);
        let next = last.next(State::Closed);
        assert_eq!((next.generation(), next.state()), (0, State::Closed));
    }

    #[test]
    fn only_guarded_states_refuse_calls() {
        let guarded = STATES.into_iter().filter(|&state| !Word::INITIAL.next(state).admits_all());
        assert!(guarded.eq([State::Open, State::HalfOpen, State::ForcedOpen]));
    }
}
