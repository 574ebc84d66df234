//! Which item a stage was working on when it panicked.

use core::mem;

use super::{item::Lineage, ledger::StageId};

/// Remembers which stage's code runs, and on which item, so that a panic becomes the error of that
/// item.
#[derive(Debug, Default)]
pub(crate) struct PanicGuard {
    at: Option<StageId>,
    /// Owns nothing while `at` is `None`.
    lineage: Lineage,
}

impl PanicGuard {
    /// Keeps `lineage` while code of stage `id` runs.
    #[inline]
    pub(crate) fn enter(&mut self, id: StageId, lineage: Lineage) {
        self.at = Some(id);
        // The lineage that is replaced owns nothing; `forget` lets the compiler know.
        mem::forget(mem::replace(&mut self.lineage, lineage));
    }

    /// Notes that no stage's code runs any more, and returns the lineage.
    #[inline]
    pub(crate) fn exit(&mut self) -> Lineage {
        self.at = None;
        mem::take(&mut self.lineage)
    }

    /// Returns the stage that has panicked and the item it worked on; `None` if no stage's code
    /// ran.
    pub(crate) fn panicked(&mut self) -> Option<(StageId, Lineage)> {
        let id = self.at?;
        Some((id, self.exit()))
    }
}
