//! How many breakers of a registry may be open at once.

use alloc::collections::BTreeSet;

use tidegate_core::{Timestamp, lock::Lock, primitive::Arc};

/// What the breakers of one registry share: who of them is open, and how many may be.
#[derive(Debug)]
pub(crate) struct OpenShare {
    ratio: f64,
    book: Lock<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Members there are.
    members: usize,
    /// Members there have been.
    numbers: u64,
    /// Until when each is open, and its number. One whose time is over is not open; the next trip takes it out.
    open: BTreeSet<(Timestamp, u64)>,
}

impl OpenShare {
    /// `ratio` has been checked.
    pub(crate) fn new(ratio: f64) -> Arc<Self> {
        Arc::new(Self { ratio, book: Lock::default() })
    }

    /// Returns how many of so many may be open: the share of them, and always one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `members`")]
    fn most_open(&self, members: usize) -> usize {
        ((members as f64 * self.ratio) as usize).max(1)
    }
}

/// A breaker's part in the share of its registry.
#[derive(Debug)]
pub(crate) struct Membership {
    share: Arc<OpenShare>,
    number: u64,
    // INVARIANT: `Some` while the book may have it.
    open_until: Option<Timestamp>,
}

impl Membership {
    /// Makes a breaker one of those that are counted.
    pub(crate) fn of(share: &Arc<OpenShare>) -> Self {
        let number = share.book.with(|book| {
            book.members += 1;
            book.numbers += 1;
            book.numbers
        });
        Self { share: share.clone(), number, open_until: None }
    }

    /// Opens until `until` unless too many are open.
    pub(crate) fn try_open(&mut self, now: Timestamp, until: Timestamp) -> bool {
        let opened = self.share.book.with(|book| {
            while book.open.first().is_some_and(|(until, _)| *until <= now) {
                book.open.pop_first();
            }
            let has_room = book.open.len() < self.share.most_open(book.members);
            if has_room {
                book.open.insert((until, self.number));
            }
            has_room
        });
        if opened {
            self.open_until = Some(until);
        }
        opened
    }

    /// Is open no more.
    pub(crate) fn leave_open(&mut self) {
        if let Some(until) = self.open_until.take() {
            self.share.book.with(|book| book.open.remove(&(until, self.number)));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave_open();
        self.share.book.with(|book| book.members -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(10);
    const LATER: Timestamp = Timestamp::from_nanos(20);

    #[test]
    fn the_share_is_rounded_down_and_never_none() {
        let share = OpenShare::new(0.3);
        let allowed = [0, 1, 3, 4, 6, 7, 10].map(|members| share.most_open(members));
        assert_eq!(allowed, [1, 1, 1, 1, 1, 2, 3]);
    }

    #[test]
    fn a_place_is_free_when_its_time_is_over_or_it_was_left() {
        let share = OpenShare::new(0.5);
        let mut members: [Membership; 3] = core::array::from_fn(|_| Membership::of(&share));
        assert!(members[0].try_open(NOW, LATER));
        assert!(!members[1].try_open(NOW, LATER));
        members[0].leave_open();
        assert!(members[1].try_open(NOW, LATER));
        assert!(members[2].try_open(LATER, Timestamp::NEVER));
        // Its time is over; what it leaves is not another's.
        members[1].leave_open();
        assert!(!members[0].try_open(LATER, Timestamp::NEVER));
    }

    #[test]
    fn who_is_gone_counts_no_more() {
        let share = OpenShare::new(0.5);
        let (mut first, mut second) = (Membership::of(&share), Membership::of(&share));
        assert!(first.try_open(NOW, LATER));
        assert!(!second.try_open(NOW, LATER));
        drop(first);
        assert!(second.try_open(NOW, LATER));
        assert_eq!(share.book.with(|book| book.members), 1);
    }
}
