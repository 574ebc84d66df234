//! The workloads of the semaphore under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn semaphore(criterion: &mut Criterion) {
    benches::under_criterion("semaphore", criterion);
}

criterion_group!(benches_of_pattern, semaphore);
criterion_main!(benches_of_pattern);
