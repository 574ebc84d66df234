//! What travels through the flow: a value, and its lineage, which says which items of the source
//! the value stands for.
//!
//! A lineage is settled once, when its value leaves the flow. A stage may make several values of
//! one item: the item's outcome is known when the last of them has left. Or it may make one value
//! of several items, which share its outcome. So the [`Summary`](crate::Summary) always counts
//! items of the source, and a value that is merely dropped counts as left over.

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::primitive::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use super::stats::{ItemOutcome, Summary};

/// A value in the flow, and where it comes from.
#[derive(Debug)]
pub struct Item<T> {
    pub(crate) lineage: Lineage,
    pub(crate) value: T,
}

/// Which items of the source a value stands for.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    /// Position in the source, from 0; that of the first item if it stands for several.
    pub(crate) index: u64,
    /// `None` for a single item, the usual case: most lineages own no memory. All are two words,
    /// cheap to move.
    more: Option<Box<More>>,
}

#[derive(Debug)]
enum More {
    /// One of the values that a stage made of one value.
    Part(Arc<Whole>),
    /// Several items in one value.
    Batch(Vec<Lineage>),
}

/// A lineage whose value was replaced by several. It is settled when the last of its parts is.
#[derive(Debug)]
struct Whole {
    lineage: Lineage,
    /// The outcomes of the settled parts, as bits.
    outcomes: AtomicU8,
}

impl Lineage {
    pub(crate) fn item(index: u64) -> Self {
        Self { index, more: None }
    }

    /// Makes one lineage of several.
    pub(crate) fn batch(lineages: Vec<Lineage>) -> Self {
        let index = lineages.first().map_or(0, |lineage| lineage.index);
        Self { index, more: Some(Box::new(More::Batch(lineages))) }
    }

    /// Turns the lineage into the first part of itself; [`part`](Self::part) makes more.
    pub(crate) fn divide(self) -> Self {
        let index = self.index;
        let whole = Arc::new(Whole { lineage: self, outcomes: AtomicU8::new(0) });
        Self { index, more: Some(Box::new(More::Part(whole))) }
    }

    /// Makes another part of the same item.
    pub(crate) fn part(&self) -> Self {
        match self.more.as_deref() {
            Some(More::Part(whole)) => {
                Self { index: self.index, more: Some(Box::new(More::Part(whole.clone()))) }
            }
            _ => unreachable!("only a divided lineage has parts"),
        }
    }

    /// Counts the outcome of the items that the lineage stands for; if other parts of an item are
    /// still in the flow, only notes its outcome.
    #[inline]
    pub(crate) fn settle(self, outcome: ItemOutcome, summary: &mut Summary) {
        match self.more {
            None => summary.enter(outcome),
            Some(more) => more.settle(outcome, summary),
        }
    }
}

impl More {
    #[cold]
    fn settle(self, outcome: ItemOutcome, summary: &mut Summary) {
        match self {
            Self::Part(whole) => {
                // ORDERING: Relaxed: lineages are settled in polls of the flow, one after the
                // other.
                whole.outcomes.fetch_or(outcome as u8, Ordering::Relaxed);
                if let Some(whole) = Arc::into_inner(whole) {
                    let outcomes = whole.outcomes.load(Ordering::Relaxed);
                    let worst = [ItemOutcome::Failed, ItemOutcome::Succeeded]
                        .into_iter()
                        .find(|&outcome| outcomes & outcome as u8 != 0);
                    whole.lineage.settle(worst.unwrap_or(ItemOutcome::Skipped), summary);
                }
            }
            Self::Batch(lineages) => {
                lineages.into_iter().for_each(|lineage| lineage.settle(outcome, summary));
            }
        }
    }
}
