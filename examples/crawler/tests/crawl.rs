//! The whole flow, on the pages that come with the program and every fault the server knows.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crawler::args::Executor;
use crawler::crawl::{Crawled, Plan, crawl};
use crawler::faults::{Faults, Rates};
use crawler::fetch::FetchSettings;
use crawler::record::Target;
use crawler::server::Server;
use crawler::site::Site;
use crawler::store::Store;
use crawler::traps::Bounds;
use rusqlite::Connection;
use tempfile::TempDir;
use tidegate::CancelToken;

/// The HTML pages of the bundle that are stored. Two are not: robots.txt forbids `private/`, and
/// `notes/old.html` only refreshes to another page.
const PAGES: [&str; 16] = [
    "/index.html",
    "/notes/back-pressure.html",
    "/notes/cancellation.html",
    "/notes/deadlock.html",
    "/notes/fairness.html",
    "/notes/latin1.html",
    "/notes/memory-ordering.html",
    "/notes/politeness.html",
    "/patterns/batch-processor.html",
    "/patterns/circuit-breaker.html",
    "/patterns/concurrent-map.html",
    "/patterns/index.html",
    "/patterns/pipeline.html",
    "/patterns/rate-limiter.html",
    "/patterns/semaphore.html",
    "/patterns/worker-pool.html",
];

fn plan(server: &Server, executor: Executor, stop: &CancelToken) -> Plan {
    Plan {
        origins: vec![server.origin()],
        seeds: vec![Target::new(server.url("/index.html"), 0)],
        max_pages: None,
        executor,
        concurrency: 4.try_into().unwrap(),
        rate: 1_000_000,
        // The timeout is shorter than the server's hangs, so that each costs little.
        bounds: Bounds::default(),
        fetch: FetchSettings {
            timeout: Duration::from_millis(200),
            proxy: false,
            ..FetchSettings::default()
        },
        quiet: true,
        stop: stop.clone(),
    }
}

fn run(database: &Path, rates: Rates, change: impl FnOnce(&mut Plan)) -> Crawled {
    let server = Server::start(Site::Bundled, Faults::new(rates)).unwrap();
    let mut store = Store::open(database).unwrap();
    store.settle("bundle", &server.origin()).unwrap();
    let mut plan = plan(&server, Executor::Threads, &CancelToken::new());
    change(&mut plan);
    crawl(&plan, store).unwrap()
}

/// The paths in the database, each as often as it is there.
fn stored(database: &Path) -> Vec<String> {
    let connection = Connection::open(database).unwrap();
    let mut rows = connection.prepare("SELECT url FROM pages").unwrap();
    let urls = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    urls.map(|url| url::Url::parse(&url.unwrap()).unwrap().path().to_owned()).collect()
}

fn assert_every_page_once(database: &Path) {
    let paths = stored(database);
    let distinct: BTreeSet<_> = paths.iter().cloned().collect();
    assert!(distinct.iter().eq(PAGES), "{distinct:?}");
    assert_eq!(paths.len(), distinct.len());
}

#[test]
fn every_page_is_stored_once_in_spite_of_all_faults_by_every_executor() {
    for executor in [Executor::Threads, Executor::Tokio, Executor::Smol] {
        let directory = TempDir::new().unwrap();
        let database = directory.path().join("crawl.db");
        let Crawled { report, interrupted, .. } =
            run(&database, Rates::HARSH, |plan| plan.executor = executor);
        assert!(!interrupted && report.is_complete(), "{executor:?}: {report}");
        assert_eq!(report.pending, 0);
        assert_eq!(report.lossy, 1, "one page is not UTF-8");
        assert!(report.accounted.contains_key("http 404"), "{report}");
        assert!(report.accounted.contains_key("robots.txt"), "{report}");
        assert!(report.hosts[0].retries > 0, "the faults struck");
        assert!(report.bottleneck().is_some());
        assert_every_page_once(&database);
    }
}

#[test]
fn a_stopped_crawl_loses_nothing_and_the_next_one_completes_it() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawl.db");
    // Stopped before the crawl begins, just after it has begun, and somewhere in the middle.
    for delay in [Duration::ZERO, Duration::from_micros(1), Duration::from_millis(30)] {
        let stop = CancelToken::new();
        let timed = stop.child_with_timeout(&tidegate::SystemClock, delay);
        let crawled = run(&database, Rates::HARSH, |plan| plan.stop = timed);
        assert!(crawled.report.is_complete(), "{}", crawled.report);
    }
    let crawled = run(&database, Rates::HARSH, |_| {});
    assert!(!crawled.interrupted && crawled.report.is_complete());
    assert_every_page_once(&database);
}

#[test]
fn a_limit_is_kept_exactly_and_the_rest_comes_later() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawl.db");
    let crawled = run(&database, Rates::default(), |plan| plan.max_pages = 5.try_into().ok());
    assert_eq!((crawled.report.stored, crawled.report.is_complete()), (5, true));
    assert_eq!(stored(&database).len(), 5);
    assert!(crawled.report.pending > 0);
    let crawled = run(&database, Rates::default(), |_| {});
    assert_eq!(crawled.report.stored, PAGES.len() as u64 - 5);
    assert_every_page_once(&database);
}

#[test]
fn a_host_that_is_down_keeps_its_pages_for_later() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawl.db");
    let begun = run(&database, Rates::default(), |plan| plan.max_pages = 3.try_into().ok());
    let server = Server::start(Site::Bundled, Faults::off()).unwrap();
    let mut store = Store::open(&database).unwrap();
    store.settle("bundle", &server.origin()).unwrap();
    let plan = plan(&server, Executor::Threads, &CancelToken::new());
    drop(server);
    let down = crawl(&plan, store).unwrap();
    assert!(down.report.read > 0 && down.report.is_complete(), "{}", down.report);
    assert_eq!(down.report.pending, begun.report.pending);
    assert!(down.unreachable.unwrap().ends_with(": robots.txt: unreachable"));
    let crawled = run(&database, Rates::default(), |_| {});
    assert_eq!((crawled.report.pending, crawled.unreachable), (0, None));
    assert_every_page_once(&database);
}

#[test]
fn a_finished_crawl_has_nothing_left() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawl.db");
    run(&database, Rates::default(), |_| {});
    let again = run(&database, Rates::default(), |_| {});
    assert_eq!((again.report.read, again.report.pending), (0, 0));
    assert_every_page_once(&database);
}

#[test]
fn a_database_that_fails_in_the_middle_says_why() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawl.db");
    let server = Server::start(Site::Bundled, Faults::off()).unwrap();
    let store = Store::open(&database).unwrap();
    let full = "CREATE TRIGGER t BEFORE INSERT ON pages BEGIN SELECT RAISE(ABORT, 'full'); END";
    Connection::open(&database).unwrap().execute_batch(full).unwrap();
    let plan = plan(&server, Executor::Threads, &CancelToken::new());
    let message = crawl(&plan, store).unwrap_err();
    assert!(message.ends_with(&format!("database `{}`: full", database.display())), "{message}");
}

#[test]
fn a_rate_is_kept() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawl.db");
    let crawled = run(&database, Rates::default(), |plan| plan.rate = 10);
    let waited = crawled.report.gates.iter().find(|gate| gate.name == "rate limiter").unwrap();
    assert!(waited.waited > Duration::ZERO, "more pages than the burst wait");
    assert_every_page_once(&database);
}
