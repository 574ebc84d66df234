//! The tests of tidegate, one binary: a module for each subject.

mod classifiers;
mod gates;
mod traits;
