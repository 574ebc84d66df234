//! The workloads of the circuit breaker under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn circuit_breaker(criterion: &mut Criterion) {
    benches::under_criterion("circuit-breaker", criterion);
}

criterion_group!(benches_of_pattern, circuit_breaker);
criterion_main!(benches_of_pattern);
