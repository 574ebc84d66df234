//! A flow of 1,000,000 items through a stage on two threads, or through an asynchronous stage.

mod by_hand;
mod flows;
mod stages;

use self::{
    flows::*,
    stages::{CHEAP, MEDIUM},
};
use crate::workload::{REFERENCE, Workload, ours, rival};

/// Results come one after the other, in order, and what is in flight is bounded.
const ORDERED: &str = "ordered";

/// Results are in order, but the first comes when the last is there.
const COLLECTED: &str = "collected";

/// Results come in any order.
const UNORDERED: &str = "unordered";

/// The whole flow is on one thread.
const ONE_TASK: &str = "one task";

macro_rules! through_a_stage {
    ($steps:ident) => {
        [
            ours("tidegate map", ONE_TASK, map::<$steps>()),
            ours("tidegate map_on", ORDERED, map_on::<$steps>()),
            ours("tidegate run_on_threads", ORDERED, run_on_threads::<$steps>()),
            rival("crossbeam", ORDERED, crossbeam::<$steps>()),
            rival("crossbeam, chunks", ORDERED, crossbeam_chunks::<$steps>()),
            rival("crossbeam, chunks, no feeder", ORDERED, crossbeam_chunks_no_feeder::<$steps>()),
            rival("tokio buffered", ORDERED, buffered::<$steps>()),
            rival("tokio buffered, chunks", ORDERED, buffered_chunks::<$steps>()),
            rival("pariter", ORDERED, pariter::<$steps>()),
            rival("pariter, chunks", ORDERED, pariter_chunks::<$steps>()),
            rival("orx-parallel", COLLECTED, orx::<$steps>()),
            rival("rayon par_bridge, sorted", COLLECTED, par_bridge_sorted::<$steps>()),
            rival("rayon par_bridge", UNORDERED, par_bridge::<$steps>()),
            rival("rayon, of a range", REFERENCE, rayon_range::<$steps>()),
            rival("a loop", REFERENCE, a_loop::<$steps>()),
        ]
        .map(|contender| contender.at_least(1_000_000))
        .into()
    };
}

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "pipeline/1,000,000 items, cheap stage",
        unit: "item",
        contenders: || through_a_stage!(CHEAP),
    },
    Workload {
        name: "pipeline/1,000,000 items, medium stage",
        unit: "item",
        contenders: || through_a_stage!(MEDIUM),
    },
    Workload {
        name: "pipeline/asynchronous stage, 64 in flight",
        unit: "item",
        contenders: || {
            vec![
                ours("tidegate map_async", ORDERED, map_async()),
                ours("tidegate, unordered", UNORDERED, map_async_unordered()),
                rival("futures buffered", ORDERED, buffered_async()),
                rival("futures buffer_unordered", UNORDERED, buffer_unordered_async()),
                rival("one after the other", REFERENCE, async_loop()),
            ]
        },
    },
];
