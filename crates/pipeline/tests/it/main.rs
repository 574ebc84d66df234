//! The tests of tidegate-pipeline, one binary: a module for each subject.

mod any_mix;
mod branches;
mod caps;
mod chunks;
mod desk;
mod dropped;
mod flow;
mod foreign;
mod foreign_more;
mod largest;
mod parallel;
mod stress;
mod threads;
mod traits;
