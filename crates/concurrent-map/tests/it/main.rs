//! The tests of tidegate-concurrent-map, one binary: a module for each subject.

mod bulk;
mod capacity;
mod differential;
mod dropped;
mod drops;
mod entry;
mod flight;
mod flight_alone;
mod flight_threads;
mod growth;
mod hashers;
mod history;
mod huge;
mod jsr166;
mod keyed;
mod keyed_search;
mod map;
mod mixes;
mod panics;
mod parallel;
mod random;
mod rivals;
mod serde;
mod sizes;
mod stress;
mod traits;
