//! Benchmarks of tidegate beside its rivals, in the same run: one file per pattern in `benches/`.
//!
//! `cargo bench -p benches --bench semaphore` runs one of them. Machines are noisy: compare the ratios within a run, not
//! the figures of two runs.
