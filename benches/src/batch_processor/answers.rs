//! How a loop over a channel gets each result to its caller, by hand.

use std::{marker::PhantomData, sync::mpsc};

use super::{
    channels::{AtOnce, Channel, Crossbeam, Sender, TaskChannel, TaskSender},
    subject::{
        Caller, Intake, ROOM, ROOM_FOR_ALL, Roll, Service, TaskIntake, TaskService, UNDER_WAY,
        answer,
    },
};

/// A one-time channel that goes with an item, for its result.
pub(super) trait Once: 'static {
    type Sender: Send + 'static;
    type Receiver: Send;

    fn open() -> (Self::Sender, Self::Receiver);
    fn send(sender: Self::Sender, result: u64);
    fn recv(receiver: Self::Receiver) -> u64;
}

/// A one-time channel that tasks can wait for, too.
pub(super) trait TaskOnce: Once {
    fn receive(receiver: Self::Receiver) -> impl Future<Output = u64> + Send;
}

/// A channel of std for one item.
pub(super) struct StdOnce;

impl Once for StdOnce {
    type Sender = mpsc::SyncSender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    #[inline]
    fn open() -> (Self::Sender, Self::Receiver) {
        mpsc::sync_channel(1)
    }

    #[inline]
    fn send(sender: Self::Sender, result: u64) {
        sender.send(result).expect("the caller waits");
    }

    #[inline]
    fn recv(receiver: Self::Receiver) -> u64 {
        receiver.recv().expect("it is answered")
    }
}

/// A channel of crossbeam's for one item.
pub(super) struct CrossbeamOnce;

impl Once for CrossbeamOnce {
    type Sender = crossbeam_channel::Sender<u64>;
    type Receiver = crossbeam_channel::Receiver<u64>;

    #[inline]
    fn open() -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(1)
    }

    #[inline]
    fn send(sender: Self::Sender, result: u64) {
        sender.send(result).expect("the caller waits");
    }

    #[inline]
    fn recv(receiver: Self::Receiver) -> u64 {
        receiver.recv().expect("it is answered")
    }
}

/// The channel of the crate oneshot.
pub(super) struct Oneshot;

impl Once for Oneshot {
    type Sender = oneshot::Sender<u64>;
    type Receiver = oneshot::Receiver<u64>;

    #[inline]
    fn open() -> (Self::Sender, Self::Receiver) {
        oneshot::channel()
    }

    #[inline]
    fn send(sender: Self::Sender, result: u64) {
        sender.send(result).expect("the caller waits");
    }

    #[inline]
    fn recv(receiver: Self::Receiver) -> u64 {
        receiver.recv().expect("it is answered")
    }
}

/// Tokio's one-time channel.
pub(super) struct TokioOnce;

impl Once for TokioOnce {
    type Sender = tokio::sync::oneshot::Sender<u64>;
    type Receiver = tokio::sync::oneshot::Receiver<u64>;

    #[inline]
    fn open() -> (Self::Sender, Self::Receiver) {
        tokio::sync::oneshot::channel()
    }

    #[inline]
    fn send(sender: Self::Sender, result: u64) {
        sender.send(result).expect("the caller waits");
    }

    #[inline]
    fn recv(receiver: Self::Receiver) -> u64 {
        receiver.blocking_recv().expect("it is answered")
    }
}

impl TaskOnce for TokioOnce {
    async fn receive(receiver: Self::Receiver) -> u64 {
        receiver.await.expect("it is answered")
    }
}

/// A channel whose items want no results.
pub(super) struct Unanswered<S>(S);

/// Starts one whose loop is on a thread.
pub(super) fn unanswered<C: Channel>(roll: Roll) -> Unanswered<C::Sender<u64>> {
    Unanswered(C::start(ROOM, move |batch: &mut Vec<u64>| roll.report_all(batch.iter().copied())))
}

impl<S: Sender<u64>> Intake for Unanswered<S> {
    #[inline]
    fn push(&self, number: u64) {
        self.0.send(number);
    }
}

/// Starts one whose loop is a task.
pub(super) fn unanswered_tasks<C: TaskChannel>(roll: Roll) -> Unanswered<C::Sender<u64>> {
    let handle = move |batch: &mut Vec<u64>| roll.report_all(batch.iter().copied());
    let (sender, gathering) = C::open(ROOM, handle);
    tokio::spawn(gathering);
    Unanswered(sender)
}

impl<S: Clone> Clone for Unanswered<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: TaskSender<u64>> TaskIntake for Unanswered<S> {
    async fn push(&self, number: u64) {
        self.0.send_async(number).await;
    }
}

/// A channel whose items each bring a sender for their result.
pub(super) struct Answered<S, O>(S, PhantomData<fn(O)>);

/// An item and where its result goes.
type Asked<O> = (u64, <O as Once>::Sender);

fn settle<O: Once>(roll: Roll) -> impl FnMut(&mut Vec<Asked<O>>) + Send {
    move |batch| {
        roll.report_all(batch.iter().map(|(number, _)| *number));
        for (number, sender) in batch.drain(..) {
            O::send(sender, answer(number));
        }
    }
}

/// Starts one whose loop is on a thread.
pub(super) fn answered<C: Channel, O: Once>(roll: Roll) -> Answered<C::Sender<Asked<O>>, O> {
    Answered(C::start(ROOM_FOR_ALL, settle::<O>(roll)), PhantomData)
}

impl<S: Sender<Asked<O>>, O: Once> Service for Answered<S, O> {
    type Caller<'a>
        = &'a Self
    where
        Self: 'a;

    fn caller(&self, _thread: usize) -> &Self {
        self
    }
}

impl<S: Sender<Asked<O>>, O: Once> Caller for &Answered<S, O> {
    type Reply = O::Receiver;

    #[inline]
    fn submit(&mut self, number: u64) -> O::Receiver {
        let (sender, receiver) = O::open();
        self.0.send((number, sender));
        receiver
    }

    #[inline]
    fn result(&mut self, receiver: O::Receiver) -> u64 {
        O::recv(receiver)
    }
}

/// Starts one whose loop is a task.
pub(super) fn answered_tasks<C: TaskChannel, O: TaskOnce>(
    roll: Roll,
) -> Answered<C::Sender<Asked<O>>, O> {
    let (sender, gathering) = C::open(ROOM_FOR_ALL, settle::<O>(roll));
    tokio::spawn(gathering);
    Answered(sender, PhantomData)
}

impl<S: Clone, O> Clone for Answered<S, O> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<S: TaskSender<Asked<O>>, O: TaskOnce> TaskService for Answered<S, O> {
    async fn submit(&self, number: u64) -> u64 {
        let (sender, receiver) = O::open();
        self.0.send_async((number, sender)).await;
        O::receive(receiver).await
    }
}

/// Threads known from the start, each with a channel for its results, which come in order.
pub(super) struct Known {
    items: crossbeam_channel::Sender<(u64, usize)>,
    results: Vec<crossbeam_channel::Receiver<u64>>,
}

/// Starts one for so many threads.
pub(super) fn known<const THREADS: usize>(roll: Roll) -> Known {
    let (senders, results): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| crossbeam_channel::bounded(UNDER_WAY)).unzip();
    let handle = move |batch: &mut Vec<(u64, usize)>| {
        roll.report_all(batch.iter().map(|(number, _)| *number));
        for &(number, thread) in &*batch {
            senders[thread].send(answer(number)).expect("the caller waits");
        }
    };
    Known { items: AtOnce::<Crossbeam>::start(ROOM_FOR_ALL, handle), results }
}

impl Service for Known {
    type Caller<'a> = (&'a Self, usize);

    fn caller(&self, thread: usize) -> (&Self, usize) {
        (self, thread)
    }
}

impl Caller for (&Known, usize) {
    type Reply = ();

    #[inline]
    fn submit(&mut self, number: u64) {
        self.0.items.send((number, self.1)).expect("somebody receives");
    }

    #[inline]
    fn result(&mut self, _reply: ()) -> u64 {
        self.0.results[self.1].recv().expect("it is answered")
    }
}
