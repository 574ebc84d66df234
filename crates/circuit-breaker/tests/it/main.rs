//! The tests of tidegate-circuit-breaker, one binary: a module for each subject.

mod classifier;
mod clocks;
mod forms;
mod fuse;
mod keyed;
mod observer;
mod panics;
mod paper;
mod probes;
mod reconfigure;
mod reference;
mod rows;
mod scale;
mod settings;
mod sizes;
mod slow;
mod states;
mod stress;
mod throttle;
mod traced;
mod traits;
mod waiting;
