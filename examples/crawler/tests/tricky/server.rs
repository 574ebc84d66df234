//! A server of odd answers, and a crawl of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crawler::args::Executor;
use crawler::crawl::{Plan, crawl};
use crawler::fetch::FetchSettings;
use crawler::record::Target;
use crawler::report::Report;
use crawler::store::Store;
use crawler::traps::Bounds;
use rusqlite::Connection;
use tempfile::TempDir;
use tidegate::CancelToken;

/// The answer to a path. `{origin}` in its headers and body stands for the server's own origin.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) path: &'static str,
    pub(crate) status: &'static str,
    /// Each header ends with a line break.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

/// What came of a crawl.
#[derive(Debug)]
pub(crate) struct Crawled {
    /// Path and text of each page.
    pub(crate) pages: BTreeMap<String, String>,
    /// Path and reason of each address without a page.
    pub(crate) without: BTreeMap<String, String>,
    /// The paths that were asked for.
    pub(crate) asked: BTreeSet<String>,
}

/// Serves these answers, or else 404. Returns the origin, and the set of paths asked for.
pub(crate) fn serve(answers: Vec<Answer>) -> (String, Arc<Mutex<BTreeSet<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let origin = format!("http://{host}");
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let (log, own) = (asked.clone(), origin.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let Some(path) = request.first().and_then(|line| line.split(' ').nth(1)) else {
                continue;
            };
            log.lock().unwrap().insert(path.to_owned());
            let is_user = request.iter().any(|line| line.ends_with("Basic YW5uOnM6Y3JldA=="));
            let answer = answers.iter().find(|answer| answer.path == path);
            let answer = match answer {
                // For ann, whose password is s:cret.
                Some(answer) if answer.status == "401" && is_user => raw("200", "", b"for ann"),
                Some(Answer { status, headers, body, .. }) => {
                    raw(status, &headers.replace("{origin}", &own), &put(body, "{origin}", &own))
                }
                None => raw("404", "", b""),
            };
            // A client that has seen enough hangs up.
            _ = (&stream).write_all(&answer);
        }
    });
    (origin, asked)
}

fn put(body: &[u8], word: &str, by: &str) -> Vec<u8> {
    match str::from_utf8(body) {
        Ok(text) => text.replace(word, by).into_bytes(),
        Err(_) => body.to_vec(),
    }
}

fn raw(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let kind = if headers.contains("Content-Type") { "" } else { "Content-Type: text/html\r\n" };
    let head = format!(
        "HTTP/1.1 {status} -\r\n{kind}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Returns the plan that all these crawls follow.
pub(crate) fn plan(seeds: &[String]) -> Plan {
    let origin = |seed: &String| url::Url::parse(seed).unwrap().origin().ascii_serialization();
    Plan {
        origins: seeds.iter().map(origin).collect::<BTreeSet<_>>().into_iter().collect(),
        seeds: seeds.iter().map(|seed| Target::new(seed, 0)).collect(),
        max_pages: None,
        executor: Executor::Threads,
        concurrency: 4.try_into().unwrap(),
        rate: 1_000_000,
        bounds: Bounds::default(),
        fetch: FetchSettings { proxy: false, ..FetchSettings::default() },
        quiet: true,
        stop: CancelToken::new(),
    }
}

/// Crawls to the end.
pub(crate) fn run(plan: &Plan) -> (Report, BTreeMap<String, String>, BTreeMap<String, String>) {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("crawl.db");
    let report = crawl(plan, Store::open(&database).unwrap()).unwrap().report;
    assert!(report.is_complete(), "{report}");
    let connection = Connection::open(&database).unwrap();
    let rows = |sql| -> BTreeMap<String, String> {
        let mut rows = connection.prepare(sql).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).map(|(url, text): (String, String)| (path(&url), text)).collect()
    };
    let pages = rows("SELECT url, text FROM pages");
    let without = rows("SELECT url, coalesce(reason, 'pending') FROM frontier WHERE state <> 1");
    (report, pages, without)
}

/// Crawls the answers from `start`, in which `{host}` and `{origin}` stand for the server's own.
pub(crate) fn crawled(answers: Vec<Answer>, start: &str) -> Crawled {
    let (origin, asked) = serve(answers);
    let host = origin.trim_start_matches("http://");
    let plan = plan(&[start.replace("{host}", host).replace("{origin}", &origin)]);
    let (_, pages, without) = run(&plan);
    let asked = asked.lock().unwrap().clone();
    Crawled { pages, without, asked }
}

fn path(url: &str) -> String {
    url.splitn(4, '/').nth(3).map_or_else(|| url.to_owned(), |path| format!("/{path}"))
}
