//! The twelve laws for core's own primitives.

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll},
};

use loom_tests::{laws::Subject, laws_of_waiting};
use tidegate_core::{
    Closed, Event, Queue, WaitList,
    event::Condition,
    primitive::atomic::{AtomicBool, AtomicU32, Ordering},
    wait_list::{Line, Supply, Turn},
};

laws_of_waiting!(event: crate::Jar);
laws_of_waiting!(wait_list: crate::Pot);
laws_of_waiting!(queue_pop: crate::Popped);
laws_of_waiting!(queue_push: crate::Pushed);

/// Units counted in an atomic, waited for with an [`Event`].
struct Jar {
    units: AtomicU32,
    closed: AtomicBool,
    changed: Event,
}

struct TakeOne<'a>(&'a Jar);

impl Condition for TakeOne<'_> {
    type Output = Result<(), Closed>;

    fn check(&mut self) -> Option<Self::Output> {
        let Jar { units, closed, .. } = self.0;
        let taken =
            units.fetch_update(Ordering::AcqRel, Ordering::Acquire, |units| units.checked_sub(1));
        match taken {
            Ok(_) => Some(Ok(())),
            Err(_) => closed.load(Ordering::Acquire).then_some(Err(Closed)),
        }
    }
}

impl Subject for Jar {
    const FIFO: bool = false;

    fn new() -> Self {
        Self { units: AtomicU32::new(0), closed: AtomicBool::new(false), changed: Event::new() }
    }

    fn put(&self) {
        self.units.fetch_add(1, Ordering::Release);
        self.changed.notify(1);
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        self.changed.wait_until(TakeOne(self))
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    fn units(&self) -> usize {
        self.units.load(Ordering::Acquire) as usize
    }
}

/// Units in a word with a "somebody waits" bit, granted in order by a [`WaitList`].
struct Pot {
    /// Bit 0: closed. Bit 1: somebody waits. From bit 2 on: units.
    word: AtomicU32,
    line: WaitList<()>,
}

const CLOSED: u32 = 1;
const WAITERS: u32 = 2;
const UNIT: u32 = 4;

impl Supply for Pot {
    type Need = ();
    type Refusal = Closed;

    fn wait_list(&self) -> &WaitList<()> {
        &self.line
    }

    fn ask(&self, (): (), line: &mut Line<'_, ()>) -> Poll<Result<(), Closed>> {
        let mut answer = Poll::Pending;
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            if word & CLOSED != 0 {
                answer = Poll::Ready(Err(Closed));
                return None;
            }
            if word >= UNIT && line.is_empty() {
                answer = Poll::Ready(Ok(()));
                return Some(word - UNIT);
            }
            answer = Poll::Pending;
            Some(word | WAITERS)
        });
        answer
    }

    fn serve(&self, line: &mut Line<'_, ()>) {
        while !line.is_empty() {
            let taken = self
                .word
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| word.checked_sub(UNIT));
            if taken.is_err() {
                return;
            }
            line.grant_head(());
        }
        self.word.fetch_and(!WAITERS, Ordering::AcqRel);
    }

    fn give_back(&self, (): ()) {
        if self.word.fetch_add(UNIT, Ordering::AcqRel) & WAITERS != 0 {
            self.line.with(|line| self.serve(line));
        }
    }

    fn dismissal(&self) -> Closed {
        Closed
    }
}

impl Subject for Pot {
    const FIFO: bool = true;

    fn new() -> Self {
        Self { word: AtomicU32::new(0), line: WaitList::new() }
    }

    fn put(&self) {
        self.give_back(());
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        Turn::new(self, ())
    }

    fn close(&self) {
        self.line.with(|line| {
            self.word.fetch_or(CLOSED, Ordering::AcqRel);
            line.dismiss_all();
        });
    }

    fn units(&self) -> usize {
        (self.word.load(Ordering::Acquire) / UNIT) as usize
    }
}

/// A queue seen by those who pop: units are items.
struct Popped(Queue<()>);

impl Subject for Popped {
    const FIFO: bool = false;

    fn new() -> Self {
        Self(Queue::unbounded())
    }

    fn put(&self) {
        // After a close this is refused; the laws do not need it then.
        let _ = self.0.try_push(());
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        self.0.pop()
    }

    fn close(&self) {
        self.0.close();
    }

    fn units(&self) -> usize {
        self.0.len()
    }
}

/// A queue seen by those who push: units are free places.
struct Pushed(Queue<()>);

const PLACES: usize = 4;

impl Subject for Pushed {
    const FIFO: bool = false;

    fn new() -> Self {
        let queue = Queue::bounded(NonZeroUsize::new(PLACES).unwrap());
        (0..PLACES).for_each(|_| queue.try_push(()).unwrap());
        Self(queue)
    }

    fn put(&self) {
        self.0.try_pop().unwrap();
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        PushUnit(self.0.push(()))
    }

    fn close(&self) {
        self.0.close();
    }

    fn units(&self) -> usize {
        PLACES - self.0.len()
    }
}

struct PushUnit<'a>(tidegate_core::queue::Push<'a, ()>);

impl Future for PushUnit<'_> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| Closed)
    }
}
