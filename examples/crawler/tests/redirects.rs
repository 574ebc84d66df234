//! Redirects of a whole site, over real HTTP.
#![allow(clippy::std_instead_of_core, reason = "a test of an ordinary program on std")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crawler::faults::Faults;
use crawler::server::Server;
use crawler::site::Site;
use tempfile::TempDir;

/// A server that answers every path but robots.txt by a redirect. Returns its origin.
fn redirecting(to: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let request: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let path = request[0].split(' ').nth(1).unwrap();
            let head = match path {
                "/robots.txt" => "404 Not Found".to_owned(),
                path => format!("302 Found\r\nLocation: {}", to(path)),
            };
            let end = "Content-Length: 0\r\nConnection: close";
            write!(&stream, "HTTP/1.1 {head}\r\n{end}\r\n\r\n").unwrap();
        }
    });
    origin
}

fn crawl(directory: &Path, args: &[&str]) -> (Output, String) {
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
    let (output, shown) = crawl(directory.path(), &["--max-pages", "9", &format!("{origin}/0")]);
    assert!(output.status.success(), "{output:?}");
    assert!(shown.contains("1  too many redirects"), "{shown}");
}

#[test]
fn a_start_that_moved_is_crawled_where_it_is_and_resumed_there() {
    let site = Server::start(Site::Bundled, Faults::off()).unwrap();
    let home = site.url("/index.html");
    let start = redirecting(move |_| home.to_string());
    let directory = TempDir::new().unwrap();
    let (output, shown) = crawl(directory.path(), &["--max-pages", "3", &start]);
    assert!(output.status.success() && shown.contains("3 stored"), "{output:?}");
    assert!(shown.contains(&format!("1  redirect to {}", site.origin())), "{shown}");
    assert!(shown.contains("more are known"), "{shown}");
    let (output, shown) = crawl(directory.path(), &[&start]);
    assert!(output.status.success() && shown.contains("13 stored"), "{output:?}");
    let (_, shown) = crawl(directory.path(), &[&start]);
    assert!(shown.starts_with("nothing left to crawl"), "{shown}");
}
