//! Servers that do harm, on purpose or not.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crawler::fetch::FetchSettings;
use crawler::traps::Bounds;

use crate::server::{Answer, plan, run, serve};

/// Starts a server that calls `answer` for each connection, with the path asked for, on a thread of
/// its own. Returns its origin.
fn hostile(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let request: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                let path = request.first().and_then(|line| line.split(' ').nth(1));
                if let Some(path) = path.map(str::to_owned) {
                    answer(&path, &mut stream);
                }
            });
        }
    });
    origin
}

fn say(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).is_ok()
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
const NOT_FOUND: &str = "HTTP/1.1 404 -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const HTML: &str = "HTTP/1.1 200 -\r\nContent-Type: text/html\r\nConnection: close\r\n";

/// Starts a server of one page, which `page` sends.
fn with_page(page: fn(&mut TcpStream)) -> String {
    hostile(move |path, stream| match path {
        "/" => page(stream),
        _ => _ = say(stream, NOT_FOUND),
    })
}

#[test]
fn servers_that_do_harm_cost_their_own_pages_and_each_has_its_reason() {
    type Page = fn(&mut TcpStream);
    let table: [(&str, Page, &str); 14] = [
        (
            "headers without end",
            |stream| while say(stream, &format!("{HTML}{}", "X: y\r\n".repeat(1000))) {},
            "headers too large",
        ),
        (
            "one header without end",
            |stream| while say(stream, &format!("{HTML}X: {}", "y".repeat(10_000))) {},
            "headers too large",
        ),
        (
            "a body that drips",
            |stream| {
                _ = say(stream, &format!("{HTML}\r\n"));
                while drips(stream) {}
            },
            "timeout",
        ),
        (
            "more is promised than comes",
            |stream| _ = say(stream, &format!("{HTML}Content-Length: 100\r\n\r\nhalf")),
            "connection broke",
        ),
        (
            "less is promised than comes",
            |stream| _ = say(stream, &format!("{HTML}Content-Length: 5\r\n\r\nwhole and more")),
            "",
        ),
        (
            "a chunk that breaks off",
            |stream| _ = say(stream, &format!("{HTML}{CHUNKED}ff\r\nhalf")),
            "connection broke",
        ),
        (
            "a chunk that is none",
            |stream| _ = say(stream, &format!("{HTML}{CHUNKED}xyz\r\n")),
            "not http",
        ),
        (
            "a hundred years of 100 Continue",
            |stream| while say(stream, "HTTP/1.1 100 Continue\r\n\r\n") {},
            "headers too large",
        ),
        (
            "a length of a petabyte",
            |stream| _ = say(stream, &format!("{HTML}Content-Length: 1000000000000000\r\n\r\nx")),
            "connection broke",
        ),
        (
            "two lengths",
            |stream| {
                _ = say(stream, &format!("{HTML}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"))
            },
            "not http",
        ),
        (
            "a header with a zero in it",
            |stream| _ = say(stream, &format!("{HTML}X: \0\r\nContent-Length: 1\r\n\r\nx")),
            "not http",
        ),
        ("not a word", |_| {}, "connection broke"),
        ("not HTTP", |stream| _ = say(stream, "SSH-2.0-OpenSSH_9.6\r\n"), "not http"),
        (
            "an error that asks for a day",
            |stream| {
                _ = say(stream, "HTTP/1.1 503 -\r\nRetry-After: 86400\r\nContent-Length: 0\r\n\r\n")
            },
            "http 503",
        ),
    ];
    let servers = table.map(|(_, page, _)| with_page(page));
    let mut plan = plan(&servers.each_ref().map(|origin| format!("{origin}/")));
    plan.concurrency = 16.try_into().unwrap();
    plan.fetch = FetchSettings { timeout: Duration::from_millis(300), ..plan.fetch };
    let (report, _, _) = run(&plan);
    for ((what, _, reason), origin) in table.iter().zip(servers) {
        let url = format!("{origin}/");
        let found = report.without.iter().find(|(_, urls)| urls.contains(&url));
        assert_eq!(found.map_or("", |(reason, _)| reason), *reason, "{what}: {report}");
    }
    assert_eq!((report.read, report.stored), (14, 1), "{report}");
}

/// Waits a little and sends a byte, unless the client has gone; returns whether that went well.
fn drips(stream: &mut TcpStream) -> bool {
    _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
    let is_gone = matches!(std::io::Read::read(stream, &mut [0]), Ok(0));
    !is_gone && say(stream, "x")
}

#[test]
fn a_bomb_is_too_large_however_it_is_packed() {
    let bomb = |zeros: usize, coding: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b' '; zeros]).unwrap();
        let headers = format!("Content-Encoding: {coding}\r\n");
        Answer { path: "/", status: "200", headers, body: encoder.finish().unwrap() }
    };
    let (origin, _) = serve(vec![bomb(5 << 20, "gzip")]);
    let mut plan = plan(&[format!("{origin}/")]);
    plan.fetch = FetchSettings { max_body: 1 << 20, ..plan.fetch };
    let (report, _, without) = run(&plan);
    assert_eq!(without["/"], "too large", "{report}");
}

#[test]
fn ten_thousand_links_on_a_page_are_ten_thousand_addresses() {
    let links: String = (0..10_000).map(|n| format!("<a href=/p{}>x</a>", letters(n))).collect();
    let origin = hostile(move |path, stream| {
        let body = if path == "/" { links.as_str() } else { "leaf" };
        match path {
            "/robots.txt" => _ = say(stream, NOT_FOUND),
            _ => _ = say(stream, &format!("{HTML}Content-Length: {}\r\n\r\n{body}", body.len())),
        }
    });
    let mut plan = plan(&[format!("{origin}/")]);
    plan.max_pages = 20.try_into().ok();
    let (report, pages, _) = run(&plan);
    assert_eq!((pages.len(), report.pending), (20, 10_001 - 20), "{report}");
}

/// Writes a number in letters instead of digits.
fn letters(n: u32) -> String {
    n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

#[test]
fn a_trap_without_end_ends_at_its_bound() {
    type Address = fn(u64) -> String;
    let table: [(Address, &str); 4] = [
        (|n| format!("/calendar?month={n}"), "more than 20 addresses that are alike (--max-alike)"),
        (|n| format!("/2024/{n}/x"), "more than 20 addresses that are alike (--max-alike)"),
        (|n| "/a".repeat(usize::try_from(n).unwrap()), "a path that repeats itself"),
        (
            |n| format!("/{}", "b".repeat(usize::try_from(n).unwrap())),
            "more than 50 links from a start (--max-depth)",
        ),
    ];
    for (address, reason) in table {
        let asked = Mutex::new(0);
        let origin = hostile(move |path, stream| {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            *asked += u64::from(path != "/robots.txt");
            let link = format!("<a href='{}'>next</a>", address(*asked));
            match path {
                "/robots.txt" => _ = say(stream, NOT_FOUND),
                _ => {
                    _ = say(stream, &format!("{HTML}Content-Length: {}\r\n\r\n{link}", link.len()))
                }
            }
        });
        let mut plan = plan(&[format!("{origin}/")]);
        let (depth, alike) = (NonZeroU32::new(50).unwrap(), NonZeroU32::new(20).unwrap());
        plan.bounds = Bounds { depth, alike };
        let (report, pages, _) = run(&plan);
        assert_eq!(report.left_out.keys().collect::<Vec<_>>(), [reason], "{report}");
        assert!(pages.len() <= 51 && report.pending == 0, "{report}");
    }
}

#[test]
fn a_host_that_is_slow_with_its_robots_txt_holds_up_no_other() {
    // The slow host answers when the other host has been read to its end.
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let (wait, tell) = (done.clone(), done);
    let slow = hostile(move |path, stream| {
        let (is_done, bell) = &*wait;
        let mut is_done = is_done.lock().unwrap();
        while !*is_done {
            is_done = bell.wait(is_done).unwrap();
        }
        match path {
            "/robots.txt" => _ = say(stream, NOT_FOUND),
            _ => _ = say(stream, &format!("{HTML}Content-Length: 4\r\n\r\nslow")),
        }
    });
    let last = "/last";
    let fast = hostile(move |path, stream| {
        let body = format!("<a href={last}>fast</a>");
        match path {
            "/robots.txt" => _ = say(stream, NOT_FOUND),
            _ => _ = say(stream, &format!("{HTML}Content-Length: {}\r\n\r\n{body}", body.len())),
        }
        if path == last {
            *tell.0.lock().unwrap() = true;
            tell.1.notify_all();
        }
    });
    let starts: Vec<_> = (0..200).map(|n| format!("{slow}/{}", letters(n))).collect();
    let starts: Vec<_> = starts.into_iter().chain([format!("{fast}/")]).collect();
    let (report, pages, _) = run(&plan(&starts));
    assert_eq!(pages.len(), 202, "{report}");
}

#[test]
fn a_host_that_is_slow_with_its_pages_leaves_connections_to_the_others() {
    // The slow host answers no page until the last page of the other host is asked for.
    let done = Arc::new((Mutex::new(false), Condvar::new()));
    let (wait, tell) = (done.clone(), done);
    let slow = hostile(move |path, stream| {
        if path == "/robots.txt" {
            _ = say(stream, NOT_FOUND);
            return;
        }
        let (is_done, bell) = &*wait;
        let mut is_done = is_done.lock().unwrap();
        while !*is_done {
            is_done = bell.wait(is_done).unwrap();
        }
        _ = say(stream, &format!("{HTML}Content-Length: 4\r\n\r\nslow"));
    });
    let fast = hostile(move |path, stream| {
        let next = path.len();
        let body = format!("<a href=/{}>fast</a>", "x".repeat(next));
        match path {
            "/robots.txt" => _ = say(stream, NOT_FOUND),
            _ => _ = say(stream, &format!("{HTML}Content-Length: {}\r\n\r\n{body}", body.len())),
        }
        if next == 30 {
            *tell.0.lock().unwrap() = true;
            tell.1.notify_all();
        }
    });
    let starts: Vec<_> = (0..50).map(|n| format!("{slow}/{}", letters(n))).collect();
    let starts: Vec<_> = starts.into_iter().chain([format!("{fast}/")]).collect();
    let mut plan = plan(&starts);
    plan.bounds.depth = NonZeroU32::new(40).unwrap();
    let (report, pages, _) = run(&plan);
    assert_eq!(pages.len(), 50 + 41, "{report}");
}
