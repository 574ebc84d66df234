//! A queue behind a lock: what one writes without a crate and without a channel.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Instant,
};

use super::{
    channels::{AtOnce, Channel, Full, Sender},
    subject::{BATCH, Trigger},
};

/// A `VecDeque` in a `Mutex`, and two condition variables, notified only where somebody may wait.
pub(super) struct Locked;

impl Channel for Full<Locked> {
    type Sender<T: Send + 'static> = Producers<T>;

    fn start<T: Send + 'static>(
        room: usize,
        handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> Producers<T> {
        start(Trigger::Full, room, handle)
    }
}

impl Channel for AtOnce<Locked> {
    type Sender<T: Send + 'static> = Producers<T>;

    fn start<T: Send + 'static>(
        room: usize,
        handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> Producers<T> {
        start(Trigger::AtOnce, room, handle)
    }
}

/// The end of the producers. Dropped, it ends the thread.
pub(super) struct Producers<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Notified when there is a first item, and when there is a batch of them.
    work: Condvar,
    /// Notified when there is room again, if somebody waits.
    room: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    room: usize,
    waiting_for_room: usize,
    is_closed: bool,
}

fn start<T: Send + 'static>(
    trigger: Trigger,
    room: usize,
    mut handle: impl FnMut(&mut Vec<T>) + Send + 'static,
) -> Producers<T> {
    let state =
        State { items: VecDeque::with_capacity(room), room, waiting_for_room: 0, is_closed: false };
    let shared =
        Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() });
    let producers = Producers(shared.clone());
    thread::spawn(move || {
        let mut batch = Vec::with_capacity(BATCH);
        while shared.take(trigger, &mut batch) {
            handle(&mut batch);
            batch.clear();
        }
    });
    producers
}

impl<T> Shared<T> {
    /// Fills the batch; returns false at the end.
    fn take(&self, trigger: Trigger, batch: &mut Vec<T>) -> bool {
        let mut state = self.work_to_do(trigger);
        let there = state.items.len().min(BATCH);
        batch.extend(state.items.drain(..there));
        let waiting = state.waiting_for_room;
        drop(state);
        if waiting > 0 {
            self.room.notify_all();
        }
        !batch.is_empty()
    }

    fn work_to_do(&self, trigger: Trigger) -> MutexGuard<'_, State<T>> {
        let idle = |state: &mut State<T>| state.items.is_empty() && !state.is_closed;
        let mut state = self.work.wait_while(self.state.lock().unwrap(), idle).unwrap();
        let delay = trigger.delay().filter(|_| state.items.len() < BATCH);
        let Some(deadline) = delay.map(|delay| Instant::now() + delay) else { return state };
        while state.items.len() < BATCH && !state.is_closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.work.wait_timeout(state, left).unwrap().0;
        }
        state
    }
}

impl<T: Send> Sender<T> for Producers<T> {
    #[inline]
    fn send(&self, item: T) {
        let mut state = self.0.state.lock().unwrap();
        while state.items.len() == state.room {
            state.waiting_for_room += 1;
            state = self.0.room.wait(state).unwrap();
            state.waiting_for_room -= 1;
        }
        state.items.push_back(item);
        let there = state.items.len();
        drop(state);
        if there == 1 || there == BATCH {
            self.0.work.notify_one();
        }
    }
}

impl<T> Drop for Producers<T> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().is_closed = true;
        self.0.work.notify_one();
    }
}
