//! The workloads of the worker pool under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn worker_pool(criterion: &mut Criterion) {
    benches::under_criterion("worker-pool", criterion);
}

criterion_group!(benches_of_pattern, worker_pool);
criterion_main!(benches_of_pattern);
