//! Futures in flight, of which only the woken ones are polled.
//!
//! ```text
//! waker of lane i:  set bit i ─▶ ring the bell
//! the flow's poll:  fit the bell ─▶ take the bits ─▶ poll those lanes
//! ```
//!
//! The bell's lock orders the two: a bit that is set too late to be taken is rung for with the waker just fitted.
//! The idea of a waker for each future is that of `futures`' `FuturesUnordered`; a bit per lane replaces its linked list.

use core::{
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::primitive::{
    Arc, OnWake, Wakeable,
    atomic::{AtomicUsize, Ordering},
};

use crate::bell::Bell;

const BITS: usize = usize::BITS as usize;

/// At most so many futures, each with a note `J` that says what it is for.
///
/// A lane is allocated when more futures than ever before are in flight, and used again for the next.
pub(crate) struct Lanes<J, F> {
    lanes: Vec<Lane<J, F>>,
    /// Lanes without a future.
    idle: Vec<usize>,
    capacity: usize,
    woken: Arc<Woken>,
}

struct Lane<J, F> {
    future: Pin<Box<Option<F>>>,
    // INVARIANT: `Some` from `start` to `free`; without it there is no future.
    job: Option<J>,
    waker: Waker,
}

/// Which lanes were woken since they were last looked for.
struct Woken {
    /// Bit `i % BITS` of word `i / BITS` belongs to lane `i`. Set by its waker, cleared by the flow. A bit without a
    /// future was left by a late waker and means nothing.
    words: Box<[AtomicUsize]>,
    bell: Arc<Bell>,
}

struct LaneWaker {
    woken: Arc<Woken>,
    lane: usize,
}

impl Woken {
    fn wake(&self, lane: usize) {
        let bit = 1 << (lane % BITS);
        // ORDERING: Release: pairs with the Acquire in `take_woken`: what the waking thread did is seen by the poll.
        let before = self.words[lane / BITS].fetch_or(bit, Ordering::Release);
        // Whoever set the bit before rings for it, and it has not been taken since.
        if before & bit == 0 {
            self.bell.ring();
        }
    }
}

impl OnWake for LaneWaker {
    fn on_wake(&self) {
        self.woken.wake(self.lane);
    }
}

impl<J, F: Future> Lanes<J, F> {
    /// Creates room for `capacity` futures; allocates a bit for each.
    pub(crate) fn new(capacity: NonZeroUsize, bell: Arc<Bell>) -> Self {
        let words = (0..capacity.get().div_ceil(BITS)).map(|_| AtomicUsize::new(0)).collect();
        let woken = Arc::new(Woken { words, bell });
        Self { lanes: Vec::new(), idle: Vec::new(), capacity: capacity.get(), woken }
    }

    /// Creates the same for other futures. Nothing is in flight there.
    pub(crate) fn like<K, G>(other: &Lanes<K, G>) -> Self {
        let Woken { words, bell } = &*other.woken;
        let words = words.iter().map(|_| AtomicUsize::new(0)).collect();
        Self {
            lanes: Vec::new(),
            idle: Vec::new(),
            capacity: other.capacity,
            woken: Arc::new(Woken { words, bell: bell.clone() }),
        }
    }

    /// Returns whether a lane is free.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < self.capacity
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lanes.len() - self.idle.len()
    }

    /// Puts a future into a lane, unpolled, and returns the lane.
    pub(crate) fn start(&mut self, job: J, future: F) -> usize {
        debug_assert!(self.has_room(), "the caller has looked");
        let number = self.idle.pop().unwrap_or_else(|| {
            let lane = self.lanes.len();
            let waker =
                Waker::from(Arc::new(Wakeable(LaneWaker { woken: self.woken.clone(), lane })));
            self.lanes.push(Lane { future: Box::pin(None), job: None, waker });
            lane
        });
        let lane = &mut self.lanes[number];
        lane.future.set(Some(future));
        lane.job = Some(job);
        number
    }

    /// Lets a lane be polled later.
    pub(crate) fn put_off(&self, number: usize) {
        self.woken.wake(number);
    }

    /// Polls a lane; `None` if it has no future. A future that is ready is dropped at once.
    pub(crate) fn poll(&mut self, number: usize) -> Option<Poll<F::Output>> {
        let Lane { future, waker, .. } = self.lanes.get_mut(number)?;
        let polled = future.as_mut().as_pin_mut()?.poll(&mut Context::from_waker(waker));
        if polled.is_ready() {
            future.set(None);
        }
        Some(polled)
    }

    /// Drops the future of a lane whose poll has panicked.
    pub(crate) fn drop_future(&mut self, number: usize) {
        self.lanes[number].future.set(None);
    }

    /// Frees a lane whose future is gone, and returns what it was for.
    pub(crate) fn free(&mut self, number: usize) -> J {
        self.idle.push(number);
        self.lanes[number].job.take().expect("a future has a job")
    }

    /// Takes the woken lanes of a word; `None` past the last word in use.
    pub(crate) fn take_woken(&mut self, word: usize) -> Option<WokenLanes> {
        if word * BITS >= self.lanes.len() {
            return None;
        }
        let bits = &self.woken.words[word];
        // ORDERING: Relaxed: a bit whose ring came before the bell was fitted is seen through the bell's lock; for
        // any other the flow is polled again. Acquire: pairs with the Release in `on_wake`.
        let bits = match bits.load(Ordering::Relaxed) {
            0 => 0,
            _ => bits.swap(0, Ordering::Acquire),
        };
        Some(WokenLanes { first: word * BITS, bits })
    }
}

/// Lanes that were woken, out of one word.
pub(crate) struct WokenLanes {
    first: usize,
    bits: usize,
}

impl Iterator for WokenLanes {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.bits == 0 {
            return None;
        }
        let lane = self.first + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use core::{cell::Cell, future::poll_fn};

    use super::*;

    fn woken<J, F: Future>(lanes: &mut Lanes<J, F>) -> Vec<usize> {
        (0..).map_while(|word| lanes.take_woken(word)).flatten().collect()
    }

    #[test]
    fn only_the_woken_lane_is_found_also_beyond_the_first_word() {
        let capacity = NonZeroUsize::new(3 * BITS).unwrap();
        let wakers = Cell::new(Vec::new());
        let mut lanes = Lanes::new(capacity, Arc::default());
        for n in 0..2 * BITS + 1 {
            let wakers = &wakers;
            let lane = lanes.start(
                n,
                poll_fn(move |cx: &mut Context<'_>| {
                    let mut all = wakers.take();
                    all.push(cx.waker().clone());
                    wakers.set(all);
                    Poll::<()>::Pending
                }),
            );
            assert_eq!(lanes.poll(lane), Some(Poll::Pending));
        }
        let wakers = wakers.take();
        assert_eq!(woken(&mut lanes), []);
        wakers[2 * BITS].wake_by_ref();
        wakers[5].wake_by_ref();
        wakers[5].wake_by_ref();
        assert_eq!(woken(&mut lanes), [5, 2 * BITS]);
        assert_eq!(woken(&mut lanes), []);
    }

    #[test]
    fn a_late_waker_finds_an_empty_lane() {
        let mut lanes = Lanes::new(NonZeroUsize::MIN, Arc::default());
        let lane = lanes.start("job", core::future::ready(7));
        assert_eq!(lanes.poll(lane), Some(Poll::Ready(7)));
        assert_eq!((lanes.free(lane), lanes.in_flight()), ("job", 0));
        lanes.lanes[lane].waker.wake_by_ref();
        assert_eq!(woken(&mut lanes), [lane]);
        assert_eq!(lanes.poll(lane), None);
    }
}
