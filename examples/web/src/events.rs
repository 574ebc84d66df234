//! What the page shows: a sample of everything, twice a second, as server-sent events.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::stream::{Stream, unfold};
use serde::Serialize;
use tidegate::circuit_breaker::State as BreakerState;
use tokio::{sync::watch, time};

use crate::{
    load::{End, Sent},
    upstream::Mode,
    web::{Current, Web},
};

/// How often the page gets a sample.
pub const EVERY: Duration = Duration::from_millis(500);

/// Where pages wait for the next sample.
pub type Events = watch::Receiver<Arc<str>>;

/// Streams samples to a page, until there are no more.
pub async fn stream(
    State(events): State<Events>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let samples = unfold(events, |mut events| async move {
        events.changed().await.ok()?;
        let sample = events.borrow_and_update().clone();
        Some((Ok(Event::default().data(sample)), events))
    });
    Sse::new(samples).keep_alive(KeepAlive::default())
}

/// Takes samples of `web` for the pages. Dropping the future ends their streams.
pub async fn sample(web: Arc<Web>, to: watch::Sender<Arc<str>>) {
    let mut ticks = time::interval(EVERY);
    let mut before = Counts::default();
    loop {
        ticks.tick().await;
        let current = web.current();
        let (sample, counts) = Sample::take(&web, &current, &before);
        before = counts;
        match serde_json::to_string(&sample) {
            Ok(json) => drop(to.send_replace(json.into())),
            Err(error) => tracing::error!(%error, "no sample"),
        }
    }
}

/// Counts at the last sample.
#[derive(Default)]
struct Counts {
    allowed: u64,
    refused: u64,
    batches: u64,
    rows: u64,
}

/// What the page shows of one moment.
#[derive(Serialize)]
struct Sample {
    load: u32,
    mode: Mode,
    /// Requests a second that the limiter allowed, and refused.
    allowed: f64,
    refused: f64,
    /// How many of the load generator's requests ended how, a second.
    ends: Ends,
    /// Milliseconds that the answered requests took; 0 if there were none.
    p50: f64,
    p99: f64,
    tokens: Tokens,
    breaker: &'static str,
    limit: usize,
    in_flight: usize,
    waiting: usize,
    jobs: usize,
    log: usize,
    rows: usize,
    /// Rows in a batch, on average.
    batch: f64,
}

#[derive(Serialize, Default)]
struct Ends {
    fresh: f64,
    fallback: f64,
    limited: f64,
    shed: f64,
    failed: f64,
    gave_up: f64,
}

/// What is left of the clients' limits.
#[derive(Serialize)]
struct Tokens {
    burst: u32,
    greedy: u32,
    /// On average.
    others: f64,
}

impl Sample {
    fn take(web: &Web, current: &Current, before: &Counts) -> (Self, Counts) {
        let sent = web.load.take();
        let (clients, limit) = (current.parts.clients.stats(), current.parts.limit.stats());
        let rows = web.log.rows();
        let now = Counts {
            allowed: clients.allowed,
            refused: clients.refused,
            batches: rows.batches,
            rows: rows.done,
        };
        let took = answered(&sent);
        let sample = Self {
            load: web.load.factor(),
            mode: web.upstream.mode(),
            allowed: per_second(now.allowed.saturating_sub(before.allowed)),
            refused: per_second(now.refused.saturating_sub(before.refused)),
            ends: Ends::of(&sent),
            p50: millis(percentile(&took, 50)),
            p99: millis(percentile(&took, 99)),
            tokens: Tokens::of(current),
            breaker: name(current.parts.breaker.state()),
            limit: limit.limit,
            in_flight: limit.in_flight,
            waiting: limit.waiting,
            jobs: web.pool.stats().waiting,
            log: web.log.queued(),
            rows: rows.waiting,
            batch: ratio(now.rows - before.rows, now.batches - before.batches),
        };
        (sample, now)
    }
}

impl Ends {
    fn of(sent: &[Sent]) -> Self {
        let mut ends = Self::default();
        for sent in sent {
            let field = match sent.end {
                End::Fresh => &mut ends.fresh,
                End::Fallback => &mut ends.fallback,
                End::Limited => &mut ends.limited,
                End::Shed => &mut ends.shed,
                End::Failed => &mut ends.failed,
                End::GaveUp => &mut ends.gave_up,
            };
            *field += per_second(1);
        }
        ends
    }
}

impl Tokens {
    fn of(current: &Current) -> Self {
        let clients = current.settings.load.clients;
        let left = |client: u8| {
            let address = IpAddr::V4(Ipv4Addr::new(203, 0, 113, client));
            current.parts.clients.balance(&address).remaining()
        };
        let sum: u32 = (1..=clients).map(left).sum();
        Self {
            burst: current.settings.guard.quota.max_burst(),
            greedy: left(0),
            others: ratio(sum.into(), clients.into()),
        }
    }
}

/// Returns the state as the labels of the metrics name it.
fn name(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half_open",
        _ => "forced",
    }
}

/// Returns how long the answered requests took, in ascending order.
pub fn answered(sent: &[Sent]) -> Vec<Duration> {
    let is_answered = |sent: &&Sent| matches!(sent.end, End::Fresh | End::Fallback);
    let mut took: Vec<Duration> = sent.iter().filter(is_answered).map(|sent| sent.took).collect();
    took.sort_unstable();
    took
}

/// Returns the time that `percent` of `sorted` do not exceed; zero if there are none.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Returns a time in milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn per_second(n: u64) -> f64 {
    n as f64 / EVERY.as_secs_f64()
}

fn ratio(sum: u64, n: u64) -> f64 {
    if n == 0 { 0.0 } else { sum as f64 / n as f64 }
}
