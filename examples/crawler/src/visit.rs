//! One address: through the gates, fetched, tried again.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tidegate::circuit_breaker::{Observer, OpenFor, Transition, TripRule, Window};
use tidegate::{
    Breaker, CancelToken, Clock, ConcurrentMap, Gate, KeyedBreaker, KeyedLimiter, Outcome, Pass,
    Quota, Semaphore, SystemClock, Timer, Wait, WorkerPool,
};
use url::Url;

use crate::backoff::Backoff;
use crate::fetch::{FetchError, Fetched, Fetcher};
use crate::hosts::Hosts;
use crate::progress::{Count, Live};
use crate::record::Target;
use crate::report::Gate as Row;
use crate::robots::{MAX_BYTES, Permission, Robots};

/// How many hosts are remembered at once.
const MAX_HOSTS: usize = 10_000;
/// How long a visit waits for its host's breaker, and the longest pause that a host can ask for.
const PATIENCE: Duration = Duration::from_secs(60);
/// However many hosts there are, each may have at least one in so many connections.
const MOST_SHARES: usize = 4;
/// How long the end of the crawl waits for requests under way.
const FAREWELL: Duration = Duration::from_millis(100);

/// Everything that stands between an address and its page.
#[derive(Debug)]
pub struct Visitor {
    breakers: KeyedBreaker<String, SystemClock, Announcer>,
    limiters: KeyedLimiter<String>,
    connections: Semaphore,
    /// How many connections each host may have, and the semaphore of each host.
    share: usize,
    shares: ConcurrentMap<String, Arc<Semaphore>>,
    pool: WorkerPool,
    fetcher: Arc<Fetcher>,
    robots: Robots,
    backoff: Backoff,
    hosts: Hosts,
    live: Arc<Live>,
    stop: CancelToken,
    /// How long visits have waited for a breaker, all together, in nanoseconds.
    barred: Count,
}

/// What came of a visit.
#[derive(Debug)]
pub struct Visit {
    /// The address.
    pub target: Target,
    /// The same, parsed.
    pub url: Url,
    /// The answer, or the reason why there is none.
    pub answer: Result<Fetched, Missing>,
}

/// Why a visit has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// For this reason, for good.
    Because(String),
    /// For now: the host is not well, and may be in the next crawl.
    ForNow(String),
    /// The crawl was stopped first; the next one tries again.
    Stopped,
}

impl Visitor {
    /// Creates a visitor of so many `hosts`. Until `stop` is cancelled, it opens at most
    /// `connections` at once, and asks each host at most `rate` times a second.
    ///
    /// # Errors
    ///
    /// The threads could not be started.
    pub fn new(
        fetcher: Fetcher,
        hosts: usize,
        connections: std::num::NonZeroUsize,
        rate: u32,
        live: Arc<Live>,
        stop: CancelToken,
    ) -> std::io::Result<Self> {
        let max_hosts = MAX_HOSTS.try_into().expect("not zero");
        let quota = Quota::per_second(rate);
        // Trip at half of the last twenty, to bear a bad moment; open briefly at first, to try
        // again soon.
        let rule = TripRule::failure_rate(0.5, Window::count(20)).minimum_calls(10);
        let open_for = OpenFor::exponential(Duration::from_millis(200), Duration::from_secs(30));
        let builder = Breaker::builder().trip_on(rule).open_for(open_for);
        let breakers = KeyedBreaker::new(max_hosts, builder.observer(Announcer(live.clone())));
        Ok(Self {
            breakers: breakers.expect("the settings are constants in range"),
            limiters: KeyedLimiter::new(quota, max_hosts),
            // A slow host must leave some connections to the others.
            share: connections.get().div_ceil(hosts.clamp(1, MOST_SHARES)),
            shares: ConcurrentMap::new(),
            connections: Semaphore::builder(connections.get()).clock(SystemClock).build(),
            // A thread for each connection: they block while they fetch.
            pool: WorkerPool::builder()
                .threads(connections)
                .clock(SystemClock)
                .build()
                .map_err(std::io::Error::other)?,
            fetcher: Arc::new(fetcher),
            robots: Robots::new(),
            backoff: Backoff::new(1),
            hosts: Hosts::default(),
            live,
            stop,
            barred: Count::default(),
        })
    }

    /// Fetches an address, and tries again after failures that may pass.
    pub async fn visit(&self, target: Target) -> Visit {
        let url = Url::parse(&target.url).expect("only parsed addresses are in the frontier");
        self.live.in_flight.add(1);
        let answer = match self.fetch(&url).or_cancelled(&self.stop).await {
            Ok(answer) => answer,
            Err(_) => Err(Missing::Stopped),
        };
        self.live.in_flight.subtract(1);
        Visit { target, url, answer }
    }

    /// Takes no more visits, and does not wait for a server that is slow to answer the last ones.
    pub fn close(&self) {
        // Threads that are still fetching are left behind: nobody needs their results.
        _ = self.pool.shutdown().wait_timeout(FAREWELL);
    }

    /// Returns the statistics of the hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Connections that may be open at once.
    pub fn connections(&self) -> usize {
        self.connections.capacity()
    }

    /// How long connections were in use, all together.
    pub fn busy(&self) -> Duration {
        self.pool.stats().run_time.unwrap_or_default()
    }

    /// The gates, for the report.
    pub fn gates(&self) -> Vec<Row> {
        let limiter = self.limiters.stats();
        let semaphore = self.connections.stats();
        let (mut entered, mut refused) = (0, 0);
        self.breakers.for_each(|_, breaker| {
            entered += breaker.stats().calls();
            refused += breaker.stats().refused;
        });
        let gate = |name: &str, entered, refused, waited| Row {
            name: name.to_owned(),
            entered,
            refused,
            waited,
        };
        vec![
            gate("circuit breaker", entered, refused, self.barred.as_nanos()),
            gate("rate limiter", limiter.allowed, limiter.refused, limiter.wait_time),
            gate("connections", semaphore.acquired, semaphore.refused, semaphore.wait_time),
        ]
    }

    /// The trips of every host's breaker.
    pub fn trips(&self) -> std::collections::HashMap<String, u64> {
        let mut trips = std::collections::HashMap::new();
        self.breakers
            .for_each(|host, breaker| _ = trips.insert(host.clone(), breaker.stats().trips));
        trips
    }

    async fn fetch(&self, url: &Url) -> Result<Fetched, Missing> {
        let host = &host_of(url);
        let rules = |address| async move {
            let start = |fetcher: &Fetcher, at: &Url| fetcher.file(at, MAX_BYTES);
            self.ask(&address, host, start).await
        };
        match self.robots.permission(url, rules).await? {
            Permission::Allowed => {}
            Permission::Disallowed => return Err(Missing::Because("robots.txt".to_owned())),
            Permission::Unknown(reason) => {
                return Err(for_now(format_args!("robots.txt: {reason}")));
            }
        }
        let fetched = self.ask(url, host, Fetcher::page).await??;
        self.hosts.count_page(host, &fetched);
        Ok(fetched)
    }

    /// Asks until there is an answer, or no hope of one. The inner error is that of the last
    /// attempt; the outer one, of a gate or the pool, is final.
    async fn ask<T: Send + 'static>(
        &self,
        url: &Url,
        host: &str,
        ask: fn(&Fetcher, &Url) -> Result<T, FetchError>,
    ) -> Result<Result<T, FetchError>, Missing> {
        let mut failures = 0;
        loop {
            let error = match self.attempt(url, host, ask).await? {
                Ok(answer) => return Ok(Ok(answer)),
                Err(error) => error,
            };
            self.hosts.count_error(host, &error);
            failures += 1;
            let Some(pause) = self.backoff.pause(failures, &error) else { return Ok(Err(error)) };
            self.hosts.count_retry(host);
            self.live.retries.add(1);
            SystemClock.sleep(pause).await;
        }
    }

    /// Tries once: enters the gates, asks on a thread of the pool, and tells the gates how it went.
    async fn attempt<T: Send + 'static>(
        &self,
        url: &Url,
        host: &str,
        ask: fn(&Fetcher, &Url) -> Result<T, FetchError>,
    ) -> Result<Result<T, FetchError>, Missing> {
        let breaker = self.breakers.gate(host).map_err(for_now)?;
        let limiter = self.limiters.gate(host).map_err(for_now)?;
        let make = || Arc::new(Semaphore::new(self.share));
        let share = self.shares.get(host);
        let share = share.unwrap_or_else(|| self.shares.get_or_insert_with(host.to_owned(), make));
        let (pass, ((_admission, _seat), permit)) = loop {
            let asked = SystemClock.now();
            let pass = Breaker::enter(&breaker).or_timeout(&SystemClock, PATIENCE).await;
            let barred = SystemClock.now().since(asked).as_nanos();
            self.barred.add(barred.try_into().unwrap_or(u64::MAX));
            let mut pass = pass.map_err(|_| for_now("circuit open"))?.map_err(for_now)?;
            let connection =
                ((&limiter, &*share), &self.connections).enter().await.map_err(for_now)?;
            // The host may have gone down while this visit waited at the other gates.
            if pass.renew().is_ok() {
                break (pass, connection);
            }
            connection.give_back();
            pass.give_back();
        };

        let (fetcher, address) = (self.fetcher.clone(), url.clone());
        let answer = self.pool.submit(move || ask(&fetcher, &address)).await.await;
        let answer = answer.map_err(|error| Missing::Because(format!("fetch: {error}")))?;
        drop(permit);

        match &answer {
            Ok(_) => pass.success(),
            Err(error) => match error.retry_after() {
                Some(pause) if error.is_host_failure() => {
                    pass.failure_open_for(pause.min(PATIENCE))
                }
                Some(pause) => {
                    limiter.penalize_for(pause.min(PATIENCE));
                    pass.ignore();
                }
                None if error.is_host_failure() => pass.failure(),
                None => pass.settle(Outcome::Success),
            },
        }
        Ok(answer)
    }
}

impl From<FetchError> for Missing {
    fn from(error: FetchError) -> Self {
        let kind = if error.is_of_the_moment() { Self::ForNow } else { Self::Because };
        kind(error.to_string())
    }
}

fn for_now(reason: impl Display) -> Missing {
    Missing::ForNow(reason.to_string())
}

/// Returns host and port: each such pair has a limiter and a breaker.
pub fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Puts the state of the breakers on the live line.
#[derive(Debug, Clone)]
struct Announcer(Arc<Live>);

impl Observer for Announcer {
    fn on_trip(&self, _: &Transition) {
        self.0.set_breakers("open");
    }

    fn on_half_open(&self, _: &Transition) {
        self.0.set_breakers("half-open");
    }

    fn on_close(&self, _: &Transition) {
        self.0.set_breakers("closed");
    }
}
