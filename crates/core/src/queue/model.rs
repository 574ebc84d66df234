//! LOOM: `crossbeam-queue` is invisible to the model, so a locked deque with the same interface
//! stands in for it.

use alloc::collections::VecDeque;

#[derive(Debug)]
pub(super) struct ArrayQueue<T> {
    items: loom::sync::Mutex<VecDeque<T>>,
    capacity: usize,
}

impl<T> ArrayQueue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { items: loom::sync::Mutex::new(VecDeque::new()), capacity }
    }
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut items = self.items.lock().unwrap();
        if items.len() == self.capacity {
            return Err(item);
        }
        items.push_back(item);
        Ok(())
    }
    pub(super) fn pop(&self) -> Option<T> {
        self.items.lock().unwrap().pop_front()
    }
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }
}

#[derive(Debug)]
pub(super) struct SegQueue<T>(ArrayQueue<T>);

impl<T> SegQueue<T> {
    pub(super) fn new() -> Self {
        Self(ArrayQueue::new(usize::MAX))
    }
    pub(super) fn push(&self, item: T) {
        assert!(self.0.push(item).is_ok(), "an unbounded queue has room");
    }
    pub(super) fn pop(&self) -> Option<T> {
        self.0.pop()
    }
}
