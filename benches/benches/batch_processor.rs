//! The workloads of the batch processor under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn batch_processor(criterion: &mut Criterion) {
    benches::under_criterion("batch-processor", criterion);
}

criterion_group!(benches_of_pattern, batch_processor);
criterion_main!(benches_of_pattern);
