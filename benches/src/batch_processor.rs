//! Items gathered into batches of 128: from 1, 2 and 64 producers, with and without results.

mod answers;
mod channels;
mod crates;
mod locked;
mod loops;
mod subject;

use self::{
    answers::*,
    channels::*,
    crates::{AintOne, aint_one, ultra_batch},
    locked::Locked,
    loops::*,
    subject::{
        Trigger, tidegate, tidegate_answers, tidegate_answers_tasks, tidegate_led, tidegate_tasks,
    },
};
use crate::workload::{Contender, Workload, ours, rival};

/// A batch is handed over when it is full, or its first item has waited for 10 ms.
const FULL: &str = "full";

/// A batch is handed over when the one before is done, with what is there.
const AT_ONCE: &str = "at once";

/// As `AT_ONCE`, but for threads that are known from the start.
const KNOWN: &str = "known";

macro_rules! push_from_threads {
    ($loop:expr) => {
        vec![
            ours("tidegate", AT_ONCE, $loop(|roll| tidegate(Trigger::AtOnce, roll))),
            ours("tidegate, full", FULL, $loop(|roll| tidegate(Trigger::Full, roll))),
            rival("std mpsc", AT_ONCE, $loop(unanswered::<AtOnce<Std>>)),
            rival("std mpsc, full", FULL, $loop(unanswered::<Full<Std>>)),
            rival("crossbeam-channel", AT_ONCE, $loop(unanswered::<AtOnce<Crossbeam>>)),
            rival("crossbeam-channel, full", FULL, $loop(unanswered::<Full<Crossbeam>>)),
            rival("Mutex<VecDeque>", AT_ONCE, $loop(unanswered::<AtOnce<Locked>>)),
            rival("Mutex<VecDeque>, full", FULL, $loop(unanswered::<Full<Locked>>)),
            rival("tokio recv_many", AT_ONCE, $loop(unanswered::<Tokio>)),
            rival("tokio recv_many, full", FULL, $loop(unanswered::<TokioFull>)),
            rival("tokio-stream chunks", FULL, $loop(unanswered::<TokioStream>)),
            rival("async-channel chunks", AT_ONCE, $loop(unanswered::<Async>)),
            rival("futures-batch", FULL, $loop(unanswered::<FuturesBatch>)),
            rival("batch-channel", AT_ONCE, $loop(unanswered::<BatchChannel>)),
        ]
    };
}

macro_rules! submit_from_threads {
    ($threads:literal, $loop:expr) => {
        vec![
            ours("tidegate", AT_ONCE, $loop(|roll| tidegate_answers(Trigger::AtOnce, roll))),
            rival("std mpsc", AT_ONCE, $loop(answered::<AtOnce<Std>, StdOnce>)),
            rival(
                "crossbeam-channel",
                AT_ONCE,
                $loop(answered::<AtOnce<Crossbeam>, CrossbeamOnce>),
            ),
            rival("crossbeam, oneshot", AT_ONCE, $loop(answered::<AtOnce<Crossbeam>, Oneshot>)),
            rival("Mutex<VecDeque>, oneshot", AT_ONCE, $loop(answered::<AtOnce<Locked>, Oneshot>)),
            rival("tokio recv_many", AT_ONCE, $loop(answered::<Tokio, TokioOnce>)),
            rival("async-channel, oneshot", AT_ONCE, $loop(answered::<Async, Oneshot>)),
            rival("batch-channel, oneshot", AT_ONCE, $loop(answered::<BatchChannel, Oneshot>)),
            rival("crossbeam, a way back each", KNOWN, $loop(known::<$threads>)),
            rival("batch-aint-one", AT_ONCE, $loop(|roll| AintOne::start(Trigger::AtOnce, roll))),
        ]
    };
}

/// The same, and contenders that wait for a full batch: enough items are under way to fill one.
macro_rules! submit_much_from_threads {
    ($threads:literal, $loop:expr) => {{
        let mut contenders: Vec<Contender> = submit_from_threads!($threads, $loop);
        contenders.extend([
            ours("tidegate, full", FULL, $loop(|roll| tidegate_answers(Trigger::Full, roll))),
            rival("crossbeam, oneshot, full", FULL, $loop(answered::<Full<Crossbeam>, Oneshot>)),
            rival("tokio recv_many, full", FULL, $loop(answered::<TokioFull, TokioOnce>)),
            rival("batch-aint-one, full", FULL, $loop(|roll| AintOne::start(Trigger::Full, roll))),
        ]);
        contenders
    }};
}

/// The same with one item under way for each caller, and tidegate's without a loop: callers lead.
macro_rules! submit_one_from_threads {
    ($threads:literal) => {{
        let mut contenders: Vec<Contender> =
            submit_from_threads!($threads, submit_one::<$threads, _>);
        contenders
            .insert(1, ours("tidegate, led", AT_ONCE, submit_one::<$threads, _>(tidegate_led)));
        contenders
    }};
}

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "batch-processor/push, 1 thread",
        unit: "item",
        contenders: || push_from_threads!(push::<1, _>),
    },
    Workload {
        name: "batch-processor/push, 2 threads",
        unit: "item",
        contenders: || push_from_threads!(push::<2, _>),
    },
    Workload {
        name: "batch-processor/push, 64 threads",
        unit: "item",
        contenders: || push_from_threads!(push::<64, _>),
    },
    Workload {
        name: "batch-processor/push, 64 tasks",
        unit: "item",
        contenders: || {
            vec![
                ours("tidegate", AT_ONCE, push_tasks(|roll| tidegate_tasks(Trigger::AtOnce, roll))),
                ours(
                    "tidegate, full",
                    FULL,
                    push_tasks(|roll| tidegate_tasks(Trigger::Full, roll)),
                ),
                rival("tokio recv_many", AT_ONCE, push_tasks(unanswered_tasks::<Tokio>)),
                rival("tokio recv_many, full", FULL, push_tasks(unanswered_tasks::<TokioFull>)),
                rival("tokio-stream chunks", FULL, push_tasks(unanswered_tasks::<TokioStream>)),
                rival("async-channel chunks", AT_ONCE, push_tasks(unanswered_tasks::<Async>)),
                rival("futures-batch", FULL, push_tasks(unanswered_tasks::<FuturesBatch>)),
                rival("batch-channel", AT_ONCE, push_tasks(unanswered_tasks::<BatchChannel>)),
            ]
        },
    },
    Workload {
        name: "batch-processor/results, 1 thread",
        unit: "item",
        contenders: || submit_much_from_threads!(1, submit::<1, _>),
    },
    Workload {
        name: "batch-processor/results, 2 threads",
        unit: "item",
        contenders: || submit_much_from_threads!(2, submit::<2, _>),
    },
    Workload {
        name: "batch-processor/results, 64 threads",
        unit: "item",
        contenders: || submit_much_from_threads!(64, submit::<64, _>),
    },
    Workload {
        name: "batch-processor/results, 64 tasks",
        unit: "item",
        contenders: || {
            vec![
                ours(
                    "tidegate",
                    AT_ONCE,
                    submit_tasks(|roll| tidegate_answers_tasks(Trigger::AtOnce, roll)),
                ),
                ours(
                    "tidegate, full",
                    FULL,
                    submit_tasks(|roll| tidegate_answers_tasks(Trigger::Full, roll)),
                ),
                ours("tidegate, led", AT_ONCE, submit_tasks(tidegate_led)),
                rival("tokio recv_many", AT_ONCE, submit_tasks(answered_tasks::<Tokio, TokioOnce>)),
                rival(
                    "tokio recv_many, full",
                    FULL,
                    submit_tasks(answered_tasks::<TokioFull, TokioOnce>),
                ),
                rival(
                    "async-channel chunks",
                    AT_ONCE,
                    submit_tasks(answered_tasks::<Async, TokioOnce>),
                ),
                rival(
                    "batch-channel",
                    AT_ONCE,
                    submit_tasks(answered_tasks::<BatchChannel, TokioOnce>),
                ),
                rival(
                    "batch-aint-one",
                    AT_ONCE,
                    submit_tasks(|roll| aint_one(Trigger::AtOnce, roll)),
                ),
                rival(
                    "batch-aint-one, full",
                    FULL,
                    submit_tasks(|roll| aint_one(Trigger::Full, roll)),
                ),
                rival("ultra-batch", FULL, submit_tasks(ultra_batch)),
            ]
        },
    },
    Workload {
        name: "batch-processor/one result at a time, 1 thread",
        unit: "round trip",
        contenders: || submit_one_from_threads!(1),
    },
    Workload {
        name: "batch-processor/one result at a time, 2 threads",
        unit: "round trip",
        contenders: || submit_one_from_threads!(2),
    },
    Workload {
        name: "batch-processor/one result at a time, 64 threads",
        unit: "round trip",
        contenders: || submit_one_from_threads!(64),
    },
];
