//! How many breakers of a registry may be open at once.

use alloc::collections::BTreeSet;

use tidegate_core::{Timestamp, lock::Lock, primitive::Arc};

/// Which breakers of a registry are open, and how many may be. All breakers of the registry share
/// it.
#[derive(Debug)]
pub(crate) struct OpenLimit {
    ratio: f64,
    state: Lock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of members now.
    members: usize,
    /// How many members have ever joined; the latest of them has this number.
    joined: u64,
    /// Until when each open member is open, and its number. A member whose time is over does not
    /// count; the next trip of any member takes it out.
    open: BTreeSet<(Timestamp, u64)>,
}

impl OpenLimit {
    /// Creates a limit without members. `ratio` has been checked.
    pub(crate) fn new(ratio: f64) -> Arc<Self> {
        Arc::new(Self { ratio, state: Lock::default() })
    }

    /// Returns how many of `members` may be open: at least one. A product that is whole on paper
    /// stays so, although 100 × 0.29 is less than 29 in binary.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `members`")]
    fn max_open(&self, members: usize) -> usize {
        ((members as f64 * self.ratio * (1.0 + 2.0 * f64::EPSILON)) as usize).max(1)
    }
}

/// A breaker's membership in its registry, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    limit: Arc<OpenLimit>,
    number: u64,
    // INVARIANT: `Some` while `State::open` may contain this time with this number.
    open_until: Option<Timestamp>,
}

impl Membership {
    /// Makes a breaker a member.
    pub(crate) fn of(limit: &Arc<OpenLimit>) -> Self {
        let number = limit.state.with(|state| {
            state.members += 1;
            state.joined += 1;
            state.joined
        });
        Self { limit: limit.clone(), number, open_until: None }
    }

    /// Counts the breaker as open until `until`, unless too many would be open; returns whether it
    /// did.
    pub(crate) fn try_open(&mut self, now: Timestamp, until: Timestamp) -> bool {
        let opened = self.limit.state.with(|state| {
            while state.open.first().is_some_and(|(until, _)| *until <= now) {
                state.open.pop_first();
            }
            let has_room = state.open.len() < self.limit.max_open(state.members);
            if has_room {
                state.open.insert((until, self.number));
            }
            has_room
        });
        if opened {
            self.open_until = Some(until);
        }
        opened
    }

    /// Stops counting the breaker as open.
    pub(crate) fn leave_open(&mut self) {
        if let Some(until) = self.open_until.take() {
            self.limit.state.with(|state| state.open.remove(&(until, self.number)));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave_open();
        self.limit.state.with(|state| state.members -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(10);
    const LATER: Timestamp = Timestamp::from_nanos(20);

    #[test]
    fn the_limit_is_rounded_down_and_at_least_one() {
        let limit = OpenLimit::new(0.3);
        let allowed = [0, 1, 3, 4, 6, 7, 10].map(|members| limit.max_open(members));
        assert_eq!(allowed, [1, 1, 1, 1, 1, 2, 3]);
    }

    #[test]
    fn a_limit_that_is_whole_on_paper_is_not_rounded_down() {
        for (ratio, members, allowed) in [(0.29, 100, 29), (0.58, 50, 29), (1.0, 1000, 1000)] {
            assert_eq!(OpenLimit::new(ratio).max_open(members), allowed, "{members} × {ratio}");
        }
    }

    #[test]
    fn an_open_slot_is_free_when_its_time_is_over_or_it_was_left() {
        let limit = OpenLimit::new(0.5);
        let mut members: [Membership; 3] = core::array::from_fn(|_| Membership::of(&limit));
        assert!(members[0].try_open(NOW, LATER));
        assert!(!members[1].try_open(NOW, LATER));
        members[0].leave_open();
        assert!(members[1].try_open(NOW, LATER));
        assert!(members[2].try_open(LATER, Timestamp::NEVER));
        // The entry of the second member was removed when its time was over, so its leaving does
        // not free the slot of the third.
        members[1].leave_open();
        assert!(!members[0].try_open(LATER, Timestamp::NEVER));
    }

    #[test]
    fn a_dropped_member_counts_no_more() {
        let limit = OpenLimit::new(0.5);
        let (mut first, mut second) = (Membership::of(&limit), Membership::of(&limit));
        assert!(first.try_open(NOW, LATER));
        assert!(!second.try_open(NOW, LATER));
        drop(first);
        assert!(second.try_open(NOW, LATER));
        assert_eq!(limit.state.with(|state| state.members), 1);
    }
}
