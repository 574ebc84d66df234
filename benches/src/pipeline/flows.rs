//! The flows as one would write them: a range of numbers, a stage for two threads, and a sink.

use std::{cell::LazyCell, iter, num::NonZeroUsize, time::Duration};

use futures_lite::future::{block_on, yield_now};
use futures_util::{StreamExt as _, stream};
use orx_parallel::{IterIntoParIter as _, Par as _};
use pariter::IteratorExt as _;
use rayon::iter::{IntoParallelIterator as _, ParallelBridge as _, ParallelIterator as _};
use tidegate_core::Wait;
use tidegate_pipeline::{Pipeline, Threads};
use tidegate_worker_pool::WorkerPool;
use tokio::runtime::{Builder, Runtime};

use super::{
    by_hand,
    stages::{CHEAP, Sink, stage},
};
use crate::timing::timed;

/// How many threads the stage has.
pub(super) const THREADS: usize = 2;

/// How many items a chunk has.
const CHUNK: usize = 64;

/// How many chunks there is room for on each side of the threads, if that can be set.
pub(super) const ROOM: usize = 16;

/// How many items there is room for, if that can be set: as many as in the chunks.
const ITEMS: usize = ROOM * CHUNK;

/// How many futures are in flight.
const IN_FLIGHT: usize = 64;

fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Times a flow of the items 0 to `n`, whose order is kept.
fn ordered<const STEPS: u32>(flow: impl Fn(u64, &mut Sink)) -> impl FnMut(u64) -> Duration {
    checked::<STEPS>(flow, true)
}

/// Times a flow whose order need not be kept.
fn unordered<const STEPS: u32>(flow: impl Fn(u64, &mut Sink)) -> impl FnMut(u64) -> Duration {
    checked::<STEPS>(flow, false)
}

fn checked<const STEPS: u32>(
    flow: impl Fn(u64, &mut Sink),
    is_ordered: bool,
) -> impl FnMut(u64) -> Duration {
    move |n| {
        let mut sink = Sink::default();
        let elapsed = timed(|| flow(n, &mut sink));
        sink.check::<STEPS>(n, is_ordered);
        elapsed
    }
}

/// The numbers in chunks, as one cuts them by hand.
fn chunks(mut numbers: impl Iterator<Item = u64>) -> impl Iterator<Item = Vec<u64>> {
    iter::from_fn(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        chunk.extend(numbers.by_ref().take(CHUNK));
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// The stage for a chunk.
fn chunk_stage<const STEPS: u32>(mut chunk: Vec<u64>) -> Vec<u64> {
    chunk.iter_mut().for_each(|number| *number = stage::<STEPS>(*number));
    chunk
}

/// A loop, on one thread.
pub(super) fn a_loop<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        for number in 0..n {
            sink.take(stage::<STEPS>(number));
        }
    })
}

/// Tidegate's flow with an inline stage: on one thread, too.
pub(super) fn map<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        let flow = Pipeline::from_iter(0..n).map("stage", stage::<STEPS>);
        flow.for_each(|result| sink.take(result)).wait().unwrap();
    })
}

/// Starts a pool of ours.
fn pool() -> WorkerPool {
    WorkerPool::builder().threads(count(THREADS)).build().unwrap()
}

/// Tidegate's flow with a stage on a pool. It cuts chunks by itself.
pub(super) fn map_on<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    let pool = LazyCell::new(pool);
    ordered::<STEPS>(move |n, sink| {
        let flow =
            Pipeline::from_iter(0..n).map_on(&*pool, "stage", count(THREADS), stage::<STEPS>);
        flow.for_each(|result| sink.take(result)).wait().unwrap();
    })
}

/// The same on the calling thread and one more, which the run starts.
pub(super) fn run_on_threads<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        let flow =
            Pipeline::from_iter(0..n).map_on(Threads, "stage", count(THREADS), stage::<STEPS>);
        flow.for_each(|result| sink.take(result)).run_on_threads(count(THREADS)).unwrap();
    })
}

/// Channels of crossbeam's and a reorder buffer.
pub(super) fn crossbeam<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        by_hand::fed(0..n, ITEMS, stage::<STEPS>, |result| sink.take(result));
    })
}

/// The same, chunk by chunk.
pub(super) fn crossbeam_chunks<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        by_hand::fed(chunks(0..n), ROOM, chunk_stage::<STEPS>, |chunk| {
            chunk.into_iter().for_each(|result| sink.take(result));
        });
    })
}

/// The same without a thread that feeds.
pub(super) fn crossbeam_chunks_no_feeder<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        by_hand::feeding(chunks(0..n), ROOM, chunk_stage::<STEPS>, |chunk| {
            chunk.into_iter().for_each(|result| sink.take(result));
        });
    })
}

/// Starts tokio.
fn tokio() -> Runtime {
    Builder::new_multi_thread().worker_threads(THREADS).build().unwrap()
}

/// A task of tokio's for each item, and futures' `buffered`.
pub(super) fn buffered<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    let runtime = LazyCell::new(tokio);
    ordered::<STEPS>(move |n, sink| {
        runtime.block_on(
            stream::iter(0..n)
                .map(|number| tokio::spawn(async move { stage::<STEPS>(number) }))
                .buffered(ITEMS)
                .for_each(|result| {
                    sink.take(result.unwrap());
                    std::future::ready(())
                }),
        );
    })
}

/// The same, chunk by chunk.
pub(super) fn buffered_chunks<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    let runtime = LazyCell::new(tokio);
    ordered::<STEPS>(move |n, sink| {
        runtime.block_on(
            stream::iter(chunks(0..n))
                .map(|chunk| tokio::spawn(async move { chunk_stage::<STEPS>(chunk) }))
                .buffered(ROOM)
                .for_each(|chunk| {
                    chunk.unwrap().into_iter().for_each(|result| sink.take(result));
                    std::future::ready(())
                }),
        );
    })
}

/// Pariter.
pub(super) fn pariter<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        (0..n)
            .parallel_map_custom(|of| of.threads(THREADS).buffer_size(ITEMS), stage::<STEPS>)
            .for_each(|result| sink.take(result));
    })
}

/// The same, chunk by chunk.
pub(super) fn pariter_chunks<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        chunks(0..n)
            .parallel_map_custom(|of| of.threads(THREADS).buffer_size(ROOM), chunk_stage::<STEPS>)
            .flatten()
            .for_each(|result| sink.take(result));
    })
}

/// Orx-parallel, which collects in order.
pub(super) fn orx<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    ordered::<STEPS>(|n, sink| {
        let flow = (0..n).iter_into_par().num_threads(THREADS).map(stage::<STEPS>);
        flow.collect::<Vec<u64>>().into_iter().for_each(|result| sink.take(result));
    })
}

/// Starts a pool of rayon's.
fn rayon() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().unwrap()
}

/// Rayon's bridge, whose results are sorted.
pub(super) fn par_bridge_sorted<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    let pool = LazyCell::new(rayon);
    ordered::<STEPS>(move |n, sink| {
        let mut results: Vec<u64> =
            pool.install(|| (0..n).par_bridge().map(stage::<STEPS>).collect());
        results.sort_unstable_by_key(|&result| result & u64::from(u32::MAX));
        results.into_iter().for_each(|result| sink.take(result));
    })
}

/// The same, not sorted.
pub(super) fn par_bridge<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    let pool = LazyCell::new(rayon);
    unordered::<STEPS>(move |n, sink| {
        let results: Vec<u64> = pool.install(|| (0..n).par_bridge().map(stage::<STEPS>).collect());
        results.into_iter().for_each(|result| sink.take(result));
    })
}

/// Rayon, which is given all numbers before it begins.
pub(super) fn rayon_range<const STEPS: u32>() -> impl FnMut(u64) -> Duration {
    let pool = LazyCell::new(rayon);
    ordered::<STEPS>(move |n, sink| {
        let results: Vec<u64> =
            pool.install(|| (0..n).into_par_iter().map(stage::<STEPS>).collect());
        results.into_iter().for_each(|result| sink.take(result));
    })
}

/// An asynchronous stage: it yields once.
async fn later(number: u64) -> u64 {
    yield_now().await;
    stage::<CHEAP>(number)
}

/// One future after the other.
pub(super) fn async_loop() -> impl FnMut(u64) -> Duration {
    ordered::<CHEAP>(|n, sink| {
        block_on(async {
            for number in 0..n {
                sink.take(later(number).await);
            }
        });
    })
}

/// Tidegate's flow with an asynchronous stage, in order.
pub(super) fn map_async() -> impl FnMut(u64) -> Duration {
    ordered::<CHEAP>(|n, sink| {
        let flow = Pipeline::from_iter(0..n).map_async("later", count(IN_FLIGHT), later);
        block_on(flow.for_each(|result| sink.take(result))).unwrap();
    })
}

/// The same, not in order.
pub(super) fn map_async_unordered() -> impl FnMut(u64) -> Duration {
    unordered::<CHEAP>(|n, sink| {
        let flow =
            Pipeline::from_iter(0..n).map_async("later", count(IN_FLIGHT), later).unordered();
        block_on(flow.for_each(|result| sink.take(result))).unwrap();
    })
}

/// Futures' `buffered`.
pub(super) fn buffered_async() -> impl FnMut(u64) -> Duration {
    ordered::<CHEAP>(|n, sink| {
        block_on(stream::iter(0..n).map(later).buffered(IN_FLIGHT).for_each(|result| {
            sink.take(result);
            std::future::ready(())
        }));
    })
}

/// Futures' `buffer_unordered`.
pub(super) fn buffer_unordered_async() -> impl FnMut(u64) -> Duration {
    unordered::<CHEAP>(|n, sink| {
        block_on(stream::iter(0..n).map(later).buffer_unordered(IN_FLIGHT).for_each(|result| {
            sink.take(result);
            std::future::ready(())
        }));
    })
}
