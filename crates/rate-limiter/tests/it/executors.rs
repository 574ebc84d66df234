//! Executors that run a task.

use std::{
    future::Future,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tidegate_rate_limiter::Wait;

/// Runs a task to its end on the next of three executors: multi-threaded tokio, smol, a thread.
pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) {
    static TOKIO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
    });
    static TURN: AtomicUsize = AtomicUsize::new(0);
    match TURN.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => TOKIO.block_on(TOKIO.spawn(task)).unwrap(),
        1 => smol::block_on(smol::spawn(task)),
        _ => thread::spawn(|| task.wait()).join().unwrap(),
    }
}
