//! A page of the loopback site, over real HTTP.
#![allow(clippy::std_instead_of_core, reason = "a test of an ordinary program on std")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crawler::backoff::Backoff;
use crawler::bundle;
use crawler::faults::{Faults, Rates};
use crawler::fetch::{FetchError, FetchSettings, Fetched, Fetcher};
use crawler::page::Page;
use crawler::server::Server;
use crawler::site::Site;
use tempfile::TempDir;

fn fetcher() -> Fetcher {
    let timeout = Duration::from_millis(500);
    Fetcher::new(&FetchSettings { timeout, proxy: false, ..FetchSettings::default() })
}

fn server(site: Site, faults: Faults) -> Server {
    Server::start(site, faults).unwrap()
}

fn directory(files: &[(&str, &str)]) -> (TempDir, Site) {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let site = Site::find(Some(directory.path())).unwrap();
    (directory, site)
}

/// Returns the body, and the faults met on the way.
fn with_retries(
    fetcher: &Fetcher,
    server: &Server,
    path: &str,
) -> Result<(Vec<u8>, Vec<FetchError>), FetchError> {
    let (backoff, mut met) = (Backoff::new(0), Vec::<FetchError>::new());
    loop {
        match fetcher.page(&server.url(path)) {
            Ok(Fetched::Page { body, .. }) => return Ok((body, met)),
            Ok(Fetched::Redirect(to)) => panic!("{path} redirects to {to}"),
            Err(error) => {
                met.push(error);
                let failures = met.len().try_into().unwrap();
                backoff.pause(failures, &error).ok_or(error)?;
            }
        }
    }
}

#[test]
fn every_page_of_a_faulty_site_comes_within_three_tries() {
    let server = server(Site::Bundled, Faults::new(Rates::HARSH));
    let (fetcher, mut met) = (fetcher(), Vec::new());
    for path in bundle::paths().filter(|path| path.ends_with(".html")) {
        let (body, faults) = with_retries(&fetcher, &server, &format!("/{path}")).unwrap();
        assert_eq!(Some(body.as_slice()), bundle::file(path));
        assert!(faults.len() < 3, "{path}: {faults:?}");
        met.extend(faults);
    }
    for kind in ["http 429", "http 503", "timeout"] {
        assert!(met.iter().any(|fault| fault.to_string() == kind), "no {kind} in {met:?}");
    }
}

#[test]
fn a_server_that_asks_for_a_second_gets_it() {
    let only_429 = Rates { too_many: 1000, ..Rates::default() };
    let server = server(Site::Bundled, Faults::new(only_429));
    let error = fetcher().page(&server.url("/index.html")).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert!(error.is_transient() && !error.is_host_failure());
}

#[test]
fn a_file_has_one_address() {
    let server = server(Site::Bundled, Faults::off());
    let to = |path: &str| match fetcher().page(&server.url(path)) {
        Ok(Fetched::Redirect(to)) => to.path().to_owned() + to.query().unwrap_or_default(),
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(to("/"), "/index.html");
    assert_eq!(to("/patterns"), "/patterns/index.html");
    assert_eq!(to("/patterns/"), "/patterns/index.html");
    assert_eq!(to("//patterns/"), "/patterns/index.html");
    assert_eq!(to("/notes/fairness.html?from=here"), "/notes/fairness.html");
    assert_eq!(to("/notes//f%61irness.html"), "/notes/fairness.html");
    assert_eq!(to("/notes/fairness.html/"), "/notes/fairness.html");
}

#[cfg(unix)]
#[test]
fn a_file_has_one_address_whatever_links_and_letters_lead_to_it() {
    let (directory, site) = directory(&[("index.html", ""), ("sub/a b|c+d's.html", "x")]);
    std::os::unix::fs::symlink(".", directory.path().join("loop")).unwrap();
    let server = server(site, Faults::off());
    let own = "/sub/a%20b%7Cc+d's.html";
    for path in [
        "/sub/a b|c+d's.html",
        "/loop/sub/a%20b%7cc+d%27s.html",
        "/loop/loop//sub/a b|c%2Bd's.html",
    ] {
        match fetcher().page(&server.url(path)) {
            Ok(Fetched::Redirect(to)) => assert_eq!(to.path(), own, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert!(matches!(fetcher().page(&server.url(own)), Ok(Fetched::Page { .. })));
}

#[test]
fn nothing_outside_the_directory_is_served() {
    let (directory, _) = directory(&[("in/index.html", "in"), ("secret.html", "secret")]);
    let site = Site::find(Some(&directory.path().join("in"))).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret.html", directory.path().join("in/link.html")).unwrap();
    let server = server(site, Faults::off());
    let paths =
        ["/..%2fsecret.html", "/%2e%2e/secret.html", "/x/..%2f..%2fsecret.html", "/link.html"];
    for path in paths {
        assert_eq!(fetcher().page(&server.url(path)).unwrap_err().to_string(), "http 404");
    }
}

#[test]
fn what_is_not_a_page_has_a_name() {
    let (_directory, site) = directory(&[("index.html", "0123456789"), ("a.png", "")]);
    let server = server(site, Faults::off());
    let reason = |fetcher: &Fetcher, path| fetcher.page(&server.url(path)).unwrap_err().to_string();
    assert_eq!(reason(&fetcher(), "/b.html"), "http 404");
    assert_eq!(reason(&fetcher(), "/a.png"), "not html");
    let settings = FetchSettings { max_body: 5, proxy: false, ..FetchSettings::default() };
    assert_eq!(reason(&Fetcher::new(&settings), "/index.html"), "too large");
}

#[test]
fn a_host_where_nobody_listens_is_unreachable() {
    // A listener that is dropped frees its port at once; a server that ends may take a while.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    assert_eq!(fetcher().page(&url).unwrap_err(), FetchError::Unreachable);
}

#[test]
fn a_hung_request_does_not_hold_up_the_end() {
    let only_hangs = Rates { hang: 1000, ..Rates::default() };
    let server = server(Site::Bundled, Faults::new(only_hangs));
    assert_eq!(fetcher().page(&server.url("/index.html")).unwrap_err(), FetchError::Timeout);
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_page_that_is_not_utf8_is_read_with_replacement() {
    let server = server(Site::Bundled, Faults::off());
    let url = server.url("/notes/latin1.html");
    let Ok(Fetched::Page { head, body, .. }) = fetcher().page(&url) else { panic!("no page") };
    let page = Page::read(&url, &head, &body).unwrap();
    assert!(page.lossy && page.title == "Nebenl\u{FFFD}ufigkeit", "{}", page.title);
    assert_eq!(page.links, [server.url("/index.html")]);
}

#[test]
fn a_directory_without_html_is_refused_in_one_line() {
    let empty = TempDir::new().unwrap();
    fs::write(empty.path().join("a.txt"), "text").unwrap();
    for path in [empty.path(), &empty.path().join("a.txt"), Path::new("/nowhere/at/all")] {
        let message = Site::find(Some(path)).unwrap_err();
        assert!(message.contains(path.to_str().unwrap()) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn without_an_index_every_page_is_a_start() {
    let (_directory, site) = directory(&[("b c.html", ""), ("d/100%.html", ""), ("e.txt", "")]);
    let starts = site.starts();
    assert_eq!(starts, ["/b%20c.html", "/d/100%25.html"]);
    let server = server(site, Faults::off());
    for path in starts {
        fetcher().page(&server.url(&path)).unwrap();
    }
}
