//! The database: what a crawl leaves behind.

use std::fs;
use std::path::PathBuf;

use crawler::record::{Body, Outcome, Record, Target};
use crawler::store::{Counts, Store, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;

fn file() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("crawl.db");
    (directory, path)
}

fn target(url: &str) -> Target {
    Target::new(url, 1)
}

fn page(url: &str, title: &str, text: &str, found: &[&str]) -> Record {
    let body = Body {
        title: title.to_owned(),
        text: text.to_owned(),
        status: 200,
        bytes: 1000,
        ..Body::default()
    };
    let found = found.iter().copied().map(target).collect();
    Record { target: target(url), outcome: Outcome::Stored(body), found }
}

fn accounted(url: &str, reason: &str) -> Record {
    Record {
        target: target(url),
        outcome: Outcome::Accounted(reason.to_owned()),
        found: Vec::new(),
    }
}

fn origin(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn a_crawl_resumes_where_it_was() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    store.add(&[target("http://a/1")]).unwrap();
    let batch = [
        page("http://a/1", "one", "", &["http://a/2", "http://a/3", "http://a/4"]),
        accounted("http://a/3", "http 404"),
    ];
    assert_eq!(store.store_batch(&batch).unwrap(), 1);
    drop(store);

    let store = Store::open(&path).unwrap();
    let resume = store.resume(&origin("http://a")).unwrap();
    assert_eq!(resume.visited, ["http://a/1", "http://a/3"]);
    assert_eq!(resume.pending, [target("http://a/2"), target("http://a/4")]);
    assert_eq!(store.reason("http://a/3").unwrap().as_deref(), Some("http 404"));
    let counts = Counts { pages: 1, lossy: 0, pending: 2, accounted: 1 };
    assert_eq!(store.counts().unwrap(), counts);
}

#[test]
fn no_page_is_stored_twice() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    let (one, again) =
        (page("http://a/1", "one", "old", &[]), page("http://a/1", "one", "new", &[]));
    assert_eq!(store.store_batch(&[one.clone(), again]).unwrap(), 1);
    assert_eq!(store.store_batch(&[one, accounted("http://a/1", "timeout")]).unwrap(), 0);
    let counts = store.counts().unwrap();
    assert_eq!((counts.pages, counts.accounted), (1, 0));
    assert_eq!(store.search(&["one".to_owned()]).unwrap().total, 1);
}

#[test]
fn only_the_origins_asked_for_are_resumed() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    store.add(&["http://a:1/x", "http://a:10/y", "http://a/z"].map(target)).unwrap();
    let resume = store.resume(&origin("http://a:1")).unwrap();
    assert_eq!(resume.pending, [target("http://a:1/x")]);
    assert_eq!(store.pending(&origin("http://a:1")).unwrap(), 1);
}

#[test]
fn the_origins_that_a_start_leads_to_are_remembered() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    let moved = |url: &str, depth, to: &str| Record {
        target: Target::new(url, depth),
        ..accounted("", &format!("redirect to {to}"))
    };
    let batch = [
        moved("http://a/", 0, "https://a"),
        moved("https://a/", 0, "https://www.a"),
        moved("https://www.a/", 0, "https://a"),
        moved("http://b/", 0, "https://b"),
        accounted("http://a/x", "redirect"),
    ];
    store.store_batch(&batch).unwrap();
    let followed = store.followed(&origin("http://a")).unwrap();
    assert_eq!(followed, ["http://a", "https://a", "https://www.a"]);
}

#[test]
fn a_local_site_keeps_its_pages_when_its_port_changes() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    store.settle("docs", "http://h:1").unwrap();
    store.store_batch(&[page("http://h:1/p", "p", "", &["http://h:1/q"])]).unwrap();
    store.settle("docs", "http://h:2").unwrap();
    let resume = store.resume(&origin("http://h:2")).unwrap();
    assert_eq!((resume.visited, resume.pending.len()), (vec!["http://h:2/p".to_owned()], 1));
    assert_eq!(store.search(&["p".to_owned()]).unwrap().best[0].url, "http://h:2/p");
}

#[test]
fn two_local_sites_on_one_port_stay_apart() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    for name in ["one", "two"] {
        store.settle(name, "http://h:1").unwrap();
        let resume = store.resume(&origin("http://h:1")).unwrap();
        assert!(resume.visited.is_empty(), "{name} begins with {resume:?}");
        store.store_batch(&[page("http://h:1/p", name, "", &[])]).unwrap();
    }
    store.settle("one", "http://h:1").unwrap();
    assert_eq!(store.search(&["one".to_owned()]).unwrap().best[0].url, "http://h:1/p");
    assert_eq!(store.counts().unwrap().pages, 2);
}

#[test]
fn the_title_outweighs_the_text() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    let batch = [
        page("http://a/1", "Other", "a lock and mutex mutex mutex", &[]),
        page("http://a/2", "Mutex in std::sync", "A lock that is held by one.", &[]),
        page("http://a/3", "", "nothing of the kind", &[]),
    ];
    store.store_batch(&batch).unwrap();
    let hits = store.search(&["MUTEX".to_owned(), "lock".to_owned()]).unwrap();
    let urls: Vec<_> = hits.best.iter().map(|hit| hit.url.as_str()).collect();
    assert_eq!((urls, hits.total), (vec!["http://a/2", "http://a/1"], 2));
}

#[test]
fn any_words_are_a_search() {
    let (_directory, path) = file();
    let mut store = Store::open(&path).unwrap();
    store.store_batch(&[page("http://a/1", "t", "use std::sync::Mutex; \x1b[31m", &[])]).unwrap();
    for (words, total) in
        [("std::sync", 1), ("\"", 0), ("a\" OR t", 0), ("NEAR(", 0), ("", 0), ("::", 0)]
    {
        assert_eq!(store.search(&[words.to_owned()]).unwrap().total, total, "{words:?}");
    }
    let mut printed = Vec::new();
    store.search(&["sync".to_owned()]).unwrap().print(&mut printed, false).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.contains("http://a/1") && !printed.contains('\x1b'), "{printed}");
}

#[test]
fn a_foreign_file_is_refused_and_untouched() {
    let (_directory, path) = file();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let text = path.with_extension("txt");
    fs::write(&text, "not a database, but long enough to look at. ".repeat(100)).unwrap();
    for path in [path, text] {
        let before = fs::read(&path).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Foreign(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_locked_database_is_said_to_be_locked() {
    let (_directory, path) = file();
    drop(Store::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
}

#[test]
fn a_search_needs_a_database() {
    let (_directory, path) = file();
    let error = Store::open_existing(&path).unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
    assert!(!path.exists());
}

#[test]
fn one_may_search_while_another_crawls() {
    let (_directory, path) = file();
    let mut crawl = Store::open(&path).unwrap();
    crawl.store_batch(&[page("http://a/1", "t", "", &[])]).unwrap();
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; UPDATE pages SET title = 'u'").unwrap();
    let search = Store::open_existing(&path).unwrap();
    assert_eq!(search.search(&["t".to_owned()]).unwrap().total, 1);
}

#[test]
fn one_crawls_at_a_time() {
    let (_directory, path) = file();
    let crawl = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    drop(crawl);
    Store::open(&path).unwrap();
}

#[test]
fn an_empty_file_is_no_database_to_search() {
    let (_directory, path) = file();
    fs::write(&path, "").unwrap();
    let error = Store::open_existing(&path).unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"");
}
