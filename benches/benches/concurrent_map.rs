//! The workloads of the concurrent map under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn concurrent_map(criterion: &mut Criterion) {
    benches::under_criterion("concurrent-map", criterion);
}

criterion_group!(benches_of_pattern, concurrent_map);
criterion_main!(benches_of_pattern);
