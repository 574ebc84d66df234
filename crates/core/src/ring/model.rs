//! LOOM: the ring itself is modelled elsewhere, so models of code that uses it have a locked deque
//! in its place. The deque promises the same: moving an item and reading whether the other side
//! waits are one step.

use core::num::NonZeroUsize;

use alloc::collections::VecDeque;

use super::{NotPopped, NotPushed, Popped, Pushed};

/// A locked deque with the interface of [`Ring`](super::Ring).
pub struct Ring<T> {
    state: loom::sync::Mutex<State<T>>,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    consumer_waiting: bool,
    producer_waiting: bool,
    closed: bool,
    diverted: bool,
}

#[allow(missing_docs, reason = "as the ring's own")]
impl<T> Ring<T> {
    pub fn new(capacity: NonZeroUsize) -> Self {
        let state = State {
            items: VecDeque::new(),
            consumer_waiting: false,
            producer_waiting: false,
            closed: false,
            diverted: false,
        };
        Self { state: loom::sync::Mutex::new(state), capacity: capacity.get() }
    }

    fn with<R>(&self, section: impl FnOnce(&mut State<T>) -> R) -> R {
        section(&mut self.state.lock().unwrap())
    }

    pub fn push(&self, item: T) -> Result<Pushed, NotPushed<T>> {
        self.with(|state| match () {
            () if state.closed => Err(NotPushed::Closed(item)),
            () if state.diverted => Err(NotPushed::Full(item)),
            () => state.push(item, self.capacity),
        })
    }

    pub fn push_diverted(&self, item: T) -> Result<Pushed, NotPushed<T>> {
        self.with(|state| state.push(item, self.capacity))
    }

    pub fn pop(&self) -> Result<Popped<T>, NotPopped> {
        self.with(|state| match state.items.pop_front() {
            Some(item) => Ok(Popped { item, is_awaited: state.producer_waiting }),
            None if state.diverted => Err(NotPopped::Diverted),
            None if state.closed => Err(NotPopped::Closed),
            None => Err(NotPopped::Empty),
        })
    }

    pub fn set_consumer_waiting(&self) {
        self.with(|state| state.consumer_waiting = true);
    }

    pub fn clear_consumer_waiting(&self) {
        self.with(|state| state.consumer_waiting = false);
    }

    pub fn is_consumer_waiting(&self) -> bool {
        self.with(|state| state.consumer_waiting)
    }

    pub fn set_producer_waiting(&self) {
        self.with(|state| state.producer_waiting = true);
    }

    pub fn clear_producer_waiting(&self) {
        self.with(|state| state.producer_waiting = false);
    }

    pub fn divert(&self) {
        self.with(|state| state.diverted = true);
    }

    pub fn resume(&self) {
        self.with(|state| state.diverted = false);
    }

    pub fn is_diverted(&self) -> bool {
        self.with(|state| state.diverted)
    }

    pub fn close(&self) -> bool {
        self.with(|state| !core::mem::replace(&mut state.closed, true))
    }

    pub fn is_closed(&self) -> bool {
        self.with(|state| state.closed)
    }

    pub fn is_drained(&self) -> bool {
        self.with(|state| state.closed && !state.diverted && state.items.is_empty())
    }

    pub fn seems_to_have_room(&self) -> bool {
        self.len() < self.capacity
    }

    pub fn is_full(&self) -> bool {
        !self.seems_to_have_room()
    }

    pub fn len(&self) -> usize {
        self.with(|state| state.items.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

impl<T> core::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl<T> State<T> {
    fn push(&mut self, item: T, capacity: usize) -> Result<Pushed, NotPushed<T>> {
        if self.items.len() == capacity {
            return Err(NotPushed::Full(item));
        }
        self.items.push_back(item);
        Ok(Pushed { is_awaited: self.consumer_waiting })
    }
}
