//! The workloads of the layers of tower under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn tower(criterion: &mut Criterion) {
    benches::under_criterion("tower", criterion);
}

criterion_group!(benches_of_pattern, tower);
criterion_main!(benches_of_pattern);
