//! The program, as it is called: what goes wrong is said in one line.

use std::path::Path;
use std::process::{Command, Output};

use crawler::record::{Body, Outcome, Record, Target};
use crawler::store::Store;
use rusqlite::Connection;
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
    let target = Target { url: "http://a/1".into(), depth: 0 };
    let record = Record { target, outcome: Outcome::Stored(body), found: Vec::new() };
    store.store_batch(&[record]).unwrap();
    let output = crawler(directory.path(), &["search", "lock"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let expected = " 1. A lock\n    http://a/1\n    one at a time\n1 page in ";
    assert!(output.status.success() && shown.starts_with(expected), "{shown}");
}
