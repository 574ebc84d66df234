//! Permits: without contention, between tasks, between threads, cancelled, and handed over.

mod loops;
mod subject;

use async_lock::Semaphore as AsyncLock;
use asyncband::semaphore::Semaphore as Asyncband;
use tidegate_semaphore::{Fairness, Semaphore};
use tokio::sync::Semaphore as Tokio;

use self::{
    loops::*,
    subject::{ByChannel, ByParkingLot, ByStd},
};
use crate::workload::{Contender, REFERENCE, Workload, ours, rival};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "semaphore/try and release",
        unit: "try and release",
        contenders: try_and_release,
    },
    Workload {
        name: "semaphore/ready, awaited",
        unit: "acquisition and release",
        contenders: ready_awaited,
    },
    Workload {
        name: "semaphore/ready, waited for",
        unit: "acquisition and release",
        contenders: ready_waited_for,
    },
    Workload {
        name: "semaphore/64 tasks, 4 permits, 1 executor",
        unit: "acquisition",
        contenders: one_executor,
    },
    Workload {
        name: "semaphore/2 threads, 1 permit",
        unit: "acquisition",
        contenders: two_threads,
    },
    Workload {
        name: "semaphore/2 × 32 tasks, 4 permits, 2 executors",
        unit: "acquisition",
        contenders: two_executors,
    },
    Workload {
        name: "semaphore/cancelled while pending",
        unit: "cancelled acquisition",
        contenders: cancelled,
    },
    Workload {
        name: "semaphore/hand-off to a task",
        unit: "hand-off",
        contenders: hand_off_to_a_task,
    },
    Workload {
        name: "semaphore/hand-off to a thread",
        unit: "hand-off",
        contenders: hand_off_to_a_thread,
    },
];

/// Grants in the order of arrival; nobody overtakes.
const FAIR: &str = "fair";

/// Newcomers may overtake; with `Fairness::Eventual` only within a bound.
const BARGING: &str = "barging";

/// Tidegate's semaphore with eventual fairness.
fn eventual(permits: usize) -> Semaphore {
    Semaphore::builder(permits).fairness(Fairness::eventual()).build()
}

fn try_and_release() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, trying(Semaphore::new(4))),
        rival("tokio", FAIR, trying(Tokio::new(4))),
        rival("asyncband", FAIR, trying(Asyncband::new(4))),
        rival("async-lock", BARGING, trying(AsyncLock::new(4))),
        rival("std Mutex + Condvar", BARGING, trying(ByStd::new(4))),
        rival("parking_lot Mutex + Condvar", BARGING, trying(ByParkingLot::new(4))),
        rival("crossbeam channel", REFERENCE, trying(ByChannel::new(4))),
    ]
}

fn ready_awaited() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, awaiting(Semaphore::new(4))),
        rival("tokio", FAIR, awaiting(Tokio::new(4))),
        rival("asyncband", FAIR, awaiting(Asyncband::new(4))),
        rival("async-lock", BARGING, awaiting(AsyncLock::new(4))),
    ]
}

fn ready_waited_for() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, waiting(Semaphore::new(4))),
        rival("tokio", FAIR, waiting(Tokio::new(4))),
        rival("asyncband", FAIR, waiting(Asyncband::new(4))),
        rival("async-lock", BARGING, waiting(AsyncLock::new(4))),
        rival("std Mutex + Condvar", BARGING, waiting(ByStd::new(4))),
        rival("parking_lot Mutex + Condvar", BARGING, waiting(ByParkingLot::new(4))),
        rival("crossbeam channel", REFERENCE, waiting(ByChannel::new(4))),
    ]
}

fn one_executor() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, tasks_on_one_executor(Semaphore::new(4))),
        ours("tidegate, eventual", BARGING, tasks_on_one_executor(eventual(4))),
        rival("tokio", FAIR, tasks_on_one_executor(Tokio::new(4))),
        rival("asyncband", FAIR, tasks_on_one_executor(Asyncband::new(4))),
        rival("async-lock", BARGING, tasks_on_one_executor(AsyncLock::new(4))),
    ]
}

fn two_threads() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, threads(Semaphore::new(1))),
        ours("tidegate, eventual", BARGING, threads(eventual(1))),
        rival("tokio", FAIR, threads(Tokio::new(1))),
        rival("asyncband", FAIR, threads(Asyncband::new(1))),
        rival("async-lock", BARGING, threads(AsyncLock::new(1))),
        rival("std Mutex + Condvar", BARGING, threads(ByStd::new(1))),
        rival("parking_lot Mutex + Condvar", BARGING, threads(ByParkingLot::new(1))),
        rival("crossbeam channel", REFERENCE, threads(ByChannel::new(1))),
    ]
}

fn two_executors() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, tasks_on_two_executors(Semaphore::new(4))),
        ours("tidegate, eventual", BARGING, tasks_on_two_executors(eventual(4))),
        rival("tokio", FAIR, tasks_on_two_executors(Tokio::new(4))),
        rival("asyncband", FAIR, tasks_on_two_executors(Asyncband::new(4))),
        rival("async-lock", BARGING, tasks_on_two_executors(AsyncLock::new(4))),
    ]
}

fn cancelled() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, cancelling(Semaphore::new(1))),
        rival("tokio", FAIR, cancelling(Tokio::new(1))),
        rival("asyncband", FAIR, cancelling(Asyncband::new(1))),
        rival("async-lock", BARGING, cancelling(AsyncLock::new(1))),
    ]
}

fn hand_off_to_a_task() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, handing_over(Semaphore::new(1))),
        rival("tokio", FAIR, handing_over(Tokio::new(1))),
        rival("asyncband", FAIR, handing_over(Asyncband::new(1))),
        rival("async-lock", BARGING, handing_over(AsyncLock::new(1))),
    ]
}

fn hand_off_to_a_thread() -> Vec<Contender> {
    vec![
        ours("tidegate", FAIR, ping_pong(three(Semaphore::new))),
        rival("tokio", FAIR, ping_pong(three(Tokio::new))),
        rival("asyncband", FAIR, ping_pong(three(Asyncband::new))),
        rival("async-lock", BARGING, ping_pong(three(AsyncLock::new))),
        rival("std Mutex + Condvar", BARGING, ping_pong(three(ByStd::new))),
        rival("parking_lot Mutex + Condvar", BARGING, ping_pong(three(ByParkingLot::new))),
        rival("crossbeam channel", REFERENCE, ping_pong(three(ByChannel::new))),
    ]
}

fn three<S>(new: fn(usize) -> S) -> [S; 3] {
    [new(1), new(1), new(1)]
}
