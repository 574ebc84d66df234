//! What a batcher is to its producers, on threads and in tasks; and tidegate's.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidegate_batch_processor::{
    Batcher, Blocking, Builder, Handler, LeaderBatcher, Policy, Reply, SystemClock, Wait,
    future::Leader,
};

use crate::roll_call::RollCall;

/// How many items a batch has at most.
pub(super) const BATCH: usize = 128;

/// How long the first item of a batch waits for others, if it does.
pub(super) const DELAY: Duration = Duration::from_millis(10);

/// How many items there is room for if there are no results: ten batches, tidegate's default.
pub(super) const ROOM: usize = 10 * BATCH;

/// How many items a thread has under way if it waits for results.
pub(super) const UNDER_WAY: usize = 128;

/// How many items there is room for if there are results: all that 64 threads have under way.
pub(super) const ROOM_FOR_ALL: usize = 64 * UNDER_WAY;

/// Where a batch reports.
pub(super) type Roll = &'static RollCall;

/// The result of an item.
#[inline]
pub(super) fn answer(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// When a batch is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// When it has [`BATCH`] items, or its first one has waited for [`DELAY`].
    Full,
    /// When the one before is done. It has what is there by then.
    AtOnce,
}

impl Trigger {
    /// How long a batch that is not full waits.
    pub(super) fn delay(self) -> Option<Duration> {
        (self == Self::Full).then_some(DELAY)
    }
}

/// Takes items from threads that want no results.
pub(super) trait Intake: Sync {
    /// Hands an item in. Where there is no room it waits.
    fn push(&self, number: u64);
}

/// Takes items from threads that want a result for each.
pub(super) trait Service: Sync {
    /// A thread's access to it.
    type Caller<'a>: Caller
    where
        Self: 'a;

    /// Returns what the thread with this number uses.
    fn caller(&self, thread: usize) -> Self::Caller<'_>;
}

/// See [`Service::Caller`].
pub(super) trait Caller {
    /// What stands for the result until it is there.
    type Reply;

    /// Hands an item in, for which there is room.
    fn submit(&mut self, number: u64) -> Self::Reply;

    /// Waits for the result of an item. The results of earlier items have been waited for before.
    fn result(&mut self, reply: Self::Reply) -> u64;
}

/// Takes items from tasks that want no results.
pub(super) trait TaskIntake: Clone + Send + 'static {
    /// Hands an item in. Where there is no room it waits.
    fn push(&self, number: u64) -> impl Future<Output = ()> + Send;
}

/// Takes items from tasks that want a result for each.
pub(super) trait TaskService: Clone + Send + 'static {
    /// Hands an item in and waits for its result.
    fn submit(&self, number: u64) -> impl Future<Output = u64> + Send;
}

/// Tidegate's batcher, whose handler returns `R`s.
type Ours<R> = Batcher<u64, R, Infallible>;

fn settings(trigger: Trigger, room: usize) -> Builder<u64> {
    let builder = Batcher::builder().max_items(BATCH).capacity(room);
    match trigger.delay() {
        Some(delay) => builder.max_delay(delay),
        // A batch is what has gathered while the handler was busy.
        None => builder.policy(Policy::Immediate),
    }
}

fn take(roll: Roll, numbers: &[u64]) {
    roll.report_all(numbers.iter().copied());
}

/// Returns a handler of items without results.
fn pushed(roll: Roll) -> impl FnMut(Vec<u64>) -> Result<Vec<()>, Infallible> + Send {
    move |numbers| {
        take(roll, &numbers);
        Ok(vec![(); numbers.len()])
    }
}

/// Returns a handler of items with a result each.
fn submitted(roll: Roll) -> impl FnMut(Vec<u64>) -> Result<Vec<u64>, Infallible> + Send {
    move |mut numbers| {
        take(roll, &numbers);
        numbers.iter_mut().for_each(|number| *number = answer(*number));
        Ok(numbers)
    }
}

/// Tidegate's batcher with its driver on a thread.
pub(super) fn tidegate(trigger: Trigger, roll: Roll) -> impl Intake {
    let (batcher, driver) = settings(trigger, ROOM).build_on_thread(pushed(roll)).unwrap();
    driver.detach();
    batcher
}

impl Intake for Ours<()> {
    #[inline]
    fn push(&self, number: u64) {
        self.push(number).wait().unwrap();
    }
}

/// The same with results.
pub(super) fn tidegate_answers(trigger: Trigger, roll: Roll) -> impl Service {
    let (batcher, driver) =
        settings(trigger, ROOM_FOR_ALL).build_on_thread(submitted(roll)).unwrap();
    driver.detach();
    batcher
}

impl Service for Ours<u64> {
    type Caller<'a> = &'a Self;

    fn caller(&self, _thread: usize) -> &Self {
        self
    }
}

impl Caller for &Ours<u64> {
    type Reply = Reply<u64, Infallible>;

    #[inline]
    fn submit(&mut self, number: u64) -> Self::Reply {
        self.try_submit(number).unwrap()
    }

    #[inline]
    fn result(&mut self, reply: Self::Reply) -> u64 {
        reply.wait().unwrap()
    }
}

/// Tidegate's batcher with its driver in a task.
pub(super) fn tidegate_tasks(trigger: Trigger, roll: Roll) -> impl TaskIntake {
    let (batcher, driver) = settings(trigger, ROOM).build(pushed(roll)).unwrap();
    tokio::spawn(driver);
    batcher
}

impl TaskIntake for Ours<()> {
    async fn push(&self, number: u64) {
        self.push(number).await.unwrap();
    }
}

/// The same with results.
pub(super) fn tidegate_answers_tasks(trigger: Trigger, roll: Roll) -> impl TaskService {
    let (batcher, driver) = settings(trigger, ROOM_FOR_ALL).build(submitted(roll)).unwrap();
    tokio::spawn(driver);
    batcher
}

impl TaskService for Ours<u64> {
    async fn submit(&self, number: u64) -> u64 {
        self.submit(number).await.unwrap()
    }
}

/// Tidegate's batcher without a driver: its callers lead, each with one item under way.
pub(super) struct Led<H: Handler<u64>>(Arc<LeaderBatcher<u64, H, SystemClock>>);

/// A handler for [`Led`], which returns results.
pub(super) trait Answering:
    Handler<u64, Output = u64, Error = Infallible, Run: Send> + Send
{
}

impl<H: Handler<u64, Output = u64, Error = Infallible, Run: Send> + Send> Answering for H {}

/// Starts one.
pub(super) fn tidegate_led(roll: Roll) -> Led<impl Answering> {
    let settings = settings(Trigger::AtOnce, ROOM_FOR_ALL);
    Led(Arc::new(settings.build_leader(Blocking::new(submitted(roll))).unwrap()))
}

impl<H: Answering> Service for Led<H> {
    type Caller<'a>
        = &'a Self
    where
        Self: 'a;

    fn caller(&self, _thread: usize) -> &Self {
        self
    }
}

impl<'a, H: Answering> Caller for &'a Led<H> {
    type Reply = Leader<'a, u64, H, SystemClock>;

    /// Only creates the future: the item is handed in when the caller waits for the result.
    #[inline]
    fn submit(&mut self, number: u64) -> Self::Reply {
        self.0.submit(number)
    }

    #[inline]
    fn result(&mut self, reply: Self::Reply) -> u64 {
        reply.wait().unwrap()
    }
}

impl<H: Handler<u64>> Clone for Led<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Answering + 'static> TaskService for Led<H> {
    async fn submit(&self, number: u64) -> u64 {
        self.0.submit(number).await.unwrap()
    }
}
