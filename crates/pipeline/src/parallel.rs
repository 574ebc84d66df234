//! Stages that work on several items at once.

use core::{
    fmt,
    num::NonZeroUsize,
    task::{Context, Poll},
};

use tidegate_core::primitive::Arc;

use crate::{
    bell::Bell,
    flow::{Flow, Site},
    lanes::Lanes,
    parcel::{Parcel, Ticket},
    reorder::Reorder,
    stage::Stage,
    work::Work,
};

/// A stage that works on several items at once, and gives them on in order or as they finish.
///
/// Two numbers bound it: the *concurrency*, how many items it works on, and the *window*, how many it has taken and not
/// given on. Up to the window it goes on while the next stage is busy, and while an item at the head takes long.
pub struct Parallel<S: Stage, W: Work<S::Item>> {
    upstream: S,
    work: W,
    lanes: Lanes<(u64, Ticket), W::Future>,
    finished: Reorder<Parcel<W::Out>>,
    pub(crate) site: Site,
}

impl<S: Stage, W: Work<S::Item>> Parallel<S, W> {
    pub(crate) fn new(upstream: S, work: W, n: NonZeroUsize, site: Site, bell: Arc<Bell>) -> Self {
        let window = n.saturating_add(n.get());
        let finished = Reorder::new(window, true);
        Self { upstream, work, lanes: Lanes::new(n, bell), finished, site }
    }

    /// Returns the same stage with other work.
    pub(crate) fn rework<V: Work<S::Item>>(self, make: impl FnOnce(W) -> V) -> Parallel<S, V> {
        Parallel {
            upstream: self.upstream,
            work: make(self.work),
            lanes: Lanes::like(&self.lanes),
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
        let mut word = 0;
        while let Some(woken) = self.lanes.take_woken(word) {
            woken.for_each(|lane| self.poll_lane(lane, flow));
            word += 1;
        }
        while self.lanes.has_room() && self.finished.has_room() {
            match flow.pull(self.site, &mut self.upstream, cx) {
                Poll::Ready(Some(parcel)) => self.start(parcel, flow),
                // Whoever has nothing to give has been driven.
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
        flow.meter(self.site).is_blocked = !self.finished.has_room();
        self.upstream.drive(cx, flow);
        false
    }

    fn start(&mut self, Parcel { ticket, value }: Parcel<S::Item>, flow: &mut Flow<'_>) {
        match flow.call(self.site, || self.work.start(value)) {
            Ok(future) => {
                let lane = self.lanes.start((self.finished.begin(), ticket), future);
                flow.meter(self.site).set_in_flight(self.lanes.in_flight(), self.lanes.in_flight());
                self.poll_lane(lane, flow);
            }
            Err(panic) => flow.fail(self.site, ticket, panic),
        }
    }

    fn poll_lane(&mut self, lane: usize, flow: &mut Flow<'_>) {
        let result = match flow.call(self.site, || self.lanes.poll(lane)) {
            Ok(Some(Poll::Ready(result))) => result,
            Ok(Some(Poll::Pending) | None) => return,
            Err(panic) => {
                // What panics once may panic again when it is dropped, and one error is enough.
                let _ = flow.call(self.site, || self.lanes.drop_future(lane));
                Err(panic)
            }
        };
        let (seq, ticket) = self.lanes.free(lane);
        flow.meter(self.site).set_in_flight(self.lanes.in_flight(), self.lanes.in_flight());
        match result {
            Ok(value) => self.finished.put(seq, Some(Parcel { ticket, value })),
            Err(error) => {
                self.finished.put(seq, None);
                flow.fail(self.site, ticket, error);
            }
        }
    }
}

impl<S: Stage, W: Work<S::Item>> Stage for Parallel<S, W> {
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

impl<S: Stage, W: Work<S::Item>> fmt::Debug for Parallel<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parallel")
            .field("in_flight", &self.lanes.in_flight())
            .finish_non_exhaustive()
    }
}
