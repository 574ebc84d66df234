//! The stage that makes one item of several.

use core::{
    future::Future,
    mem,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{Timer, time::DueWatch, unwind::DropEach};

use crate::{
    debug::debug_by_name,
    flow::{Flow, Item, Lineage, Stage, StageId},
    pipeline::Pipeline,
};

/// A stage that gathers items into batches.
pub struct Batch<S: Stage, T: Timer> {
    upstream: S,
    size: usize,
    linger: Duration,
    timer: T,
    items: DropEach<Vec<S::Item>>,
    // INVARIANT: as long as `items`.
    lineages: Vec<Lineage>,
    /// The sleep until the batch is due: `Some` from the first item until the batch is due or
    /// emitted.
    due: Pin<Box<Option<T::Sleep>>>,
    is_due: bool,
    /// Checks the clock while the stages before are always ready: then the sleep is not polled.
    watch: Option<DueWatch>,
    id: StageId,
}

impl<S: Stage, T: Timer> Batch<S, T> {
    /// Gathers items. Returns `Ready` when the batch is to be emitted as it is; if it is empty
    /// then, the stages before have ended.
    fn gather(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> Poll<()> {
        while self.items.len() < self.size {
            match self.upstream.pull(self.id, cx, flow) {
                Poll::Ready(Some(Item { lineage, value })) => {
                    let now = || self.timer.now();
                    // The item is in the batch before the timer is called: if the timer panics, the
                    // batch has no due time or that of an earlier batch, but loses no item.
                    self.items.push(value);
                    self.lineages.push(lineage);
                    if self.items.len() == 1 {
                        self.due.set(Some(self.timer.sleep(self.linger)));
                        self.watch = Some(DueWatch::new(now(), self.linger));
                    }
                    // The sleep is polled only when the stages before are not ready, which may
                    // never happen.
                    self.is_due |= self.watch.as_mut().is_some_and(|watch| watch.is_due(now));
                    if self.is_due {
                        self.due.set(None);
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {
                    if let Some(due) = self.due.as_mut().as_pin_mut() {
                        if due.poll(cx).is_ready() {
                            self.due.set(None);
                            self.is_due = true;
                        }
                    }
                    // In a full flow no item comes before others leave, perhaps those of this
                    // batch. If the next stage has no room, the batch is still due at its time.
                    let is_full = flow.ledger.is_full() && !self.items.is_empty();
                    return if self.is_due || is_full { Poll::Ready(()) } else { Poll::Pending };
                }
            }
        }
        self.upstream.drive(cx, flow);
        Poll::Ready(())
    }
}

impl<S: Stage, T: Timer> Stage for Batch<S, T> {
    type Item = Vec<S::Item>;

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<Vec<S::Item>>>> {
        if self.gather(cx, flow).is_pending() {
            return Poll::Pending;
        }
        if self.items.is_empty() {
            return Poll::Ready(None);
        }
        self.due.set(None);
        self.is_due = false;
        let lineage = Lineage::batch(mem::take(&mut self.lineages));
        flow.ledger.emit(self.id, lineage, mem::take(&mut *self.items))
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        let ready = self.gather(cx, flow).is_ready();
        flow.ledger.meter(self.id).is_blocked = ready;
    }
}

debug_by_name!(Batch<S: Stage, T: Timer>);

impl<'h, S: Stage, T: Timer + Clone> Pipeline<'h, S, T> {
    /// Adds a stage that gathers up to `size` items into a `Vec`. The `Vec` is emitted when it is
    /// full, when `linger` has passed since its first item, or when no more items may come: the
    /// flow ends, or its `max_in_flight` is reached.
    ///
    /// A batch that is due goes on gathering until the next stage takes it or it is full.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let (three, linger) = (NonZeroUsize::new(3).unwrap(), Duration::from_secs(1));
    /// let rows = Pipeline::from_iter(1..=4).batch("rows", three, linger);
    /// assert_eq!(rows.collect().wait().unwrap(), [vec![1, 2, 3], vec![4]]);
    /// ```
    pub fn batch(
        self,
        name: &'static str,
        size: NonZeroUsize,
        linger: Duration,
    ) -> Pipeline<'h, Batch<S, T>, T> {
        let timer = self.timer.clone();
        self.then(name, 1, |upstream, id| Batch {
            upstream,
            size: size.get(),
            linger,
            timer,
            items: DropEach::default(),
            lineages: Vec::new(),
            due: Box::pin(None),
            is_due: false,
            watch: None,
            id,
        })
    }
}
