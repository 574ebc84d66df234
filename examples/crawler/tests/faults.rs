//! The whole program under faults from outside: killed, on a full disk, with cut connections.
//!
//! Each test ends with two numbers: pages lost, and pages stored twice. Both are zero.
#![allow(clippy::std_instead_of_core, reason = "a test of an ordinary program on std")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crawler::faults::Faults;
use crawler::server::Server;
use crawler::site::Site;
use rusqlite::Connection;
use tempfile::TempDir;

/// Pages of the bundle that links lead to.
const PAGES: usize = 16;

fn server() -> Server {
    Server::start(Site::Bundled, Faults::off()).unwrap()
}

fn command(directory: &Path, start: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crawler"));
    command.current_dir(directory).args(["--quiet", "--rate", "1000", start]);
    command
}

/// Runs the crawler to its end, and demands success.
fn complete(directory: &Path, start: &str) -> Output {
    let output = command(directory, start).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// How many pages are lost, and how many are there twice.
fn lost_and_twice(directory: &Path) -> (usize, usize) {
    let connection = Connection::open(directory.join("crawler.db")).unwrap();
    let mut rows = connection.prepare("SELECT url FROM pages").unwrap();
    let urls = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let urls: Vec<_> = urls.map(Result::unwrap).collect();
    let distinct: BTreeSet<_> = urls.iter().collect();
    (PAGES - distinct.len(), urls.len() - distinct.len())
}

/// Demands that docs/testing.md says how often this test tried, and no page lost or stored twice.
fn demand_documented(test: &str, tried: &str) {
    let page = include_str!("../../../docs/testing.md");
    let row = page.lines().find(|row| row.starts_with('|') && row.contains(test)).unwrap();
    let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
    assert_eq!((cells[1], cells[3], cells[4]), (tried, "0", "0"), "docs/testing.md, {test}");
}

/// How often the crawler is killed.
const KILLS: usize = 20;
/// Limits of a file's size in the shell's units (512 bytes or 1 KiB), from tight to nearly enough.
const ROOM: [u32; 6] = [8, 40, 60, 80, 100, 120];
/// How many connections are cut at least.
const CUTS: usize = 20;

#[test]
fn killed_at_any_moment_it_loses_no_page_and_has_none_twice() {
    let server = server();
    let start = server.url("/index.html").to_string();
    let mut in_the_middle = 0;
    for round in 0..KILLS {
        let directory = TempDir::new().unwrap();
        let mut child = command(directory.path(), &start).stdout(Stdio::null()).spawn().unwrap();
        // Each round lets it run for longer; for how long exactly does not matter.
        (0..1_000 * round).for_each(|_| thread::yield_now());
        // SIGKILL.
        child.kill().unwrap();
        in_the_middle += u32::from(!child.wait().unwrap().success());
        complete(directory.path(), &start);
        assert_eq!(lost_and_twice(directory.path()), (0, 0));
    }
    assert!(in_the_middle > 0, "it was never killed in time");
    demand_documented(
        "killed_at_any_moment_it_loses_no_page_and_has_none_twice",
        &format!("{KILLS} times"),
    );
}

#[test]
fn a_disk_that_fills_up_is_said_to_and_costs_no_page() {
    let (server, directory) = (server(), TempDir::new().unwrap());
    let start = server.url("/index.html").to_string();
    let mut refused = 0;
    for room in ROOM {
        let limited = format!("trap '' XFSZ; ulimit -f {room}; exec \"$0\" \"$@\"");
        let output = Command::new("sh")
            .args([
                "-c",
                &limited,
                env!("CARGO_BIN_EXE_crawler"),
                "--quiet",
                "--rate",
                "1000",
                &start,
            ])
            .current_dir(directory.path())
            .output()
            .unwrap();
        if !output.status.success() {
            refused += 1;
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!(message.lines().count(), 1, "{message}");
            assert!(message.contains("crawler.db"), "{message}");
        }
    }
    assert!(refused > 0, "the disk was never full");
    complete(directory.path(), &start);
    assert_eq!(lost_and_twice(directory.path()), (0, 0));
    let tried = format!("{} times", ROOM.len());
    demand_documented("a_disk_that_fills_up_is_said_to_and_costs_no_page", &tried);
}

/// Starts a proxy that cuts two of three answers after so many bytes. Returns its origin.
fn cutting_proxy(server: &Server, after: usize, cut: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let target = server.origin().trim_start_matches("http://").to_owned();
    thread::spawn(move || {
        for (number, near) in listener.incoming().map(Result::unwrap).enumerate() {
            let far = TcpStream::connect(&target).unwrap();
            let budget = if number % 3 == 2 { usize::MAX } else { after };
            let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || pass_on(&from, &to, usize::MAX));
            let cut = cut.clone();
            thread::spawn(move || {
                cut.fetch_add(usize::from(pass_on(&far, &near, budget)), Ordering::Relaxed)
            });
        }
    });
    origin
}

/// Copies until the end, or so many bytes, and returns whether it stopped at the bytes.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, mut budget: usize) -> bool {
    let mut buffer = [0; 256];
    while budget > 0 {
        let Ok(read) = from.read(&mut buffer) else { break };
        let passed = read.min(budget);
        if read == 0 || to.write_all(&buffer[..passed]).is_err() {
            break;
        }
        budget -= passed;
    }
    _ = to.shutdown(Shutdown::Both);
    _ = from.shutdown(Shutdown::Both);
    budget == 0
}

#[test]
fn connections_that_are_cut_cost_no_page() {
    let (server, cut) = (server(), Arc::new(AtomicUsize::new(0)));
    for after in [1, 200, 700] {
        let directory = TempDir::new().unwrap();
        let start = format!("{}/index.html", cutting_proxy(&server, after, cut.clone()));
        // An address that is given up in one run is tried again in the next.
        for _ in 0..20 {
            let output = command(directory.path(), &start).output().unwrap();
            if String::from_utf8_lossy(&output.stdout).starts_with("nothing left") {
                break;
            }
        }
        assert_eq!(lost_and_twice(directory.path()), (0, 0), "cut after {after} bytes");
    }
    assert!(cut.load(Ordering::Relaxed) >= CUTS, "too few connections were cut");
    demand_documented("connections_that_are_cut_cost_no_page", &format!("at least {CUTS} cuts"));
}
