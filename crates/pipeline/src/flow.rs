//! What all stages of one flow share.

mod budget;
mod context;
mod guard;
mod item;
mod ledger;
mod meter;
mod on_error;
mod reorder;
mod returns;
mod run_threads;
mod stage;
mod stats;
mod stopped;

#[cfg(feature = "std")]
pub(crate) use self::run_threads::ThreadTask;
pub(crate) use self::{
    context::{Flow, system_time},
    item::{Item, Lineage},
    ledger::StageId,
    meter::Counting,
    reorder::Reorder,
    run_threads::{RunThreads, WorkQueue},
    stats::ItemOutcome,
};
pub use self::{
    on_error::OnError,
    returns::{Plain, Returns, Try},
    stage::Stage,
    stats::{Monitor, StageStats, Stats, Summary},
    stopped::{AfterStop, Stopped},
};
