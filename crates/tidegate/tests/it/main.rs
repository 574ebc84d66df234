//! The tests of tidegate, one binary: a module for each subject.

mod gates;
mod traits;
