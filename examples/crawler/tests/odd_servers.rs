//! Servers that redirect a crawler, or keep it waiting, over real HTTP.
#![allow(clippy::std_instead_of_core, reason = "a test of an ordinary program on std")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crawler::args::Executor;
use crawler::crawl::{Plan, crawl};
use crawler::faults::Faults;
use crawler::fetch::FetchSettings;
use crawler::record::Target;
use crawler::server::Server;
use crawler::site::Site;
use crawler::store::Store;
use crawler::traps::Bounds;
use tempfile::TempDir;
use tidegate::CancelToken;

/// Starts a server that answers with the status line and headers of `answer`. Returns its origin.
fn serving(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let request: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let path = request[0].split(' ').nth(1).unwrap();
            let end = "Content-Length: 0\r\nConnection: close";
            write!(&stream, "HTTP/1.1 {}\r\n{end}\r\n\r\n", answer(path)).unwrap();
        }
    });
    origin
}

/// Starts a server that answers every path but robots.txt by a redirect.
fn redirecting(to: impl Fn(&str) -> String + Send + 'static) -> String {
    serving(move |path| match path {
        "/robots.txt" => "404 Not Found".to_owned(),
        path => format!("302 Found\r\nLocation: {}", to(path)),
    })
}

fn run(directory: &Path, args: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crawler"));
    let output = command.current_dir(directory).args(["--quiet", "--rate", "1000"]).args(args);
    let output = output.output().unwrap();
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    (output, shown)
}

#[test]
fn a_chain_without_end_is_left() {
    let next = |path: &str| format!("/{}", path[1..].parse::<u64>().unwrap() + 1);
    let origin = redirecting(next);
    let directory = TempDir::new().unwrap();
    let (output, shown) = run(directory.path(), &["--max-pages", "9", &format!("{origin}/0")]);
    assert!(output.status.success(), "{output:?}");
    assert!(shown.contains("1  too many redirects"), "{shown}");
}

#[test]
fn a_start_that_moved_is_crawled_where_it_is_and_resumed_there() {
    let site = Server::start(Site::Bundled, Faults::off()).unwrap();
    let home = site.url("/index.html");
    let start = redirecting(move |_| home.to_string());
    let directory = TempDir::new().unwrap();
    let (output, shown) = run(directory.path(), &["--max-pages", "3", &start]);
    assert!(output.status.success() && shown.contains("3 stored"), "{output:?}");
    assert!(shown.contains(&format!("1  redirect to {}", site.origin())), "{shown}");
    assert!(shown.contains("more are known"), "{shown}");
    let (output, shown) = run(directory.path(), &[&start]);
    assert!(output.status.success() && shown.contains("13 stored"), "{output:?}");
    let (_, shown) = run(directory.path(), &[&start]);
    assert!(shown.starts_with("nothing left to crawl"), "{shown}");
}

/// Crawls `origin`, stops as soon as `asked` gets a message, and returns how long stopping took.
fn stopped(origin: String, asked: &Receiver<()>) -> Duration {
    let directory = TempDir::new().unwrap();
    let stop = CancelToken::new();
    let plan = Plan {
        seeds: vec![Target::new(format!("{origin}/"), 0)],
        origins: vec![origin],
        max_pages: None,
        executor: Executor::Threads,
        concurrency: NonZeroUsize::MIN,
        rate: 1000,
        bounds: Bounds::default(),
        fetch: FetchSettings { proxy: false, ..FetchSettings::default() },
        quiet: true,
        stop: stop.clone(),
    };
    let store = Store::open(&directory.path().join("crawl.db")).unwrap();
    let crawling = std::thread::spawn(move || crawl(&plan, store).unwrap());
    asked.recv().unwrap();
    let start = Instant::now();
    stop.cancel();
    assert!(crawling.join().unwrap().interrupted);
    start.elapsed()
}

#[test]
fn a_stop_waits_for_no_server() {
    let (ask, asked) = channel();
    let patient = serving(move |_| {
        ask.send(()).unwrap();
        "503 Service Unavailable\r\nRetry-After: 100".to_owned()
    });
    assert!(stopped(patient, &asked) < Duration::from_secs(5));
    let (ask, asked) = channel();
    let silent = serving(move |_| {
        ask.send(()).unwrap();
        loop {
            std::thread::park();
        }
    });
    assert!(stopped(silent, &asked) < Duration::from_secs(5));
}
