//! The crawler: a site becomes a searchable database. `crawler --help` says how.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, IsTerminal, stdout};
use std::process::ExitCode;

use clap::Parser;
use crawler::args::{Action, Args};
use crawler::store::Store;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.action {
        Some(Action::Search { words }) => search(&args, words),
        None => Err("there is nothing to crawl with".to_owned()),
    };
    result.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        ExitCode::FAILURE
    })
}

fn search(args: &Args, words: &[String]) -> Result<ExitCode, String> {
    let store = Store::open_existing(&args.db).map_err(|error| error.to_string())?;
    let hits = store.search(words).map_err(|error| error.to_string())?;
    let out = stdout();
    match hits.print(&mut out.lock(), out.is_terminal()) {
        // A reader that has seen enough, such as `head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!("standard output: {error}")),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}
