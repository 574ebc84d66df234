//! Crates that batch items and return results, all of them in tokio's runtime.

use std::{convert::Infallible, pin::Pin};

use batch_aint_one::{Batcher, BatchingPolicy, Limits, OnFull, Processor};
use futures_lite::future::block_on;
use tokio::runtime::Runtime;
use ultra_batch::{BatchExecutor, Executor};

use super::subject::{
    BATCH, Caller, DELAY, ROOM_FOR_ALL, Roll, Service, TaskService, Trigger, answer,
};
use crate::timing::ByHand;

/// The handler as a type, for crates that take no closure.
#[derive(Debug, Clone)]
pub(super) struct Answering(Roll);

impl Answering {
    fn process(&self, mut numbers: Vec<u64>) -> Vec<u64> {
        self.0.report_all(numbers.iter().copied());
        numbers.iter_mut().for_each(|number| *number = answer(*number));
        numbers
    }
}

impl Processor for Answering {
    type Key = ();
    type Input = u64;
    type Output = u64;
    type Error = String;
    type Resources = ();

    async fn acquire_resources(&self, (): ()) -> Result<(), String> {
        Ok(())
    }

    async fn process(
        &self,
        (): (),
        inputs: impl Iterator<Item = u64> + Send,
        (): (),
    ) -> Result<Vec<u64>, String> {
        Ok(self.process(inputs.collect()))
    }
}

/// Batch-aint-one, one batch at a time. To be started in a runtime.
pub(super) fn aint_one(trigger: Trigger, roll: Roll) -> Batcher<Answering> {
    let limits = Limits::builder()
        .max_batch_size(BATCH)
        .max_key_concurrency(1)
        .max_key_queued_items(ROOM_FOR_ALL)
        .max_items_awaiting_worker(ROOM_FOR_ALL)
        .build();
    let policy = match trigger {
        Trigger::Full => BatchingPolicy::Duration(DELAY, OnFull::Process),
        Trigger::AtOnce => BatchingPolicy::Immediate,
    };
    Batcher::builder()
        .name("numbers")
        .processor(Answering(roll))
        .limits(limits)
        .batching_policy(policy)
        .build()
}

impl TaskService for Batcher<Answering> {
    async fn submit(&self, number: u64) -> u64 {
        self.add((), number).await.expect("it is answered")
    }
}

/// The same for threads; the runtime has one worker.
pub(super) struct AintOne {
    batcher: Batcher<Answering>,
    // Dropped after the batcher.
    _runtime: Runtime,
}

impl AintOne {
    pub(super) fn start(trigger: Trigger, roll: Roll) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_time().build().expect("a runtime");
        let batcher = runtime.block_on(async { aint_one(trigger, roll) });
        Self { batcher, _runtime: runtime }
    }
}

impl Service for AintOne {
    type Caller<'a> = Polling<'a>;

    fn caller(&self, _thread: usize) -> Polling<'_> {
        Polling { batcher: &self.batcher, hand: ByHand::new() }
    }
}

/// Has several items under way: the first poll of each future hands its item in.
pub(super) struct Polling<'a> {
    batcher: &'a Batcher<Answering>,
    hand: ByHand,
}

impl<'a> Caller for Polling<'a> {
    type Reply = Result<u64, Pin<Box<dyn Future<Output = u64> + 'a>>>;

    fn submit(&mut self, number: u64) -> Self::Reply {
        let mut adding = Box::pin(self.batcher.submit(number));
        match self.hand.poll(adding.as_mut()) {
            std::task::Poll::Ready(result) => Ok(result),
            std::task::Poll::Pending => Err(adding),
        }
    }

    fn result(&mut self, reply: Self::Reply) -> u64 {
        reply.unwrap_or_else(block_on)
    }
}

impl Executor for Answering {
    type Value = u64;
    type Result = u64;
    type Error = Infallible;

    async fn execute(&self, numbers: Vec<u64>) -> Result<Vec<u64>, Infallible> {
        Ok(self.process(numbers))
    }
}

/// Ultra-batch, which waits for a full batch. To be started in a runtime.
pub(super) fn ultra_batch(roll: Roll) -> BatchExecutor<Answering> {
    BatchExecutor::build(Answering(roll))
        .eager_batch_size(Some(BATCH))
        .delay_duration(DELAY)
        .finish()
}

impl TaskService for BatchExecutor<Answering> {
    async fn submit(&self, number: u64) -> u64 {
        self.execute(number).await.ok().flatten().expect("it is answered")
    }
}
