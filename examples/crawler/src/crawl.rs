//! The crawl: one flow, from the frontier and back to it.
//!
//! ```text
//!  ┌─▶ frontier ──▶ fetch ───────────▶ parse ──┬──▶ store
//!  │   (queue)      (breaker, limiter, (worker  │   (batch
//!  │                connections;        pool)   │   processor)
//!  │                worker pool)                │
//!  └────── links never met (concurrent set) ◀───┘
//! ```

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate::batch_processor::{BatchError, DriverThread, SubmitError};
use tidegate::pipeline::{Monitor, OnError, PipelineError, StageStats, Stopped, Summary};
use tidegate::primitive::parallelism;
use tidegate::{Batcher, CancelToken, Pipeline, Wait, WorkerPool};

use url::Url;

use crate::address::canonical;
use crate::args::Executor;
use crate::fetch::{FetchSettings, Fetcher};
use crate::frontier::{Frontier, Left};
use crate::harvest::{Harvest, NoAnswer};
use crate::progress::{Live, Progress};
use crate::record::{Record, Target};
use crate::report::{Report, Stage};
use crate::store::{Store, StoreError};
use crate::tally::{Settled, Tally};
use crate::traps::Bounds;
use crate::visit::Visitor;

/// Pages in one transaction.
const BATCH: usize = 512;
/// Pages that wait for a transaction or are in one: one is filled while another is written.
const IN_BATCHES: NonZeroUsize = NonZeroUsize::new(2 * BATCH).expect("not zero");
/// Visits under way for each connection. If there is only one host, it has half of them.
const VISITS_PER_CONNECTION: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");
/// How many words the report lists.
const TOP_WORDS: usize = 10;

/// What to crawl, and how.
#[derive(Debug)]
pub struct Plan {
    /// `http://host:port` of every site.
    pub origins: Vec<String>,
    /// The addresses to start from. A user and password in one of them are sent to its whole site,
    /// and are stored in no database.
    pub seeds: Vec<Target>,
    /// Stop after this many pages.
    pub max_pages: Option<NonZeroUsize>,
    /// What drives the flow.
    pub executor: Executor,
    /// Connections open at once.
    pub concurrency: NonZeroUsize,
    /// Pages per second and host.
    pub rate: u32,
    /// How far to go.
    pub bounds: Bounds,
    /// How to ask.
    pub fetch: FetchSettings,
    /// No live progress.
    pub quiet: bool,
    /// Cancelled to end the crawl early.
    pub stop: CancelToken,
}

/// A crawl that ended.
#[derive(Debug)]
pub struct Crawled {
    /// What came of it.
    pub report: Report,
    /// It was stopped before it was done.
    pub interrupted: bool,
    /// An address of a site that gave no page, and how its host failed; `None` if there is no such
    /// site.
    pub unreachable: Option<String>,
}

/// Crawls into `store` until nothing is left, the limit is reached, or `plan.stop` is cancelled.
///
/// # Errors
///
/// The database failed, or a thread could not be started; in one line.
pub fn crawl(plan: &Plan, mut store: Store) -> Result<Crawled, String> {
    let started = Instant::now();
    let line = |error: StoreError| error.to_string();
    let mut fetcher = Fetcher::new(&plan.fetch);
    store.add(&seeds(plan, &mut fetcher)).map_err(line)?;
    let origins = store.followed(&plan.origins).map_err(line)?;
    let known = store.resume(&origins).map_err(line)?;
    let harvest = Arc::new(Harvest::new(origins, plan.bounds));
    let pending = known.pending.iter().map(|target| &target.url);
    known.visited.iter().chain(pending).for_each(|url| harvest.meet(url.clone()));

    let live = Arc::new(Live::default());
    let (max_pages, visits) = (plan.max_pages.map(NonZeroUsize::get), visits(plan).get());
    let frontier = Arc::new(Frontier::new(known.pending, max_pages, visits));
    let visitor = Visitor::new(
        fetcher,
        plan.origins.len(),
        plan.concurrency,
        plan.rate,
        live.clone(),
        plan.stop.clone(),
    );
    let visitor = Arc::new(visitor.map_err(|error| format!("threads: {error}"))?);
    let cores = WorkerPool::builder().build().map_err(|error| format!("threads: {error}"))?;
    let store = Arc::new(Mutex::new(store));
    let (writer, writing) = writer(store.clone())?;
    let tally = Arc::new(Mutex::new(Tally::default()));

    let progress =
        Progress::start(live.clone(), plan.max_pages.map(|n| n.get() as u64), plan.quiet);
    let flow = Flow {
        frontier,
        visitor: visitor.clone(),
        harvest: harvest.clone(),
        writer: writer.clone(),
        tally: tally.clone(),
        live,
    };
    let (monitor, ended) = flow.run(plan, &cores);
    visitor.close();
    drop(progress);
    writer.shutdown().wait().map_err(|error| error.to_string())?;
    writing.join();

    let (summary, interrupted) = match ended {
        Ok(summary) => (summary, false),
        Err(stopped) if stopped.is_cancelled() => (stopped.summary(), true),
        Err(stopped) => return Err(stopped.to_string()),
    };
    let tally = lock(&tally);
    let pending = {
        let store = lock(&store);
        let origins = store.followed(&plan.origins).map_err(line)?;
        store.pending(&origins).map_err(line)?
    };
    let trips = visitor.trips();
    let mut hosts = visitor.hosts().all();
    for host in &mut hosts {
        host.trips = trips.get(&host.name).copied().unwrap_or_default();
    }
    let unreachable = tally.unreachable();
    let report = Report {
        elapsed: started.elapsed(),
        read: summary.read - tally.stopped,
        stored: tally.stored,
        lossy: tally.lossy,
        accounted: tally.accounted.clone(),
        without: tally.without.clone(),
        left_out: harvest.left_out(),
        pending,
        stages: stages(&monitor, &visitor, writer.stats().run_time),
        gates: visitor.gates(),
        hosts,
        words: harvest.top_words(TOP_WORDS),
    };
    Ok(Crawled { report, interrupted, unreachable })
}

/// Returns the addresses to start from, without users and passwords: only the fetcher gets those.
fn seeds(plan: &Plan, fetcher: &mut Fetcher) -> Vec<Target> {
    let seed = |target: &Target| {
        let Ok(url) = Url::parse(&target.url) else { return target.clone() };
        fetcher.remember_user(&url);
        let url = canonical(url).map_or_else(|| target.url.clone(), String::from);
        Target { url, ..target.clone() }
    };
    plan.seeds.iter().map(seed).collect()
}

/// Returns how many visits may be under way at once. These are more than the connections, since a
/// visit that waits for a gate or for its next try holds none.
fn visits(plan: &Plan) -> NonZeroUsize {
    plan.concurrency.saturating_mul(VISITS_PER_CONNECTION)
}

type Writer = Batcher<Record, Settled, StoreError>;

/// The writer of the database: one transaction a batch, on a thread of its own.
fn writer(store: Arc<Mutex<Store>>) -> Result<(Writer, DriverThread), String> {
    let write = move |batch: Vec<Record>| {
        lock(&store).store_batch(&batch)?;
        Ok(batch.into_iter().map(Settled::from).collect())
    };
    let builder = Batcher::builder().max_items(BATCH);
    builder.build_on_thread(write).map_err(|error| error.to_string())
}

/// Returns the store's own error, where the batch's only says that the handler failed.
fn cause(error: &SubmitError<Record, StoreError>) -> String {
    let cause = error.batch_error().and_then(BatchError::handler_error);
    cause.map_or_else(|| error.to_string(), StoreError::to_string)
}

/// What the flow is made of. All of it is shared, so that a task can own a clone.
#[derive(Clone)]
struct Flow {
    frontier: Arc<Frontier>,
    visitor: Arc<Visitor>,
    harvest: Arc<Harvest>,
    writer: Writer,
    tally: Arc<Mutex<Tally>>,
    live: Arc<Live>,
}

impl Flow {
    fn run(self, plan: &Plan, cores: &WorkerPool) -> (Monitor, Result<Summary, Stopped>) {
        let Self { frontier, visitor, harvest, writer, .. } = self.clone();
        // An address whose page makes a stage panic stays in the database, for a later version.
        let lost = |flow: Self| {
            move |error: PipelineError| {
                let mut tally = lock(&flow.tally);
                match error.cause().is::<NoAnswer>() {
                    true => tally.stopped += 1,
                    false => tally.count_reason(format!("{}: {}", error.stage(), error.cause())),
                }
                flow.frontier.leave(Left::Without);
            }
        };
        let turns = frontier.clone();
        let reapers = parallelism().try_into().unwrap_or(NonZeroUsize::MIN);

        let flow = Pipeline::from_queue(frontier.queue().clone())
            .stop_on(&plan.stop)
            .map_async("fetch", visits(plan), move |target| {
                let (visitor, turn) = (visitor.clone(), turns.turn(&target));
                async move {
                    let visit = visitor.visit(target).await;
                    drop(turn);
                    visit
                }
            })
            .unordered()
            .on_error(OnError::divert(lost(self.clone())))
            .try_map_on(cores, "parse", reapers, move |visit| harvest.reap(visit))
            .unordered()
            .on_error(OnError::divert(lost(self.clone())))
            // Links are followed before their page is stored: otherwise each link of a chain would
            // take a transaction. Links lost in a crash are found again, as their page is lost,
            // too.
            .inspect("follow", move |record: &Record| frontier.extend(record.found.iter().cloned()))
            .try_map_async("store", IN_BATCHES, move |record| {
                let writer = writer.clone();
                async move { writer.submit(record).await.map_err(|error| cause(&error)) }
            })
            .unordered();
        let monitor = flow.monitor();
        let run = flow.for_each(move |settled| self.leave(settled));
        (monitor, drive(plan.executor, run))
    }

    /// Counts an address at the end of the flow, and lets the next one in at the start.
    fn leave(&self, settled: Settled) {
        let left = lock(&self.tally).count(settled);
        match left {
            Left::Stored => self.live.stored.add(1),
            Left::Without => self.live.accounted.add(1),
        }
        self.frontier.leave(left);
        self.live.waiting.set(self.frontier.waiting() as u64);
    }
}

/// Drives the same future in one of three ways: on this thread, in tokio, or in smol.
fn drive<F>(executor: Executor, flow: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    match executor {
        Executor::Threads => flow.wait(),
        Executor::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().build();
            let runtime = runtime.expect("a runtime without drivers can be built");
            let ended = runtime.block_on(runtime.spawn(flow));
            ended.unwrap_or_else(|error| resume_unwind(error.into_panic()))
        }
        Executor::Smol => smol::block_on(smol::spawn(flow)),
    }
}

/// Returns the stages that take time, with what each needs: connections, cores, the one writer.
fn stages(monitor: &Monitor, visitor: &Visitor, writing: Duration) -> Vec<Stage> {
    let stage = |stats: StageStats| {
        let (workers, busy) = match stats.name {
            "fetch" => (visitor.connections(), visitor.busy()),
            "parse" => (stats.capacity, stats.busy),
            "store" => (1, writing),
            // The frontier and the way back to it take no time.
            _ => return None,
        };
        Some(Stage {
            name: stats.name.to_owned(),
            workers: workers as u64,
            input: stats.received,
            output: stats.emitted,
            failed: stats.failed,
            busy,
            waiting_input: stats.waiting_on_input,
            waiting_output: stats.waiting_on_output,
        })
    };
    monitor.stats().stages.into_iter().filter_map(stage).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
