//! Stages that work on several items at once.

use core::{
    fmt,
    num::NonZeroUsize,
    task::{Context, Poll},
};

use tidegate_core::{
    future_slots::{FutureSlots, WakerCell},
    primitive::Arc,
};

use crate::{
    flow::{Flow, Site, caught, contain},
    parcel::{Parcel, Ticket},
    reorder::Reorder,
    stage::Stage,
    turns::{AtOnce, Turns},
    work::Work,
};

/// A stage that works on several items at once, and gives them on in order or as they finish.
///
/// Two numbers bound it: the *concurrency*, how many items it works on, and the *window*, how many it has taken and not
/// given on. Up to the window it goes on while the next stage is busy, and while an item at the head takes long.
pub struct Parallel<S: Stage, W: Work<S::Item>, Q: Turns<S::Item> = AtOnce> {
    upstream: S,
    work: W,
    turns: Q,
    lanes: FutureSlots<(u64, Ticket, Q::Key), W::Future>,
    concurrency: NonZeroUsize,
    finished: Reorder<Parcel<W::Out>>,
    pub(crate) site: Site,
}

impl<S: Stage, W: Work<S::Item>, Q: Turns<S::Item>> Parallel<S, W, Q> {
    pub(crate) fn new(
        upstream: S,
        work: W,
        turns: Q,
        n: NonZeroUsize,
        site: Site,
        bell: Arc<WakerCell>,
    ) -> Self {
        let window = n.saturating_add(n.get());
        let finished = Reorder::new(window, true);
        let lanes = FutureSlots::new(bell);
        Self { upstream, work, turns, lanes, concurrency: n, finished, site }
    }

    /// Returns the same stage with other work.
    pub(crate) fn rework<V: Work<S::Item>>(self, make: impl FnOnce(W) -> V) -> Parallel<S, V, Q> {
        Parallel {
            upstream: self.upstream,
            work: make(self.work),
            turns: self.turns,
            lanes: FutureSlots::new(self.lanes.task().clone()),
            concurrency: self.concurrency,
            finished: Reorder::like(&self.finished),
            site: self.site,
        }
    }

    pub(crate) fn set_window(&mut self, window: NonZeroUsize) {
        self.finished = self.finished.with_window(window);
    }

    pub(crate) fn set_unordered(&mut self) {
        self.finished = self.finished.without_order();
    }

    /// Does all there is to do without giving a result on; returns whether nothing more comes from before.
    fn advance(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        self.lanes.look();
        while let Some(lane) = self.lanes.next_woken() {
            // Put off once more, it stays behind those that were woken after it.
            if flow.draws_one_in(2) {
                self.lanes.put_off(lane);
                continue;
            }
            let left = self.poll_lane(lane, flow);
            self.end_turns(left, flow);
        }
        while self.lanes.in_flight() < self.concurrency.get() && self.has_room() {
            match flow.pull(self.site, &mut self.upstream, cx) {
                Poll::Ready(Some(parcel)) => self.start(parcel, flow),
                // Whoever has nothing to give has been driven.
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
        flow.meter(self.site).is_blocked = !self.has_room();
        self.upstream.drive(cx, flow);
        false
    }

    /// Returns whether the window has room for one more item.
    fn has_room(&self) -> bool {
        self.finished.has_room_beside(self.turns.waiting())
    }

    fn start(&mut self, parcel: Parcel<S::Item>, flow: &mut Flow<'_>) {
        let mut parcel = Some(parcel);
        match (flow.call(self.site, || self.turns.arrive(&mut parcel)), parcel) {
            (Ok(Some(key)), Some(parcel)) => {
                let left = self.start_at(key, parcel, flow);
                self.end_turns(left, flow);
            }
            (Err(panic), Some(Parcel { ticket, value })) => {
                contain(|| drop(value));
                flow.fail(self.site, ticket, panic);
            }
            (_, _) => {}
        }
    }

    /// Begins with an item. Returns its key if the work has ended already.
    fn start_at(
        &mut self,
        key: Q::Key,
        Parcel { ticket, value }: Parcel<S::Item>,
        flow: &mut Flow<'_>,
    ) -> Option<Q::Key> {
        match flow.call(self.site, || self.work.start(value)) {
            Ok(future) => {
                let lane = self.lanes.start((self.finished.begin(), ticket, key), future);
                flow.meter(self.site).set_in_flight(self.lanes.in_flight(), self.lanes.in_flight());
                if flow.draws_one_in(2) {
                    self.lanes.put_off(lane);
                    return None;
                }
                self.poll_lane(lane, flow)
            }
            Err(panic) => {
                flow.fail(self.site, ticket, panic);
                Some(key)
            }
        }
    }

    /// Lets those begin whose turn it is when the work on an item of a key has ended.
    fn end_turns(&mut self, mut left: Option<Q::Key>, flow: &mut Flow<'_>) {
        while let Some(key) = left {
            left = match flow.call(self.site, || self.turns.leave(key)) {
                Ok(Some((key, parcel))) => self.start_at(key, parcel, flow),
                Ok(None) | Err(_) => None,
            };
        }
    }

    /// Polls a lane. Returns the key of what it was for if that has ended.
    fn poll_lane(&mut self, lane: usize, flow: &mut Flow<'_>) -> Option<Q::Key> {
        let mut output = None;
        let polled = flow.call(self.site, || {
            if let Some(Poll::Ready(result)) = self.lanes.poll(lane) {
                output = Some(result);
                self.lanes.drop_future(lane);
            }
        });
        let result = match (output, polled) {
            // Its result is there. What panics when it is dropped takes nothing with it.
            (Some(result), _) => result,
            (None, Ok(())) => return None,
            (None, Err(panic)) => {
                let _ = caught(|| self.lanes.drop_future(lane));
                Err(panic)
            }
        };
        let (seq, ticket, key) = self.lanes.free(lane)?;
        flow.meter(self.site).set_in_flight(self.lanes.in_flight(), self.lanes.in_flight());
        match result {
            Ok(value) => self.finished.put(seq, Some(Parcel { ticket, value })),
            Err(error) => {
                self.finished.put(seq, None);
                flow.fail(self.site, ticket, error);
            }
        }
        Some(key)
    }
}

impl<S: Stage, W: Work<S::Item>, Q: Turns<S::Item>> Stage for Parallel<S, W, Q> {
    type Item = W::Out;

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Parcel<W::Out>>> {
        let ended = self.advance(cx, flow);
        match self.finished.pop() {
            Some(Parcel { ticket, value }) => flow.give(self.site, ticket, value),
            // Nothing finished and nothing in flight: what may still stand in the order has gone.
            None if ended && self.lanes.in_flight() == 0 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        self.advance(cx, flow);
    }
}

impl<S: Stage, W: Work<S::Item>, Q: Turns<S::Item>> fmt::Debug for Parallel<S, W, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parallel")
            .field("in_flight", &self.lanes.in_flight())
            .finish_non_exhaustive()
    }
}
