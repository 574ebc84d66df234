//! The workloads of the rate limiter under criterion.

use criterion::{Criterion, criterion_group, criterion_main};

fn rate_limiter(criterion: &mut Criterion) {
    benches::under_criterion("rate-limiter", criterion);
}

criterion_group!(benches_of_pattern, rate_limiter);
criterion_main!(benches_of_pattern);
