//! The program as a command: it reports every failure in one line.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crawler::faults::Faults;
use crawler::record::{Body, Outcome, Record, Target};
use crawler::server::Server;
use crawler::site::Site;
use crawler::store::Store;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

fn crawler(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crawler"));
    command.current_dir(directory).args(args).output().unwrap()
}

fn refusal(directory: &Path, args: &[&str]) -> String {
    let output = crawler(directory, args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}: {message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn a_search_without_a_crawl_is_refused() {
    let directory = TempDir::new().unwrap();
    assert!(refusal(directory.path(), &["search", "x"]).contains("no database at `crawler.db`"));
}

#[test]
fn a_search_in_a_foreign_database_is_refused() {
    let directory = TempDir::new().unwrap();
    let theirs = Connection::open(directory.path().join("their.db")).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let message = refusal(directory.path(), &["search", "x", "--db", "their.db"]);
    assert!(message.contains("`their.db` is not a database of this crawler"), "{message}");
}

#[test]
fn a_search_shows_rank_title_address_and_place() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&directory.path().join("crawler.db")).unwrap();
    let body = Body { title: "A lock".into(), text: "one at a time".into(), ..Body::default() };
    let target = Target::new("http://a/1", 0);
    let record = Record { target, outcome: Outcome::Stored(body), found: Vec::new() };
    store.store_batch(&[record]).unwrap();
    let output = crawler(directory.path(), &["search", "lock"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let expected = " 1. A lock\n    http://a/1\n    one at a time\n1 page in ";
    assert!(output.status.success() && shown.starts_with(expected), "{shown}");
}

#[test]
fn every_address_without_a_page_is_listed_with_its_reason() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&directory.path().join("crawler.db")).unwrap();
    let outcomes = [
        Outcome::Stored(Body::default()),
        Outcome::Accounted("http 404".to_owned()),
        Outcome::Deferred("timeout".to_owned()),
    ];
    let targets = ["http://a/1", "http://a/2", "http://a/3"].map(|url| Target::new(url, 0));
    store.add(&targets).unwrap();
    let record = |(target, outcome)| Record { target, outcome, found: Vec::new() };
    let records: Vec<_> = targets.into_iter().zip(outcomes).map(record).collect();
    store.store_batch(&records).unwrap();
    let output = crawler(directory.path(), &["missing"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown, "http://a/2\thttp 404\nhttp://a/3\tnot crawled yet\n");
    assert!(output.status.success());
    assert!(
        refusal(directory.path(), &["missing", "--db", "x.db"]).contains("no database at `x.db`")
    );
}

#[test]
fn bad_input_to_a_crawl_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let say = |args: &[&str]| refusal(path, args);
    assert!(say(&["ftp://a.test/"]).contains("bad URL `ftp://a.test/`"));
    std::fs::create_dir(path.join("empty")).unwrap();
    assert!(say(&["--site", "empty"]).contains("site `empty` has no HTML in it"));
}

/// Nobody listens on port 1.
const DEAD: &str = "http://127.0.0.1:1/";

#[test]
fn an_unreachable_site_is_a_failure_every_time_and_beside_one_that_is_there() {
    let directory = TempDir::new().unwrap();
    let expected = format!("error: {DEAD}: robots.txt: unreachable\n");
    for _ in 0..2 {
        assert_eq!(refusal(directory.path(), &[DEAD]), expected);
    }
    let server = Server::start(Site::Bundled, Faults::off()).unwrap();
    let start = server.url("/index.html");
    let args = ["--quiet", "--rate", "1000", "--db", "both.db", DEAD, start.as_str()];
    let output = crawler(directory.path(), &args);
    assert_eq!(pages(&directory.path().join("both.db")).len(), 16);
    assert!(!output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

#[test]
fn a_crawl_into_a_locked_database_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(Store::open(&directory.path().join("crawler.db")).unwrap());
    let other = Connection::open(directory.path().join("crawler.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let site = concat!(env!("CARGO_MANIFEST_DIR"), "/site");
    assert!(refusal(directory.path(), &["--site", site]).contains("locked"));
}

/// Returns the addresses of the pages in the database; none if there is no database yet.
fn pages(database: &Path) -> Vec<String> {
    let read = || {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut rows = connection.prepare("SELECT url FROM pages")?;
        rows.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
    };
    read().unwrap_or_default()
}

#[test]
fn killed_in_the_middle_and_run_again_it_completes() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawler.db");
    let site = concat!(env!("CARGO_MANIFEST_DIR"), "/site");
    let mut was_in_the_middle = false;
    for enough in [1, 5, 10] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crawler"));
        child.current_dir(directory.path()).args(["--site", site, "--rate", "4", "--quiet"]);
        let mut child = child.stdout(Stdio::null()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && pages(&database).len() < enough {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        was_in_the_middle |= Store::open(&database).unwrap().counts().unwrap().pending > 0;
    }
    assert!(was_in_the_middle);
    let output = crawler(directory.path(), &["--site", site, "--quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pages = pages(&database);
    let paths: BTreeSet<_> = pages.iter().map(|url| url.splitn(4, '/').nth(3)).collect();
    assert_eq!((pages.len(), paths.len()), (16, 16), "{pages:?}");
}
