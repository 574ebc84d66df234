//! The workloads of the pipeline under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn pipeline(criterion: &mut Criterion) {
    benches::under_criterion("pipeline", criterion);
}

criterion_group!(benches_of_pattern, pipeline);
criterion_main!(benches_of_pattern);
