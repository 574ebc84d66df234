//! The access log: from a request's end to a row in SQLite.
//!
//! ```text
//! request ends ──▶ Queue ──▶ Pipeline: enrich ──▶ Batcher ──▶ one transaction for many rows
//! ```
//!
//! A queue that is full holds the requests back. On shutdown each of the three is closed and
//! drained in turn, so that no record of an answered request is lost.

mod enrich;
mod middleware;
mod record;
mod store;

use std::{error::Error, num::NonZeroUsize, sync::Arc};

use tidegate::{
    Batcher, Pipeline, Queue,
    batch_processor::{DriverThread, Stats},
    pipeline::{Monitor, Stopped, Summary},
};
use tidegate_metrics::{NameTaken, Registry};
use tokio::task::JoinHandle;

pub use self::{enrich::Enriched, middleware::note, record::Record, store::Store};
use crate::settings::LogSettings;

type Rows = Batcher<Enriched, (), rusqlite::Error>;

/// The access log: what leads into it, the flow, and the thread that writes.
#[derive(Debug)]
pub struct AccessLog {
    way_in: WayIn,
    flow: JoinHandle<Result<Summary, Stopped>>,
    writer: DriverThread,
}

/// Where requests leave their records, with the statistics of the log. Clones lead to the same log.
#[derive(Debug, Clone)]
pub struct WayIn {
    queue: Arc<Queue<Record>>,
    monitor: Arc<Monitor>,
    batcher: Arc<Rows>,
}

impl WayIn {
    /// Returns how many records wait for the flow.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Returns the statistics of the batcher that writes the rows.
    pub fn rows(&self) -> Stats {
        self.batcher.stats()
    }

    /// Shows operators the flow and the batcher.
    ///
    /// # Errors
    ///
    /// `registry` watches a log already.
    pub fn watch(&self, registry: &Registry) -> Result<(), NameTaken> {
        registry.watch("access log", &self.monitor)?;
        registry.watch("access log", &self.batcher)
    }
}

impl AccessLog {
    /// Opens the database and starts what writes into it: a task of tokio's, and a thread.
    ///
    /// # Errors
    ///
    /// The database cannot be opened, or the thread cannot be started.
    pub fn start(settings: &LogSettings) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut store = Store::open(&settings.database)?;
        let batches = settings.batch.builder();
        let (batcher, writer) = batches
            .build_on_thread(move |rows: Vec<Enriched>| store.insert(&rows))
            .map_err(|error| error.within("batch").within("log"))?;
        let (queue, batcher) = (Arc::new(Queue::bounded(settings.queue)), Arc::new(batcher));
        let rows = batcher.clone();
        let flow = Pipeline::from_queue(queue.clone()).map("enrich", Enriched::from).try_map_async(
            "write",
            // As many as may make a batch.
            settings.batch.max_items.and_then(NonZeroUsize::new).unwrap_or(settings.queue),
            move |row| {
                let rows = rows.clone();
                async move { rows.submit(row).await.map_err(|error| error.to_string()) }
            },
        );
        let way_in = WayIn { queue, monitor: Arc::new(flow.monitor()), batcher };
        Ok(Self { way_in, flow: tokio::spawn(flow.run()), writer })
    }

    /// Returns where requests leave their records.
    pub fn way_in(&self) -> &WayIn {
        &self.way_in
    }

    /// Writes every record that was left with the queue, and ends. Returns how many.
    ///
    /// # Errors
    ///
    /// Rows could not be written.
    pub async fn shutdown(self) -> Result<u64, Box<dyn Error + Send + Sync>> {
        let Self { way_in, flow, writer } = self;
        way_in.queue.close();
        let summary = flow.await??;
        way_in.batcher.shutdown().await.map_err(|error| error.to_string())?;
        // The thread has nothing left to do.
        writer.join();
        Ok(summary.succeeded)
    }
}
