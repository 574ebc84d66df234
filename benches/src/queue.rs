//! One item in, one item out, on one thread: what close and waiting cost on top of the lock-free queue.

use std::{hint::black_box, num::NonZeroUsize};

use tidegate_core::Queue;

use crate::{
    timing::timed,
    workload::{Contender, Workload, ours, rival},
};

pub(crate) const WORKLOADS: &[Workload] = &[Workload {
    name: "queue/push and pop, bounded",
    unit: "push and pop",
    contenders: push_and_pop,
}];

const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).unwrap();

fn push_and_pop() -> Vec<Contender> {
    let queue = Queue::bounded(CAPACITY);
    let (sender, receiver) = async_channel::bounded(CAPACITY.get());
    let (tokio_sender, mut tokio_receiver) = tokio::sync::mpsc::channel(CAPACITY.get());
    vec![
        ours("tidegate", "mpmc", move |n| {
            timed(|| {
                for item in 0..n {
                    black_box(&queue).try_push(item).unwrap();
                    black_box(black_box(&queue).try_pop().unwrap());
                }
            })
        }),
        rival("async-channel", "mpmc", move |n| {
            timed(|| {
                for item in 0..n {
                    black_box(&sender).try_send(item).unwrap();
                    black_box(black_box(&receiver).try_recv().unwrap());
                }
            })
        }),
        rival("tokio", "mpsc", move |n| {
            timed(|| {
                for item in 0..n {
                    black_box(&tokio_sender).try_send(item).unwrap();
                    black_box(black_box(&mut tokio_receiver).try_recv().unwrap());
                }
            })
        }),
    ]
}
