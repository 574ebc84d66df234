//! The command line.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Parser, Subcommand, ValueEnum, value_parser};
use url::Url;

/// Crawls a site into a searchable SQLite database.
///
/// Without a URL it serves local pages on a loopback port, with faults, and crawls them: those of
/// `--site`, else the Rust documentation of this machine, else a few pages of its own.
#[derive(Debug, Clone, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub struct Args {
    /// What to do instead of a crawl.
    #[command(subcommand)]
    pub action: Option<Action>,

    /// Pages to start from, each on a site to crawl; robots.txt is respected.
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,

    /// Stop after this many pages.
    #[arg(long, value_name = "N")]
    pub max_pages: Option<NonZeroUsize>,

    /// The database; an interrupted crawl resumes from it.
    #[arg(long, value_name = "FILE", default_value = "crawler.db", global = true)]
    pub db: PathBuf,

    /// The executor that drives the crawl.
    #[arg(long, value_enum, default_value_t = Executor::Threads)]
    pub executor: Executor,

    /// Connections open at once.
    #[arg(long, value_name = "N", default_value = "16", value_parser = concurrency())]
    pub concurrency: NonZeroUsize,

    /// Pages per second and host [default: 5, without limit on the loopback site].
    #[arg(long, value_name = "N", value_parser = rate())]
    pub rate: Option<NonZeroU32>,

    /// Go at most this many links away from a start.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub max_depth: NonZeroU32,

    /// Take at most this many addresses that differ only in numbers and in values of their queries.
    #[arg(long, value_name = "N", default_value = "10000")]
    pub max_alike: NonZeroU32,

    /// Whether the loopback site misbehaves: late answers, 429, 503, hangs.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub faults: Switch,

    /// Serve and crawl this directory of HTML.
    #[arg(long, value_name = "DIR", conflicts_with = "urls")]
    pub site: Option<PathBuf>,

    /// No live progress.
    #[arg(long, global = true)]
    pub quiet: bool,
}

/// What the program does besides crawling.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Finds pages with all of these words.
    Search {
        /// What to look for; a word with spaces is a phrase.
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Lists every address that has no page, and why.
    Missing,
}

/// The executor that drives the flow, which is the same for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    /// Plain threads, no runtime.
    Threads,
    /// A tokio runtime.
    Tokio,
    /// The smol executor.
    Smol,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Switch::On
    }
}

const EXAMPLES: &str = "\
Examples:
  crawler --max-pages 2000               crawl the Rust documentation of this machine
  crawler search mutex                   find pages in what was crawled
  crawler --rate 2 https://example.org/  crawl a real site, two pages a second";

impl Args {
    /// Returns the pages to start from, if the command line names any.
    ///
    /// # Errors
    ///
    /// The first argument that is not an `http` or `https` address, in one line.
    pub fn seeds(&self) -> Result<Vec<Url>, String> {
        self.urls.iter().map(|text| seed(text)).collect()
    }
}

/// At most 4,096 connections, because each takes a thread.
fn concurrency() -> impl TypedValueParser<Value = NonZeroUsize> {
    value_parser!(u16).range(1..=4096).try_map(|n| NonZeroUsize::try_from(usize::from(n)))
}

/// At most 1,000,000,000 a second, because a token bucket counts nanoseconds.
fn rate() -> impl TypedValueParser<Value = NonZeroU32> {
    value_parser!(u32).range(1..=1_000_000_000).try_map(NonZeroU32::try_from)
}

fn seed(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("bad URL `{text}`: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("bad URL `{text}`: the scheme must be http or https"));
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use tidegate::Quota;

    use super::*;

    fn args(line: &str) -> Args {
        Args::parse_from(line.split(' '))
    }

    #[test]
    fn without_arguments_it_crawls() {
        let args = Args::parse_from(["crawler"]);
        assert!(args.action.is_none() && args.urls.is_empty() && args.faults.is_on());
    }

    #[test]
    fn the_bounds_are_those_of_the_crawl() {
        let (args, bounds) = (Args::parse_from(["crawler"]), crate::traps::Bounds::default());
        assert_eq!((args.max_depth, args.max_alike), (bounds.depth, bounds.alike));
    }

    #[test]
    fn search_is_not_a_url() {
        let args = args("crawler --db x.db search try lock");
        let Some(Action::Search { words }) = args.action else { panic!("not a search") };
        assert_eq!((words.join("+"), args.urls.len()), ("try+lock".to_owned(), 0));
    }

    #[test]
    fn what_is_not_http_is_named_in_one_line() {
        for bad in ["serach", "ftp://a.b/", "http://"] {
            let message = args(&format!("crawler {bad}")).seeds().unwrap_err();
            assert!(message.contains(bad) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn zero_and_what_no_machine_can_do_are_refused() {
        for bad in [
            "max-pages 0",
            "max-depth 0",
            "max-alike 0",
            "rate 0",
            "concurrency 0",
            "rate 1000000001",
            "concurrency 4097",
        ] {
            let line = format!("crawler --{bad}");
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        let most = args("crawler --rate 1000000000 --concurrency 4096");
        assert_eq!(Quota::per_second(most.rate.unwrap().get()).tokens(), 1_000_000_000);
    }
}
