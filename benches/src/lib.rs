//! Tidegate beside its rivals: one set of workloads, run in two ways.
//!
//! A [`Workload`] is a loop that several [`Contender`]s go through, each with its own semaphore,
//! limiter, breaker, map or pool. There is one file per pattern. The program `compare` runs the
//! contenders of a workload by turns and prints a table; the benches in `benches/` hand the same
//! contenders to criterion. The package's README tells how to add to it.

pub mod catalogue;
pub mod concurrent_map;
pub mod measure;
pub mod report;
pub mod timing;
pub mod worker_pool;
pub mod workload;

mod batch_processor;
mod circuit_breaker;
mod clocks;
mod keys;
mod machine;
mod pipeline;
mod queue;
mod rate_limiter;
mod roll_call;
mod semaphore;
mod tower;

pub use self::{
    catalogue::WORKLOADS,
    machine::Machine,
    workload::{Contender, Workload},
};

use self::timing::scaled;

/// Runs the workloads of one pattern under criterion.
pub fn under_criterion(pattern: &str, criterion: &mut criterion::Criterion) {
    for workload in catalogue::of_pattern(pattern) {
        let mut group = criterion.benchmark_group(workload.name);
        for mut contender in (workload.contenders)() {
            group.bench_function(contender.name, |bencher| {
                bencher.iter_custom(|n| {
                    let whole = n.max(contender.least);
                    scaled((contender.run)(whole), whole, n)
                });
            });
        }
        group.finish();
    }
}
