//! Channels, and the loops over them that one writes without a crate for batching.

use std::{marker::PhantomData, pin::pin, sync::mpsc, thread, time::Instant};

use futures_batch::ChunksTimeoutStreamExt as _;
use futures_lite::future::block_on;
use futures_util::StreamExt as _;
use tokio::time::{Instant as TokioInstant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use super::subject::{BATCH, DELAY};

/// A channel for threads, and the loop that gathers what comes out of it.
pub(super) trait Channel {
    /// The end of the producers.
    type Sender<T: Send + 'static>: Sender<T>;

    /// Opens the channel, and starts a thread that hands batches to `handle` until no sender is
    /// left. The next batch is in the same vector; items that the handler leaves in it are dropped.
    fn start<T: Send + 'static>(
        room: usize,
        handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> Self::Sender<T>;
}

/// The end where a thread sends.
pub(super) trait Sender<T>: Sync {
    /// Sends an item. Where there is no room it waits.
    fn send(&self, item: T);
}

/// A channel for tasks, and the future that gathers what comes out of it.
pub(super) trait TaskChannel {
    /// The end of the producers.
    type Sender<T: Send + 'static>: Sender<T> + TaskSender<T>;

    /// Opens the channel. The future hands batches to `handle` until no sender is left.
    fn open<T: Send + 'static>(
        room: usize,
        handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> (Self::Sender<T>, impl Future<Output = ()> + Send + 'static);

    /// Runs the future on a thread.
    fn run(gathering: impl Future<Output = ()>) {
        block_on(gathering);
    }
}

/// The end where a task sends.
pub(super) trait TaskSender<T>: Clone + Send + Sync + 'static {
    /// Sends an item. Where there is no room it waits.
    fn send_async(&self, item: T) -> impl Future<Output = ()> + Send;
}

/// A channel for tasks serves threads, too.
impl<C: TaskChannel> Channel for C {
    type Sender<T: Send + 'static> = C::Sender<T>;

    fn start<T: Send + 'static>(
        room: usize,
        handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> Self::Sender<T> {
        let (sender, gathering) = C::open(room, handle);
        thread::spawn(move || C::run(gathering));
        sender
    }
}

/// Waits for as many items as a batch may have, but not for longer than [`DELAY`].
pub(super) struct Full<Q>(PhantomData<Q>);

/// Takes what there is, and waits for the first item only.
pub(super) struct AtOnce<Q>(PhantomData<Q>);

/// A channel from which one item at a time is received.
pub(super) trait Queue {
    /// The end of the producers.
    type Sender<T: Send + 'static>: Sender<T>;

    /// The other end.
    type Receiver<T: Send + 'static>: Receiver<T>;

    fn open<T: Send + 'static>(room: usize) -> (Self::Sender<T>, Self::Receiver<T>);
}

/// What a loop needs of the receiving end.
pub(super) trait Receiver<T>: Send + 'static {
    /// Waits for an item, or the end.
    fn recv(&self) -> Option<T>;

    /// Takes an item, if there is one.
    fn try_recv(&self) -> Option<T>;

    /// Waits for an item until that time at most.
    fn recv_until(&self, deadline: Instant) -> Option<T>;
}

impl<Q: Queue> Channel for Full<Q> {
    type Sender<T: Send + 'static> = Q::Sender<T>;

    fn start<T: Send + 'static>(
        room: usize,
        handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> Self::Sender<T> {
        let (sender, receiver) = Q::open(room);
        thread::spawn(move || {
            gather(&receiver, handle, || {
                let deadline = Instant::now() + DELAY;
                move |receiver: &Q::Receiver<T>| {
                    receiver.try_recv().or_else(|| receiver.recv_until(deadline))
                }
            });
        });
        sender
    }
}

impl<Q: Queue> Channel for AtOnce<Q> {
    type Sender<T: Send + 'static> = Q::Sender<T>;

    fn start<T: Send + 'static>(
        room: usize,
        handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> Self::Sender<T> {
        let (sender, receiver) = Q::open(room);
        thread::spawn(move || gather(&receiver, handle, || Q::Receiver::<T>::try_recv));
        sender
    }
}

/// Gathers batches. At the first item of a batch, `begin` returns what fetches the others.
fn gather<T, R: Receiver<T>, N: Fn(&R) -> Option<T>>(
    receiver: &R,
    mut handle: impl FnMut(&mut Vec<T>),
    begin: impl Fn() -> N,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = receiver.recv() {
        batch.push(first);
        let next = begin();
        while let Some(item) = (batch.len() < BATCH).then(|| next(receiver)).flatten() {
            batch.push(item);
        }
        handle(&mut batch);
        batch.clear();
    }
}

/// The channel of std.
pub(super) struct Std;

impl Queue for Std {
    type Sender<T: Send + 'static> = mpsc::SyncSender<T>;
    type Receiver<T: Send + 'static> = mpsc::Receiver<T>;

    fn open<T: Send + 'static>(room: usize) -> (mpsc::SyncSender<T>, mpsc::Receiver<T>) {
        mpsc::sync_channel(room)
    }
}

impl<T: Send> Sender<T> for mpsc::SyncSender<T> {
    #[inline]
    fn send(&self, item: T) {
        self.send(item).expect("somebody receives");
    }
}

impl<T: Send + 'static> Receiver<T> for mpsc::Receiver<T> {
    #[inline]
    fn recv(&self) -> Option<T> {
        self.recv().ok()
    }

    #[inline]
    fn try_recv(&self) -> Option<T> {
        self.try_recv().ok()
    }

    fn recv_until(&self, deadline: Instant) -> Option<T> {
        self.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }
}

/// Crossbeam's channel.
pub(super) struct Crossbeam;

impl Queue for Crossbeam {
    type Sender<T: Send + 'static> = crossbeam_channel::Sender<T>;
    type Receiver<T: Send + 'static> = crossbeam_channel::Receiver<T>;

    fn open<T: Send + 'static>(
        room: usize,
    ) -> (crossbeam_channel::Sender<T>, crossbeam_channel::Receiver<T>) {
        crossbeam_channel::bounded(room)
    }
}

impl<T: Send> Sender<T> for crossbeam_channel::Sender<T> {
    #[inline]
    fn send(&self, item: T) {
        self.send(item).expect("somebody receives");
    }
}

impl<T: Send + 'static> Receiver<T> for crossbeam_channel::Receiver<T> {
    #[inline]
    fn recv(&self) -> Option<T> {
        self.recv().ok()
    }

    #[inline]
    fn try_recv(&self) -> Option<T> {
        self.try_recv().ok()
    }

    fn recv_until(&self, deadline: Instant) -> Option<T> {
        self.recv_deadline(deadline).ok()
    }
}

/// Tokio's channel and `recv_many`, which takes what there is.
pub(super) struct Tokio;

impl TaskChannel for Tokio {
    type Sender<T: Send + 'static> = tokio::sync::mpsc::Sender<T>;

    fn open<T: Send + 'static>(
        room: usize,
        mut handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> (Self::Sender<T>, impl Future<Output = ()> + Send + 'static) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(room);
        let gathering = async move {
            let mut batch = Vec::with_capacity(BATCH);
            while receiver.recv_many(&mut batch, BATCH).await > 0 {
                handle(&mut batch);
                batch.clear();
            }
        };
        (sender, gathering)
    }
}

impl<T: Send> Sender<T> for tokio::sync::mpsc::Sender<T> {
    #[inline]
    fn send(&self, item: T) {
        self.blocking_send(item).expect("somebody receives");
    }
}

impl<T: Send + 'static> TaskSender<T> for tokio::sync::mpsc::Sender<T> {
    async fn send_async(&self, item: T) {
        self.send(item).await.expect("somebody receives");
    }
}

/// The same with tokio's clock, for full batches.
pub(super) struct TokioFull;

impl TaskChannel for TokioFull {
    type Sender<T: Send + 'static> = tokio::sync::mpsc::Sender<T>;

    fn open<T: Send + 'static>(
        room: usize,
        mut handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> (Self::Sender<T>, impl Future<Output = ()> + Send + 'static) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(room);
        let gathering = async move {
            let mut batch = Vec::with_capacity(BATCH);
            while receiver.recv_many(&mut batch, BATCH).await > 0 {
                let deadline = TokioInstant::now() + DELAY;
                while batch.len() < BATCH {
                    let lacking = BATCH - batch.len();
                    match timeout_at(deadline, receiver.recv_many(&mut batch, lacking)).await {
                        Ok(1..) => {}
                        Ok(0) | Err(_) => break,
                    }
                }
                handle(&mut batch);
                batch.clear();
            }
        };
        (sender, gathering)
    }

    fn run(gathering: impl Future<Output = ()>) {
        with_tokios_clock(gathering);
    }
}

/// The same channel as a stream, and tokio-stream's chunks, for full batches.
pub(super) struct TokioStream;

impl TaskChannel for TokioStream {
    type Sender<T: Send + 'static> = tokio::sync::mpsc::Sender<T>;

    fn open<T: Send + 'static>(
        room: usize,
        mut handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> (Self::Sender<T>, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = tokio::sync::mpsc::channel(room);
        let gathering = async move {
            let items = ReceiverStream::new(receiver);
            let mut batches = pin!(tokio_stream::StreamExt::chunks_timeout(items, BATCH, DELAY));
            while let Some(mut batch) = batches.next().await {
                handle(&mut batch);
            }
        };
        (sender, gathering)
    }

    fn run(gathering: impl Future<Output = ()>) {
        with_tokios_clock(gathering);
    }
}

fn with_tokios_clock(gathering: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(gathering);
}

/// Async-channel and futures' `ready_chunks`, which takes what there is.
pub(super) struct Async;

impl TaskChannel for Async {
    type Sender<T: Send + 'static> = async_channel::Sender<T>;

    fn open<T: Send + 'static>(
        room: usize,
        mut handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> (Self::Sender<T>, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = async_channel::bounded(room);
        let gathering = async move {
            let mut batches = pin!(receiver.ready_chunks(BATCH));
            while let Some(mut batch) = batches.next().await {
                handle(&mut batch);
            }
        };
        (sender, gathering)
    }
}

impl<T: Send> Sender<T> for async_channel::Sender<T> {
    #[inline]
    fn send(&self, item: T) {
        assert!(self.send_blocking(item).is_ok(), "somebody receives");
    }
}

impl<T: Send + 'static> TaskSender<T> for async_channel::Sender<T> {
    async fn send_async(&self, item: T) {
        assert!(self.send(item).await.is_ok(), "somebody receives");
    }
}

/// The same channel and futures-batch, for full batches.
pub(super) struct FuturesBatch;

impl TaskChannel for FuturesBatch {
    type Sender<T: Send + 'static> = async_channel::Sender<T>;

    fn open<T: Send + 'static>(
        room: usize,
        mut handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> (Self::Sender<T>, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = async_channel::bounded(room);
        let gathering = async move {
            let mut batches = pin!(receiver.chunks_timeout(BATCH, DELAY));
            while let Some(mut batch) = batches.next().await {
                handle(&mut batch);
            }
        };
        (sender, gathering)
    }
}

/// Batch-channel, which receives what there is by one call.
pub(super) struct BatchChannel;

impl TaskChannel for BatchChannel {
    type Sender<T: Send + 'static> = BothEnds<T>;

    fn open<T: Send + 'static>(
        room: usize,
        mut handle: impl FnMut(&mut Vec<T>) + Send + 'static,
    ) -> (Self::Sender<T>, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = batch_channel::bounded(room);
        let gathering = async move {
            let mut batch = Vec::with_capacity(BATCH);
            loop {
                receiver.recv_vec(BATCH, &mut batch).await;
                if batch.is_empty() {
                    break;
                }
                handle(&mut batch);
                batch.clear();
            }
        };
        (BothEnds { threads: sender.clone().into_sync(), tasks: sender }, gathering)
    }
}

/// Batch-channel has one kind of sender for threads, and one for tasks.
pub(super) struct BothEnds<T> {
    threads: batch_channel::SyncSender<T>,
    tasks: batch_channel::Sender<T>,
}

impl<T> Clone for BothEnds<T> {
    fn clone(&self) -> Self {
        Self { threads: self.threads.clone(), tasks: self.tasks.clone() }
    }
}

impl<T: Send> Sender<T> for BothEnds<T> {
    #[inline]
    fn send(&self, item: T) {
        assert!(self.threads.send(item).is_ok(), "somebody receives");
    }
}

impl<T: Send + 'static> TaskSender<T> for BothEnds<T> {
    async fn send_async(&self, item: T) {
        assert!(self.tasks.send(item).await.is_ok(), "somebody receives");
    }
}
