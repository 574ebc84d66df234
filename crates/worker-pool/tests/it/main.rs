//! The tests of tidegate-worker-pool, one binary: a module for each subject.

mod cancelled_places;
mod dropped;
mod elastic;
mod foreign;
mod foreign_more;
mod futures;
mod group;
mod group_panics;
mod handle;
mod lanes;
mod largest;
mod mixed;
mod nested;
mod on_full;
mod panics;
mod pause_and_cancel;
mod per_worker;
mod scope;
mod shutdown;
mod stats;
mod stress;
mod submit;
mod traits;
mod waits;
