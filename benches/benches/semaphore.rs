//! Permits that nobody contends for: try and release, and an acquisition that is ready at once.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_lite::future::block_on;
use tidegate_semaphore::{Semaphore, Wait};

fn try_and_release(c: &mut Criterion) {
    let mut group = c.benchmark_group("semaphore/try and release");
    let ours = Semaphore::new(4);
    group.bench_function("tidegate", |b| b.iter(|| drop(black_box(&ours).try_acquire(1).unwrap())));
    let tokio = tokio::sync::Semaphore::new(4);
    group.bench_function("tokio", |b| b.iter(|| drop(black_box(&tokio).try_acquire().unwrap())));
    let async_lock = async_lock::Semaphore::new(4);
    group.bench_function("async-lock", |b| {
        b.iter(|| drop(black_box(&async_lock).try_acquire().unwrap()))
    });
    group.finish();
}

fn ready_acquire_and_release(c: &mut Criterion) {
    let mut group = c.benchmark_group("semaphore/ready acquire and release");
    let ours = Semaphore::new(4);
    group.bench_function("tidegate, waited for", |b| {
        b.iter(|| drop(black_box(&ours).acquire(1).wait().unwrap()));
    });
    group.bench_function("tidegate, awaited", |b| {
        b.iter(|| block_on(async { drop(black_box(&ours).acquire(1).await.unwrap()) }));
    });
    let tokio = tokio::sync::Semaphore::new(4);
    group.bench_function("tokio, awaited", |b| {
        b.iter(|| block_on(async { drop(black_box(&tokio).acquire().await.unwrap()) }));
    });
    let async_lock = async_lock::Semaphore::new(4);
    group.bench_function("async-lock, awaited", |b| {
        b.iter(|| block_on(async { drop(black_box(&async_lock).acquire().await) }));
    });
    group.finish();
}

criterion_group!(benches, try_and_release, ready_acquire_and_release);
criterion_main!(benches);
