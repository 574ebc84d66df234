//! Flows that one wires by hand of threads and of crossbeam's channels.

use std::{collections::VecDeque, thread, thread::Scope};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::flows::THREADS;

/// A feeder, [`THREADS`] workers, and the caller, which puts the results in order.
pub(super) fn fed<P: Send>(
    pieces: impl Iterator<Item = P> + Send,
    room: usize,
    work: impl Fn(P) -> P + Copy + Send,
    sink: impl FnMut(P),
) {
    thread::scope(|scope| {
        let (to_do, done) = workers(scope, room, work);
        scope.spawn(move || {
            for numbered in pieces.enumerate() {
                to_do.send(numbered).expect("the workers receive");
            }
        });
        let mut order = Order::new(sink);
        done.iter().for_each(|(place, piece)| order.put(place, piece));
    });
}

/// The same with one thread less: the caller feeds, too, while there is room.
pub(super) fn feeding<P: Send>(
    pieces: impl Iterator<Item = P>,
    room: usize,
    work: impl Fn(P) -> P + Copy + Send,
    sink: impl FnMut(P),
) {
    thread::scope(|scope| {
        let (to_do, done) = workers(scope, room, work);
        let mut order = Order::new(sink);
        let mut pieces = pieces.enumerate();
        let mut fed = 0;
        loop {
            for numbered in pieces.by_ref().take(room - (fed - order.next)) {
                to_do.send(numbered).expect("the workers receive");
                fed += 1;
            }
            if fed == order.next {
                break;
            }
            let (place, piece) = done.recv().expect("the workers send");
            order.put(place, piece);
        }
    });
}

/// A piece and its place.
type Numbered<P> = (usize, P);

/// Starts the workers, with one channel to them and one from them.
fn workers<'scope, P: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    room: usize,
    work: impl Fn(P) -> P + Copy + Send + 'scope,
) -> (Sender<Numbered<P>>, Receiver<Numbered<P>>) {
    let (to_do, received) = bounded(room);
    let (done, results) = bounded(room);
    for _ in 0..THREADS {
        let (received, done): (Receiver<Numbered<P>>, _) = (received.clone(), done.clone());
        scope.spawn(move || {
            for (place, piece) in received {
                done.send((place, work(piece))).expect("the caller receives");
            }
        });
    }
    (to_do, results)
}

/// Hands pieces on in order. Those that are early lie in a deque that begins with the next place.
struct Order<P, F> {
    next: usize,
    early: VecDeque<Option<P>>,
    sink: F,
}

impl<P, F: FnMut(P)> Order<P, F> {
    fn new(sink: F) -> Self {
        Self { next: 0, early: VecDeque::new(), sink }
    }

    fn put(&mut self, place: usize, piece: P) {
        let ahead = place - self.next;
        if self.early.len() <= ahead {
            self.early.resize_with(ahead + 1, || None);
        }
        self.early[ahead] = Some(piece);
        while let Some(piece) = self.early.pop_front_if(|piece| piece.is_some()).flatten() {
            (self.sink)(piece);
            self.next += 1;
        }
    }
}
