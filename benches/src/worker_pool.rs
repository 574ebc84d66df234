//! Jobs for two threads: many from outside, one and its result, uneven ones, and trees of jobs.

mod loops;
mod subject;

use self::{loops::*, subject::*};
use tidegate_worker_pool::OnFull;

use crate::workload::{Contender, REFERENCE, Workload, ours, rival};

/// It holds [`ROOM`] jobs; a submitter of one more waits.
const BOUNDED: &str = "bounded";

/// It takes all jobs there are, and all memory they need.
const UNBOUNDED: &str = "unbounded";

/// Its jobs may borrow, and it ends when the last of them does.
const SCOPE: &str = "scope";

/// It runs futures; it also takes all there are.
const RUNTIME: &str = "runtime";

/// One contender for each pool; `$loop` is given what starts it.
macro_rules! everybody {
    ($loop:expr) => {
        everybody!($loop, OnFull::Wait)
    };
    ($loop:expr, $on_full:expr) => {
        vec![
            ours("tidegate", BOUNDED, $loop(|| tidegate(ROOM, $on_full))),
            ours("tidegate, no bound", UNBOUNDED, $loop(|| tidegate(usize::MAX, $on_full))),
            rival("crossbeam-channel", BOUNDED, $loop(|| ByChannel::bounded(ROOM))),
            rival("crossbeam-channel, no bound", UNBOUNDED, $loop(ByChannel::unbounded)),
            rival("threadpool", UNBOUNDED, $loop(threadpool)),
            rival("rusty_pool", UNBOUNDED, $loop(rusty_pool)),
            rival("rayon spawn", UNBOUNDED, $loop(rayon)),
            rival("tokio spawn_blocking", UNBOUNDED, $loop(Blocking::start)),
            rival("tokio spawn", RUNTIME, $loop(Tokio::start)),
            rival("async-executor", RUNTIME, $loop(Tasks::start)),
        ]
    };
}

/// The same, and others.
macro_rules! everybody_and {
    ($loop:expr, $on_full:expr; $($other:expr),+) => {{
        let mut contenders = everybody!($loop, $on_full);
        contenders.extend([$($other),+]);
        contenders
    }};
}

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "worker-pool/1,000,000 tiny jobs",
        unit: "job",
        contenders: || {
            everybody_and!(tiny, OnFull::Wait; rival("rayon scope", SCOPE, tiny_in_a_scope(rayon)))
                .into_iter()
                .map(|contender| contender.at_least(1_000_000))
                .collect()
        },
    },
    Workload {
        name: "worker-pool/tiny jobs, 2 submitters",
        unit: "job",
        contenders: || everybody!(tiny_of_two),
    },
    Workload {
        name: "worker-pool/one job and its result",
        unit: "round trip",
        contenders: || {
            everybody_and!(
                one_by_one, OnFull::Wait;
                rival("rayon install", UNBOUNDED, one_by_one_installed(rayon)),
                rival("a thread for each", REFERENCE, one_by_one(|| Threads))
            )
        },
    },
    Workload {
        name: "worker-pool/64 jobs and their results",
        unit: "job",
        contenders: || everybody!(sixty_four),
    },
    Workload {
        name: "worker-pool/uneven jobs",
        unit: "job",
        contenders: || {
            everybody_and!(
                uneven, OnFull::Wait;
                rival("rayon scope", SCOPE, uneven_in_a_scope(rayon)),
                rival("the caller alone", REFERENCE, uneven_alone())
            )
        },
    },
    Workload {
        name: "worker-pool/jobs that submit jobs",
        unit: "job",
        contenders: || {
            everybody_and!(
                tree::<SMALL, _>, OnFull::CallerRuns;
                rival("rayon scope", SCOPE, tree_in_a_scope::<SMALL>(rayon))
            )
        },
    },
    Workload {
        name: "worker-pool/jobs that submit more than there is room for",
        unit: "job",
        contenders: || {
            everybody_and!(
                tree::<LARGE, _>, OnFull::CallerRuns;
                rival("rayon scope", SCOPE, tree_in_a_scope::<LARGE>(rayon))
            )
        },
    },
];

/// The jobs of a tree of 11 levels. Its 1024 leaves are as many as a bounded pool has room for.
const SMALL: u64 = (1 << 11) - 1;

/// 16 times as many. If a bounded pool has no room for a job, the job that submits it runs it.
const LARGE: u64 = (1 << 15) - 1;

/// The pools without jobs: a run lasts so many seconds, and returns their CPU time.
pub fn idle() -> Vec<Contender> {
    everybody!(idling)
}
