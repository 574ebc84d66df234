//! Where a task of a user's runs, and what outlives it.

use std::{
    any::Any,
    future::Future,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tidegate_rate_limiter::Wait;

/// Runs a task to its end in the next of three places: a multi-threaded tokio, smol, a thread.
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

/// Makes a value last for ever, where the leak checker still finds it.
pub(crate) fn keep<T: Send + Sync + 'static>(value: T) -> &'static T {
    static KEPT: Mutex<Vec<&'static (dyn Any + Send + Sync)>> = Mutex::new(Vec::new());
    let kept: &'static T = Box::leak(Box::new(value));
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    kept
}
