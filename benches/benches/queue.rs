//! The workloads of the queue under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn queue(criterion: &mut Criterion) {
    benches::under_criterion("queue", criterion);
}

criterion_group!(benches_of_pattern, queue);
criterion_main!(benches_of_pattern);
