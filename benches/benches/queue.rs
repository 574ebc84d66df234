//! One item in, one item out, on one thread: what close and waiting cost on top of the lock-free queue.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate_core::Queue;

fn push_and_pop(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue/push and pop, bounded");
    let ours = Queue::bounded(64.try_into().unwrap());
    group.bench_function("tidegate", |b| {
        b.iter(|| {
            black_box(&ours).try_push(1).unwrap();
            black_box(&ours).try_pop().unwrap()
        });
    });
    let (sender, receiver) = async_channel::bounded(64);
    group.bench_function("async-channel", |b| {
        b.iter(|| {
            black_box(&sender).try_send(1).unwrap();
            black_box(&receiver).try_recv().unwrap()
        });
    });
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    group.bench_function("tokio mpsc", |b| {
        b.iter(|| {
            black_box(&sender).try_send(1).unwrap();
            black_box(&mut receiver).try_recv().unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, push_and_pop);
criterion_main!(benches);
