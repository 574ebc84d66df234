//! The laws of the layers.

mod batch;
mod classifiers;
mod coalesce;
mod contract;
mod grpc;
mod http;
mod keyed;
mod mocks;
mod panics;
mod stacks;

use std::{future::Future, sync::LazyLock};

static TOKIO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// Runs a law as a task of tokio, as one of smol, and on an executor whose tasks stay on their
/// thread.
fn everywhere<F>(law: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    TOKIO.block_on(TOKIO.spawn(law())).unwrap();
    smol::block_on(smol::spawn(law()));
    let local = smol::LocalExecutor::new();
    smol::block_on(local.run(local.spawn(law())));
}
