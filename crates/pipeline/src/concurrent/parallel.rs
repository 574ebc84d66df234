//! The stage that works on several items at once.

use core::{
    num::NonZeroUsize,
    task::{Context, Poll},
};

use tidegate_core::{
    future_slots::{FutureSlots, WakerCell},
    primitive::Arc,
    unwind::contain,
};

use crate::{
    debug::debug_by_name,
    error::catch_panic,
    flow::{Flow, Item, Lineage, Reorder, Stage, StageId},
};

use super::{
    keys::{KeyPolicy, Unkeyed},
    work::Work,
};

/// A stage that works on several items at once, and emits results in order or as they finish.
///
/// Two numbers bound it: the *concurrency*, how many items it works on, and the *window*, how many
/// it has received and not yet emitted. Until the window is full, it goes on while the next stage
/// is busy or the oldest item takes long.
pub struct Parallel<S: Stage, W: Work<S::Item>, K: KeyPolicy<S::Item> = Unkeyed> {
    upstream: S,
    work: W,
    keys: K,
    future_slots: FutureSlots<(u64, Lineage, K::Key), W::Future>,
    concurrency: NonZeroUsize,
    finished: Reorder<Item<W::Out>>,
    pub(crate) id: StageId,
}

impl<S: Stage, W: Work<S::Item>, K: KeyPolicy<S::Item>> Parallel<S, W, K> {
    pub(crate) fn new(
        upstream: S,
        work: W,
        keys: K,
        n: NonZeroUsize,
        id: StageId,
        waker_cell: Arc<WakerCell>,
    ) -> Self {
        let window = n.saturating_add(n.get());
        let finished = Reorder::new(window, true);
        let future_slots = FutureSlots::new(waker_cell);
        Self { upstream, work, keys, future_slots, concurrency: n, finished, id }
    }

    /// Returns the same stage with other work.
    pub(crate) fn rework<V: Work<S::Item>>(self, make: impl FnOnce(W) -> V) -> Parallel<S, V, K> {
        Parallel {
            upstream: self.upstream,
            work: make(self.work),
            keys: self.keys,
            future_slots: FutureSlots::new(self.future_slots.task().clone()),
            concurrency: self.concurrency,
            finished: Reorder::like(&self.finished),
            id: self.id,
        }
    }

    pub(crate) fn set_window(&mut self, window: NonZeroUsize) {
        self.finished.window = window;
    }

    pub(crate) fn set_unordered(&mut self) {
        self.finished = Reorder::new(self.finished.window, false);
    }

    /// Goes on as far as possible without emitting a result. Returns true if it has found that the
    /// stages before have ended; while no more work may start, it does not ask them.
    fn advance(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        self.future_slots.look();
        while let Some(slot) = self.future_slots.next_woken() {
            // A slot that is put off is found again by the next `look` at the earliest.
            if flow.draws_one_in(2) {
                self.future_slots.put_off(slot);
                continue;
            }
            let left = self.poll_slot(slot, flow);
            self.end_keys(left, flow);
        }
        while self.future_slots.in_flight() < self.concurrency.get() && self.has_room() {
            match self.upstream.pull(self.id, cx, flow) {
                Poll::Ready(Some(item)) => self.start(item, flow),
                // A poll that returns no item has driven the stages before.
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
        flow.ledger.meter(self.id).is_blocked = !self.has_room();
        self.upstream.drive(cx, flow);
        false
    }

    /// Returns whether the window has room for one more item.
    fn has_room(&self) -> bool {
        self.finished.has_room_beside(self.keys.waiting())
    }

    fn start(&mut self, item: Item<S::Item>, flow: &mut Flow<'_>) {
        let mut item = Some(item);
        match (flow.call(self.id, || self.keys.arrive(&mut item)), item) {
            (Ok(Some(key)), Some(item)) => {
                let left = self.start_at(key, item, flow);
                self.end_keys(left, flow);
            }
            (Err(panic), Some(Item { lineage, value })) => {
                contain(|| drop(value));
                flow.ledger.fail(self.id, lineage, panic);
            }
            (_, _) => {}
        }
    }

    /// Starts work on an item. Returns its key if the work has ended already.
    fn start_at(
        &mut self,
        key: K::Key,
        Item { lineage, value }: Item<S::Item>,
        flow: &mut Flow<'_>,
    ) -> Option<K::Key> {
        match flow.call(self.id, || self.work.start(value)) {
            Ok(future) => {
                let slot = self.future_slots.start((self.finished.begin(), lineage, key), future);
                let in_flight = self.future_slots.in_flight();
                flow.ledger.meter(self.id).set_in_flight(in_flight, in_flight);
                if flow.draws_one_in(2) {
                    self.future_slots.put_off(slot);
                    return None;
                }
                self.poll_slot(slot, flow)
            }
            Err(panic) => {
                flow.ledger.fail(self.id, lineage, panic);
                Some(key)
            }
        }
    }

    /// Ends the work on the item of key `left`, if any, and starts the next item of that key. If
    /// the work on that item ends at once, too, starts the one after it, and so on.
    fn end_keys(&mut self, mut left: Option<K::Key>, flow: &mut Flow<'_>) {
        while let Some(key) = left {
            left = match flow.call(self.id, || self.keys.leave(key)) {
                Ok(Some((key, item))) => self.start_at(key, item, flow),
                Ok(None) | Err(_) => None,
            };
        }
    }

    /// Polls a future. Returns the key of its item if the future has ended or panicked.
    fn poll_slot(&mut self, slot: usize, flow: &mut Flow<'_>) -> Option<K::Key> {
        let mut output = None;
        let polled = flow.call(self.id, || {
            if let Some(Poll::Ready(result)) = self.future_slots.poll(slot) {
                output = Some(result);
                self.future_slots.drop_future(slot);
            }
        });
        let result = match (output, polled) {
            // The future has ended with a result, which a panic of its destructor must not lose.
            (Some(result), _) => result,
            (None, Ok(())) => return None,
            (None, Err(panic)) => {
                let _ = catch_panic(|| self.future_slots.drop_future(slot));
                Err(panic)
            }
        };
        let (seq, lineage, key) = self.future_slots.free(slot)?;
        let in_flight = self.future_slots.in_flight();
        flow.ledger.meter(self.id).set_in_flight(in_flight, in_flight);
        match result {
            Ok(value) => self.finished.put(seq, Some(Item { lineage, value })),
            Err(error) => {
                self.finished.put(seq, None);
                flow.ledger.fail(self.id, lineage, error);
            }
        }
        Some(key)
    }
}

impl<S: Stage, W: Work<S::Item>, K: KeyPolicy<S::Item>> Stage for Parallel<S, W, K> {
    type Item = W::Out;

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<W::Out>>> {
        let ended = self.advance(cx, flow);
        match self.finished.pop() {
            Some(Item { lineage, value }) => flow.ledger.emit(self.id, lineage, value),
            // Nothing is finished and nothing in flight: all received items have left the stage.
            None if ended && self.future_slots.in_flight() == 0 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        self.advance(cx, flow);
    }
}

debug_by_name!(Parallel<S: Stage, W: Work<S::Item>, K: KeyPolicy<S::Item>>);
