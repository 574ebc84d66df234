//! What travels through the flow: a value, and the ticket that says which items read from the source it stands for.
//!
//! A ticket is settled once, wherever its value leaves the flow. A stage may make several values of one (then the item
//! meets its fate with the last of them) or one value of several (then they share its fate), so the sums of the
//! [`Summary`](crate::Summary) are always in items read, and a value that is merely dropped is found as left over.

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::primitive::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use crate::figures::Summary;

/// A value on its way.
#[derive(Debug)]
pub struct Parcel<T> {
    pub(crate) ticket: Ticket,
    pub(crate) value: T,
}

/// Which item, or items, of the source a value stands for.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Position in the source, from 0; of the first item, where it stands for several.
    pub(crate) index: u64,
    /// `None` for one item, which is what most tickets are: so they are two words, and cheap to move.
    more: Option<Box<More>>,
}

#[derive(Debug)]
enum More {
    /// One of the values that a stage made of the whole.
    Part(Arc<Whole>),
    /// All of these.
    Batch(Vec<Ticket>),
}

/// A ticket whose value was replaced by parts. The last part to be settled settles it.
#[derive(Debug)]
struct Whole {
    ticket: Ticket,
    /// The fates of the settled parts, as bits.
    fates: AtomicU8,
}

/// How an item left the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Left out on purpose. The least: a whole is skipped if all of its parts are.
    Skipped = 0,
    /// Reached the end.
    Done = 1,
    /// A stage failed on it. The worst: a whole fails if one of its parts does.
    Failed = 2,
}

impl Ticket {
    pub(crate) fn item(index: u64) -> Self {
        Self { index, more: None }
    }

    /// Makes one ticket of several.
    pub(crate) fn batch(tickets: Vec<Ticket>) -> Self {
        let index = tickets.first().map_or(0, |ticket| ticket.index);
        Self { index, more: Some(Box::new(More::Batch(tickets))) }
    }

    /// Turns the ticket into the first part of itself; [`part`](Self::part) makes more.
    pub(crate) fn divide(self) -> Self {
        let index = self.index;
        let whole = Arc::new(Whole { ticket: self, fates: AtomicU8::new(0) });
        Self { index, more: Some(Box::new(More::Part(whole))) }
    }

    /// Makes another part of the same whole.
    pub(crate) fn part(&self) -> Self {
        match self.more.as_deref() {
            Some(More::Part(whole)) => {
                Self { index: self.index, more: Some(Box::new(More::Part(whole.clone()))) }
            }
            _ => unreachable!("only a divided ticket has parts"),
        }
    }

    /// Enters the fate of the items it stands for, unless parts of them are still on their way.
    #[inline]
    pub(crate) fn settle(self, fate: Fate, summary: &mut Summary) {
        match self.more {
            None => summary.enter(fate),
            Some(more) => more.settle(fate, summary),
        }
    }
}

impl More {
    #[cold]
    fn settle(self, fate: Fate, summary: &mut Summary) {
        match self {
            Self::Part(whole) => {
                // ORDERING: Relaxed: tickets are settled by whoever polls the flow, one after the other.
                whole.fates.fetch_or(fate as u8, Ordering::Relaxed);
                if let Some(whole) = Arc::into_inner(whole) {
                    let fates = whole.fates.load(Ordering::Relaxed);
                    let worst = [Fate::Failed, Fate::Done]
                        .into_iter()
                        .find(|&fate| fates & fate as u8 != 0);
                    whole.ticket.settle(worst.unwrap_or(Fate::Skipped), summary);
                }
            }
            Self::Batch(tickets) => {
                tickets.into_iter().for_each(|ticket| ticket.settle(fate, summary));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn settled(settle: impl FnOnce(&mut Summary)) -> (u64, u64, u64) {
        let mut summary = Summary::default();
        settle(&mut summary);
        (summary.done, summary.failed, summary.skipped)
    }

    #[test]
    fn a_whole_meets_its_fate_with_its_last_part() {
        let hold = Ticket::item(3).divide();
        let (first, second) = (hold.part(), hold.part());
        assert_eq!(settled(|summary| first.settle(Fate::Failed, summary)), (0, 0, 0));
        assert_eq!(settled(|summary| hold.settle(Fate::Skipped, summary)), (0, 0, 0));
        assert_eq!(settled(|summary| second.settle(Fate::Done, summary)), (0, 1, 0));
    }

    #[test]
    fn a_whole_without_parts_is_skipped() {
        let hold = Ticket::item(0).divide();
        assert_eq!(settled(|summary| hold.settle(Fate::Skipped, summary)), (0, 0, 1));
    }

    #[test]
    fn a_batch_shares_its_fate_and_has_its_firsts_index() {
        let batch = Ticket::batch(vec![Ticket::item(5), Ticket::item(6).divide()]);
        assert_eq!(batch.index, 5);
        assert_eq!(settled(|summary| batch.settle(Fate::Done, summary)), (2, 0, 0));
    }
}
