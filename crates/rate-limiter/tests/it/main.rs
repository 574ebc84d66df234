//! The tests of tidegate-rate-limiter, one binary: a module for each subject.

mod balance;
mod changes;
mod clocks;
mod executors;
mod fixed_keyed;
mod foreign;
mod gates;
mod keyed;
mod keyed_gates;
mod keyed_quotas;
mod lagging;
mod paper;
mod quota_text;
mod rate;
mod refunds;
mod refunds_of_keys_and_io;
mod settings;
mod sizes;
mod stress;
mod throttled;
mod traits;
mod waiting;
mod windows;
