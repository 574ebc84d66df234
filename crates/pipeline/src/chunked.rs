//! Stages whose work is done by other threads, in chunks.

use core::{
    fmt, mem,
    num::NonZeroUsize,
    task::{Context, Poll, ready},
};

use alloc::vec::{IntoIter, Vec};

use tidegate_core::primitive::Arc;

use crate::{
    flow::{DropEach, Flow, Site},
    hatch::{Chunk, Done, Hatch},
    labour::Labour,
    pace::Pace,
    parcel::{Parcel, Ticket},
    place::Carrier,
    reorder::Reorder,
    stage::Stage,
};

/// A stage whose work is done by other threads. Consecutive items travel as chunks, whose size is learnt from the time
/// they take; what is there is not held back while a worker is free.
pub struct Chunked<S: Stage, L: Labour<S::Item>, C> {
    pub(crate) upstream: S,
    hatch: FlowSide<S::Item, L>,
    pub(crate) carrier: C,
    n: NonZeroUsize,
    pace: Pace,
    /// The next chunk.
    items: DropEach<Vec<S::Item>>,
    // INVARIANT: as long as `items`.
    tickets: Vec<Ticket>,
    /// Chunks put down and not collected, and the items in them.
    in_work: usize,
    items_in_work: usize,
    /// Chunks collected and not opened.
    finished: Reorder<Opened<L::Out>>,
    opened: Option<Opened<L::Out>>,
    /// For the collection; empty between two.
    done: Vec<Done<L::Out>>,
    /// The poll of the flow in which it advanced last.
    turn: u64,
    /// The flow's own, where it does the work itself.
    state: Option<L::State>,
}

/// A chunk that is being given on.
struct Opened<Out> {
    tickets: IntoIter<Ticket>,
    outs: DropEach<IntoIter<Out>>,
}

impl<S: Stage, L: Labour<S::Item>, C> Chunked<S, L, C> {
    pub(crate) fn new(
        upstream: S,
        labour: L,
        carrier: C,
        n: NonZeroUsize,
        flow: &Flow<'_>,
    ) -> Self {
        let pace = Pace::new(n);
        Self {
            upstream,
            hatch: FlowSide(Arc::new(Hatch::new(labour, n, flow.bell.clone()))),
            carrier,
            n,
            items: DropEach::default(),
            tickets: Vec::new(),
            in_work: 0,
            items_in_work: 0,
            finished: Reorder::new(pace.chunks(), true),
            opened: None,
            done: Vec::new(),
            turn: 0,
            state: None,
            pace,
        }
    }

    /// Returns the same stage with other work, for the same workers.
    pub(crate) fn rework<M: Labour<S::Item>>(
        self,
        flow: &Flow<'_>,
        make: impl FnOnce(L) -> M,
    ) -> Chunked<S, M, C> {
        let labour = self.hatch.into_labour();
        let mut stage = Chunked::new(self.upstream, make(labour), self.carrier, self.n, flow);
        stage.finished = Reorder::like(&self.finished);
        stage.pace = self.pace;
        stage
    }

    pub(crate) fn set_window(&mut self, window: NonZeroUsize) {
        self.pace.set_window(self.n, window);
        self.finished = self.finished.with_window(self.pace.chunks());
    }

    pub(crate) fn set_unordered(&mut self) {
        self.finished = self.finished.without_order();
    }

    pub(crate) fn width(&self) -> NonZeroUsize {
        self.n
    }

    fn site(&self) -> Site {
        self.hatch.0.labour().first()
    }

    fn has_room(&self) -> bool {
        self.finished.held() + usize::from(self.opened.is_some()) < self.pace.chunks().get()
    }

    /// Takes the next result out of the chunk that is open.
    #[inline]
    fn next(&mut self, flow: &mut Flow<'_>) -> Option<Parcel<L::Out>> {
        let Opened { tickets, outs } = self.opened.as_mut()?;
        if let (Some(ticket), Some(value)) = (tickets.next(), outs.next()) {
            flow.given(self.hatch.0.labour().last());
            return Some(Parcel { ticket, value });
        }
        self.opened = None;
        None
    }
}

impl<S: Stage, L: Labour<S::Item>, C: Carrier<Hatch<S::Item, L>>> Chunked<S, L, C> {
    /// Does all there is to do without giving a result on; returns whether nothing more comes from before.
    fn advance(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        self.turn = flow.turn();
        // What has been given on makes room.
        self.opened.take_if(|opened| opened.tickets.len() == 0);
        if let Some(rng) = &mut flow.rng {
            // Any that waits may be next, or nobody for now.
            self.hatch.0.work_here(|waiting| rng.below(waiting + 1).checked_sub(1));
        }
        self.collect(flow);
        let ended = self.pack(cx, flow);
        if flow.rng.is_some() && self.in_work > 0 {
            cx.waker().wake_by_ref();
        }
        self.carrier.poll(cx);
        let in_work = self.in_work.min(self.n.get());
        flow.meter(self.site()).set_in_flight(self.items_in_work, in_work);
        ended
    }

    fn collect(&mut self, flow: &mut Flow<'_>) {
        let mut done = mem::take(&mut self.done);
        let calls = self.hatch.0.collect(&mut done);
        (0..calls).for_each(|_| self.carrier.call(&self.hatch.0));
        for chunk in done.drain(..) {
            self.in_work -= 1;
            self.items_in_work -= chunk.tickets.len();
            if let (Some(time), None) = (chunk.time, &flow.rng) {
                self.pace.learn(chunk.tickets.len(), time);
                flow.meter(self.site()).measured(time);
            }
            let seq = chunk.seq;
            let opened = self.settle(chunk, flow);
            self.finished.put(seq, opened);
        }
        self.done = done;
    }

    /// Enters what failed, and returns the rest.
    fn settle(&self, chunk: Done<L::Out>, flow: &mut Flow<'_>) -> Option<Opened<L::Out>> {
        let Done { tickets, outs, failures, lost, .. } = chunk;
        if let Some(why) = lost {
            for ticket in tickets {
                flow.fail(self.site(), ticket, why.error().into());
            }
            return None;
        }
        let labour = self.hatch.0.labour();
        let mut entered = tickets.len() as u64;
        for site in labour.first().through(labour.last()) {
            if site != labour.first() {
                flow.meter(site).figures.taken += entered;
            }
            entered -= failures.iter().filter(|failure| failure.site == site).count() as u64;
            if site != labour.last() {
                flow.meter(site).figures.given += entered;
            }
        }
        let tickets = if failures.is_empty() {
            tickets
        } else {
            let mut failures = DropEach::new(failures.into_inner().into_iter());
            let mut left = Vec::with_capacity(outs.len());
            for (position, ticket) in tickets.into_iter().enumerate() {
                let is_next =
                    failures.as_slice().first().is_some_and(|next| next.position == position);
                match is_next.then(|| failures.next()).flatten() {
                    Some(failure) => flow.fail(failure.site, ticket, failure.cause),
                    None => left.push(ticket),
                }
            }
            left
        };
        let outs = DropEach::new(outs.into_inner().into_iter());
        let opened = Opened { tickets: tickets.into_iter(), outs };
        (opened.tickets.len() > 0).then_some(opened)
    }

    fn pack(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        let site = self.site();
        while self.has_room() {
            let size = flow.rng.as_mut().map_or(self.pace.size(), |rng| self.pace.draw(rng));
            while self.items.len() < size {
                match flow.pull(site, &mut self.upstream, cx) {
                    Poll::Ready(Some(Parcel { ticket, value })) => {
                        self.items.push(value);
                        self.tickets.push(ticket);
                    }
                    Poll::Ready(None) => {
                        self.put(flow);
                        return true;
                    }
                    Poll::Pending => {
                        if self.in_work < self.n.get() && !flow.is_spent() {
                            self.put(flow);
                        }
                        return false;
                    }
                }
            }
            self.put(flow);
        }
        flow.meter(site).is_blocked = true;
        self.upstream.drive(cx, flow);
        false
    }

    /// Puts the next chunk down, if there is anything in it.
    fn put(&mut self, flow: &Flow<'_>) {
        if self.items.is_empty() {
            return;
        }
        self.in_work += 1;
        self.items_in_work += self.items.len();
        let size = self.pace.size();
        let chunk = Chunk {
            seq: self.finished.begin(),
            tickets: mem::replace(&mut self.tickets, Vec::with_capacity(size)),
            items: mem::replace(&mut self.items, DropEach::new(Vec::with_capacity(size))),
        };
        if self.hatch.0.put(chunk, flow.rng.is_none()) {
            self.carrier.call(&self.hatch.0);
        }
    }

    /// Gives the next item on after working on it here.
    fn poll_here(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Parcel<L::Out>>> {
        let labour = self.hatch.0.labour();
        let site = labour.first();
        loop {
            let Some(Parcel { ticket, value }) = ready!(flow.pull(site, &mut self.upstream, cx))
            else {
                return Poll::Ready(None);
            };
            let (mut at, state) = (site, &mut self.state);
            let step = flow.call(site, || {
                labour.step(state.get_or_insert_with(|| labour.enter()), &mut at, value)
            });
            for between in site.through(labour.last()) {
                if between != site {
                    flow.meter(between).figures.taken += 1;
                }
                if between == at && step.as_ref().map_or(true, |step| step.is_err()) {
                    break;
                }
                flow.given(between);
            }
            match step {
                Ok(Ok(value)) => return Poll::Ready(Some(Parcel { ticket, value })),
                Ok(Err(error)) => flow.fail(at, ticket, error),
                Err(panic) => {
                    // What the state is after a panic nobody knows.
                    let _ = flow.call(site, || self.state = None);
                    flow.fail(at, ticket, panic);
                }
            }
        }
    }
}

impl<S: Stage, L: Labour<S::Item>, C: Carrier<Hatch<S::Item, L>>> Stage for Chunked<S, L, C> {
    type Item = L::Out;

    #[inline]
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Parcel<L::Out>>> {
        if self.carrier.is_here(flow) && flow.rng.is_none() {
            return self.poll_here(cx, flow);
        }
        if self.turn == flow.turn() {
            if let Some(parcel) = self.next(flow) {
                return Poll::Ready(Some(parcel));
            }
        }
        let ended = self.advance(cx, flow);
        loop {
            if let Some(parcel) = self.next(flow) {
                return Poll::Ready(Some(parcel));
            }
            self.opened = self.finished.pop();
            if self.opened.is_none() {
                return if ended && self.in_work == 0 { Poll::Ready(None) } else { Poll::Pending };
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        if self.carrier.is_here(flow) && flow.rng.is_none() {
            self.upstream.drive(cx, flow);
        } else {
            self.advance(cx, flow);
        }
    }
}

impl<S: Stage, L: Labour<S::Item>, C> fmt::Debug for Chunked<S, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunked").field("in_work", &self.in_work).finish_non_exhaustive()
    }
}

/// The flow's hold on a hatch: without it, what waits there is not wanted.
struct FlowSide<In, L: Labour<In>>(Arc<Hatch<In, L>>);

impl<In, L: Labour<In>> FlowSide<In, L> {
    fn into_labour(self) -> L {
        let hatch = self.0.clone();
        drop(self);
        let hatch = Arc::into_inner(hatch);
        hatch.expect("a flow that is not yet run has no workers").into_labour()
    }
}

impl<In, L: Labour<In>> Drop for FlowSide<In, L> {
    fn drop(&mut self) {
        self.0.clear();
    }
}
