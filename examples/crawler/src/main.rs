//! The crawler: a site becomes a searchable database. `crawler --help` says how.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use crawler::args::{Action, Args};
use crawler::crawl::{Crawled, Plan, crawl};
use crawler::faults::{Faults, Rates};
use crawler::fetch::FetchSettings;
use crawler::record::Target;
use crawler::server::Server;
use crawler::site::Site;
use crawler::store::Store;
use crawler::traps::Bounds;
use tidegate::CancelToken;
use url::Url;

/// Pages per second and host on real sites.
const POLITE_RATE: u32 = 5;
/// Pages per second on the loopback site: as good as no limit.
const ANY_RATE: u32 = 1_000_000;
/// The exit status that a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.action {
        Some(Action::Search { words }) => search(&args, words),
        Some(Action::Missing) => missing(&args),
        None => run(&args),
    };
    result.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<ExitCode, String> {
    let stop = CancelToken::new();
    let on_interrupt = stop.clone();
    let handler = move || {
        if !on_interrupt.cancel() {
            // This is the second Ctrl-C.
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("stopping: what was fetched is stored; Ctrl-C again to quit now");
    };
    ctrlc::set_handler(handler).map_err(|error| format!("Ctrl-C: {error}"))?;
    if args.urls.is_empty() { crawl_local(args, stop) } else { crawl_sites(args, stop) }
}

/// Serves a site on a loopback port and crawls it.
fn crawl_local(args: &Args, stop: CancelToken) -> Result<ExitCode, String> {
    let site = Site::find(args.site.as_deref())?;
    let (name, starts) = (site.name(), site.starts());
    let mut store = Store::open(&args.db).map_err(|error| error.to_string())?;
    let faults = if args.faults.is_on() { Faults::new(Rates::MILD) } else { Faults::off() };
    let server = Server::start(site, faults).map_err(|error| format!("server: {error}"))?;
    store.settle(&name, &server.origin()).map_err(|error| error.to_string())?;
    println!("crawling {name} at {}", server.origin());
    let fetch = FetchSettings {
        timeout: Duration::from_secs(2),
        connections: args.concurrency.get(),
        proxy: false,
        ..FetchSettings::default()
    };
    let seeds = starts.iter().map(|path| server.url(path)).collect();
    finish(crawl(&plan(args, seeds, fetch, ANY_RATE, stop), store)?, args)
}

/// Crawls the sites that the command line names.
fn crawl_sites(args: &Args, stop: CancelToken) -> Result<ExitCode, String> {
    let seeds = args.seeds()?;
    let store = Store::open(&args.db).map_err(|error| error.to_string())?;
    let fetch = FetchSettings { connections: args.concurrency.get(), ..FetchSettings::default() };
    finish(crawl(&plan(args, seeds, fetch, POLITE_RATE, stop), store)?, args)
}

fn plan(args: &Args, seeds: Vec<Url>, fetch: FetchSettings, rate: u32, stop: CancelToken) -> Plan {
    let mut origins: Vec<_> = seeds.iter().map(|url| url.origin().ascii_serialization()).collect();
    origins.sort();
    origins.dedup();
    Plan {
        origins,
        seeds: seeds.into_iter().map(|url| Target::new(url, 0)).collect(),
        max_pages: args.max_pages,
        executor: args.executor,
        concurrency: args.concurrency,
        rate: args.rate.map_or(rate, std::num::NonZero::get),
        bounds: Bounds { depth: args.max_depth, alike: args.max_alike },
        fetch,
        quiet: args.quiet,
        stop,
    }
}

/// Prints how it went, and returns the exit status.
fn finish(crawled: Crawled, args: &Args) -> Result<ExitCode, String> {
    let Crawled { report, interrupted, unreachable } = crawled;
    let unreachable = unreachable.filter(|_| !interrupted);
    if let (Some(reason), 0) = (&unreachable, report.stored) {
        return Err(reason.clone());
    }
    if report.read == 0 && report.pending == 0 {
        println!("nothing left to crawl; `search` finds what is in {}", args.db.display());
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{report}");
    if interrupted {
        println!("interrupted: run the same command again to go on");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    unreachable.map_or_else(|| Ok(report.exit_code()), Err)
}

fn search(args: &Args, words: &[String]) -> Result<ExitCode, String> {
    let store = Store::open_existing(&args.db).map_err(|error| error.to_string())?;
    let hits = store.search(words).map_err(|error| error.to_string())?;
    let out = stdout();
    printed(hits.print(&mut out.lock(), out.is_terminal()))
}

fn missing(args: &Args) -> Result<ExitCode, String> {
    let store = Store::open_existing(&args.db).map_err(|error| error.to_string())?;
    let missing = store.missing().map_err(|error| error.to_string())?;
    let mut out = stdout().lock();
    printed(missing.iter().try_for_each(|(url, reason)| writeln!(out, "{url}\t{reason}")))
}

fn printed(result: std::io::Result<()>) -> Result<ExitCode, String> {
    match result {
        // The reader of a pipe, such as `head`, has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!("standard output: {error}")),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}
