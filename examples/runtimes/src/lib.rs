//! One function with all seven patterns, driven by tokio, smol, async-std and plain threads:
//! `cargo run -p runtimes`.
//!
//! ```text
//!  gauges ──▶ call ──────────────────▶ read ──────────▶ log
//!             breaker: is it well?     worker pool:     batch processor:
//!             limiter: is it time?     what takes time  rows, eight at a time
//!             semaphore: a free line?      │
//!                                          └▶ map: the levels of each coast
//!  └─────────────────────────── pipeline ─────────────────┘
//! ```
//!
//! [`survey`] knows no runtime. It only needs somebody who drives two futures side by side, its own
//! and that of the batcher: [`in_tokio`], [`in_smol`], [`in_async_std`] and [`on_threads`] do that
//! in a line or two each.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap, convert::Infallible, error::Error, fmt, num::NonZeroUsize,
    panic::resume_unwind, pin::Pin, sync::Arc, thread, time::Duration,
};

use tidegate::{
    Backoff, Batcher, Breaker, ConcurrentMap, Pipeline, Quota, RateLimiter, Semaphore, Wait,
    WorkerPool,
    circuit_breaker::{OpenFor, TripRule},
};

mod exchange;

pub use self::exchange::{Exchange, Reading};

/// How many gauges there are.
pub const GAUGES: u32 = 40;

/// A future that is driven in the background.
pub type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why a survey can fail.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What a survey has found, which is the same in every runtime, and how the patterns fared.
#[derive(Debug)]
pub struct Report {
    /// What was found.
    pub found: Found,
    /// How often the breaker tripped.
    pub trips: u64,
    /// How many batches the rows were written in.
    pub batches: u64,
}

/// See [`Report::found`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The levels of each coast, added up.
    pub levels: BTreeMap<String, u64>,
    /// The row of each reading in the log, in order.
    pub rows: Vec<usize>,
    /// How often the exchange was called.
    pub calls: u32,
}

/// Calls all gauges and writes down what they say.
///
/// # Errors
///
/// If a gauge could not be reached in six attempts, or the pool's threads could not be started.
pub async fn survey(drive: impl FnOnce(Background)) -> Result<Report, Failure> {
    // The breaker decides whether to call at all, the limiter how often, the semaphore how many at
    // once: a call that waits for a line has its token already.
    let exchange = Exchange::default();
    let breaker = Breaker::builder()
        .trip_on(TripRule::consecutive(3))
        .open_for(OpenFor::fixed(Duration::from_millis(20)))
        .build()?;
    let limiter = RateLimiter::new(Quota::per_second(1_000).burst(8));
    let lines = Semaphore::new(4);
    let gates = (&breaker, (&limiter, &lines));

    // Threads of the pool write to the map while the flow runs in a task, or on another thread.
    let pool = WorkerPool::builder().threads(count(2)).build()?;
    let levels = Arc::new(ConcurrentMap::new());
    let read = {
        let levels = levels.clone();
        move |answer: String| {
            let reading = Reading::parse(&answer)?;
            let level = reading.level;
            levels.upsert(reading.coast.clone(), || level, |sum| *sum += level);
            Ok::<_, String>(reading)
        }
    };

    let (log, writing) =
        Batcher::builder().max_items(8).max_delay(Duration::from_millis(2)).build(write())?;
    drive(Box::pin(writing));

    let flow = Pipeline::from_iter(0..GAUGES)
        .gated("call", count(8), gates, |gauge| exchange.call(gauge))
        .retry(
            Backoff::exponential(Duration::from_millis(1), Duration::from_millis(8))
                .jitter(0.0)
                .max_attempts(6),
        )
        .try_map_on(&pool, "read", count(2), read)
        .try_map_async("log", count(16), |reading| log.submit(reading));
    let rows = flow.collect().await?;

    log.shutdown().await?;
    pool.shutdown().await;
    Ok(Report {
        found: Found {
            levels: levels.snapshot().into_iter().collect(),
            rows,
            calls: exchange.calls(),
        },
        trips: breaker.stats().trips,
        batches: log.stats().batches,
    })
}

/// Writes readings to the log, and returns the row of each.
fn write() -> impl FnMut(Vec<Reading>) -> Result<Vec<usize>, Infallible> {
    let mut log = Vec::new();
    move |readings| {
        let first = log.len();
        log.extend(readings);
        Ok((first..log.len()).collect())
    }
}

/// A survey in a runtime, or in none.
pub type Way = fn() -> Result<Report, Failure>;

/// A survey in tokio: one task drives the flow, gates included, and another one the batcher.
///
/// # Errors
///
/// As [`survey`].
pub fn in_tokio() -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(runtime.spawn(survey(|driver| drop(tokio::spawn(driver)))))?
}

/// The same in smol.
///
/// # Errors
///
/// As [`survey`].
pub fn in_smol() -> Result<Report, Failure> {
    smol::block_on(smol::spawn(survey(|driver| smol::spawn(driver).detach())))
}

/// The same in async-std.
///
/// # Errors
///
/// As [`survey`].
pub fn in_async_std() -> Result<Report, Failure> {
    use async_std::task;

    // A handle that is dropped detaches its task.
    task::block_on(task::spawn(survey(|driver| drop(task::spawn(driver)))))
}

/// The same without a runtime: two threads, each of which waits for one future.
///
/// # Errors
///
/// As [`survey`].
pub fn on_threads() -> Result<Report, Failure> {
    let survey = survey(|driver| drop(thread::spawn(|| driver.wait())));
    thread::spawn(|| survey.wait()).join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not zero")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found: Found { levels, rows, calls }, trips, batches } = self;
        write!(f, "{} rows in {batches} batches, {calls} calls, {trips} trips;", rows.len())?;
        levels.iter().try_for_each(|(coast, level)| write!(f, " {coast} {level}"))
    }
}
