//! The tests of tidegate-worker-pool, one binary: a module for each subject.

mod cancelled_slots;
mod dropped;
mod elastic;
mod foreign;
mod futures;
mod group;
mod group_panics;
mod handle;
mod keyed;
mod largest;
mod mixed;
mod nested;
mod on_full;
mod panics;
mod pause_and_cancel;
mod per_worker;
mod scope;
mod settings;
mod shutdown;
mod stats;
mod stress;
mod submit;
mod traced;
mod traits;
mod waits;
