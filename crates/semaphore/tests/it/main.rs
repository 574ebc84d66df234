//! The tests of tidegate-semaphore, one binary: a module for each subject.

mod adaptive;
mod adaptive_range;
mod algorithms;
mod capacity;
mod fairness;
mod forms;
mod history;
mod lagging;
mod limits;
mod panics;
mod paper;
mod permits;
mod resize;
mod settings;
mod sizes;
mod stress;
mod traits;
mod unpolled;
mod wait_queue;
