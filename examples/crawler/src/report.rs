//! What is said at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use crate::table::{Table, bytes, seconds};
use crate::traps::LeftOut;

/// A crawl, summed up.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How long it took.
    pub elapsed: Duration,
    /// Addresses taken from the frontier for good: each must be stored or accounted for.
    pub read: u64,
    /// Pages stored.
    pub stored: u64,
    /// Of these, pages with bytes that did not fit their encoding.
    pub lossy: u64,
    /// How many addresses were accounted for, by reason.
    pub accounted: BTreeMap<String, u64>,
    /// The first addresses of each reason.
    pub without: BTreeMap<String, Vec<String>>,
    /// Links that were not followed, by reason: how many, and the first one.
    pub left_out: LeftOut,
    /// Addresses left to crawl, by the next run.
    pub pending: u64,
    /// The stages, in the order of the flow.
    pub stages: Vec<Stage>,
    /// The gates before them.
    pub gates: Vec<Gate>,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The most frequent words.
    pub words: Vec<(String, u64)>,
}

/// A stage of the flow.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How many items it handles at once.
    pub workers: u64,
    /// Items that came in.
    pub input: u64,
    /// Items that went out.
    pub output: u64,
    /// Items that failed.
    pub failed: u64,
    /// Time at work, summed over the workers.
    pub busy: Duration,
    /// Time spent waiting for items, summed over the workers.
    pub waiting_input: Duration,
    /// Time spent waiting for room in the next stage, summed over the workers.
    pub waiting_output: Duration,
}

/// A gate: limiter, semaphore, breaker.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// Calls that were let in.
    pub entered: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Time spent waiting, summed over all calls.
    pub waited: Duration,
}

/// A host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Name and port.
    pub name: String,
    /// Pages fetched.
    pub pages: u64,
    /// Bytes of these pages.
    pub bytes: u64,
    /// Tries after the first.
    pub retries: u64,
    /// Answers 429.
    pub too_many: u64,
    /// Answers 503.
    pub unavailable: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// How often its breaker tripped.
    pub trips: u64,
}

impl Report {
    /// Whether everything read was stored or accounted for.
    pub fn is_complete(&self) -> bool {
        self.read == self.stored + self.accounted.values().sum::<u64>()
    }

    /// Success only if nothing was lost.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Returns what limits the speed, and its load from 0 to 1: the stage whose workers are busy
    /// for the largest share of the time. If no stage is busy for half of it, this may be the gate
    /// that is waited for longest. `None` if nothing happened.
    pub fn bottleneck(&self) -> Option<(&str, f64)> {
        let load = |stage: &Stage| share(stage.busy, self.elapsed, stage.workers);
        let stages = self.stages.iter().map(|stage| (stage.name.as_str(), load(stage)));
        let stage =
            stages.max_by(|one, two| one.1.total_cmp(&two.1)).filter(|(_, load)| *load > 0.0);
        let gate = self.gates.iter().max_by_key(|gate| gate.waited);
        let gate = gate.map(|gate| (gate.name.as_str(), share(gate.waited, self.elapsed, 1)));
        match (stage, gate) {
            (Some((_, busy)), Some(gate)) if busy < 0.5 && gate.1 > busy => Some(gate),
            _ => stage,
        }
    }

    fn stage_table(&self) -> Table {
        let mut table = Table::new([
            "stage", "workers", "in", "out", "failed", "busy", "load", "no input", "no room",
        ]);
        for stage in &self.stages {
            table.row([
                stage.name.clone(),
                stage.workers.to_string(),
                stage.input.to_string(),
                stage.output.to_string(),
                stage.failed.to_string(),
                seconds(stage.busy),
                percent(share(stage.busy, self.elapsed, stage.workers)),
                seconds(stage.waiting_input),
                seconds(stage.waiting_output),
            ]);
        }
        table
    }

    fn gate_table(&self) -> Table {
        let mut table = Table::new(["gate", "entered", "refused", "waited"]);
        for gate in &self.gates {
            let Gate { name, entered, refused, waited } = gate;
            table.row([name.clone(), entered.to_string(), refused.to_string(), seconds(*waited)]);
        }
        table
    }

    fn host_table(&self) -> Table {
        let mut table =
            Table::new(["host", "pages", "bytes", "retries", "429", "503", "timeouts", "trips"]);
        for host in &self.hosts {
            table.row([
                host.name.clone(),
                host.pages.to_string(),
                bytes(host.bytes),
                host.retries.to_string(),
                host.too_many.to_string(),
                host.unavailable.to_string(),
                host.timeouts.to_string(),
                host.trips.to_string(),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in [self.stage_table(), self.gate_table(), self.host_table()] {
            if !table.is_empty() {
                writeln!(f, "{table}")?;
            }
        }
        let rate = self.stored as f64 / self.elapsed.as_secs_f64().max(1e-9);
        write!(
            f,
            "{} read in {}: {} stored ({rate:.0}/s)",
            self.read,
            seconds(self.elapsed),
            self.stored
        )?;
        if self.lossy > 0 {
            write!(f, ", {} of them not UTF-8", self.lossy)?;
        }
        writeln!(f, ", {} without a page", self.accounted.values().sum::<u64>())?;
        for (reason, count) in &self.accounted {
            writeln!(f, "  {count:>7}  {reason}")?;
            let named = self.without.get(reason).map(Vec::as_slice).unwrap_or_default();
            for url in named {
                writeln!(f, "           {url}")?;
            }
            if *count > named.len() as u64 && !named.is_empty() {
                writeln!(f, "           … (`missing` lists all)")?;
            }
        }
        for (reason, (links, first)) in &self.left_out {
            writeln!(f, "not followed: {links} links, such as {first}: {reason}")?;
        }
        if !self.is_complete() {
            writeln!(f, "LOST: {} read but neither stored nor accounted for", self.lost())?;
        }
        if self.pending > 0 {
            writeln!(f, "{} more are known; run again to go on", self.pending)?;
        }
        if !self.words.is_empty() {
            let words = self.words.iter().map(|(word, count)| format!("{word} {count}"));
            writeln!(f, "words: {}", words.collect::<Vec<_>>().join(", "))?;
        }
        if let Some((name, load)) = self.bottleneck() {
            writeln!(f, "bottleneck: {name} ({} busy)", percent(load))?;
        }
        Ok(())
    }
}

impl Report {
    fn lost(&self) -> u64 {
        self.read.abs_diff(self.stored + self.accounted.values().sum::<u64>())
    }
}

/// Returns which share of the time of so many `workers` is `time`, from 0 to 1.
fn share(time: Duration, elapsed: Duration, workers: u64) -> f64 {
    let available = elapsed.as_secs_f64() * workers.max(1) as f64;
    if available > 0.0 { (time.as_secs_f64() / available).min(1.0) } else { 0.0 }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stage(name: &str, workers: u64, busy: Duration) -> Stage {
        Stage { name: name.to_owned(), workers, busy, ..Stage::default() }
    }

    fn report() -> Report {
        Report {
            elapsed: 10 * SECOND,
            read: 5,
            stored: 3,
            accounted: BTreeMap::from([("http 404".to_owned(), 2)]),
            without: BTreeMap::from([("http 404".to_owned(), vec!["http://a.test/x".to_owned()])]),
            left_out: LeftOut::from([("a trap".to_owned(), (7, "http://a.test/y".to_owned()))]),
            stages: vec![stage("fetch", 16, 40 * SECOND), stage("parse", 2, 18 * SECOND)],
            ..Report::default()
        }
    }

    #[test]
    fn the_bottleneck_is_the_busiest_for_its_size() {
        assert_eq!(report().bottleneck(), Some(("parse", 0.9)));
    }

    #[test]
    fn a_gate_is_the_bottleneck_when_the_stages_rest() {
        let gate = Gate { name: "rate limiter".to_owned(), waited: 80 * SECOND, ..Gate::default() };
        let mut report = report();
        report.gates.push(gate);
        assert_eq!(report.bottleneck(), Some(("parse", 0.9)));
        report.stages.pop();
        assert_eq!(report.bottleneck(), Some(("rate limiter", 1.0)));
    }

    #[test]
    fn a_page_that_is_lost_is_said_and_fails() {
        let mut report = report();
        assert!(report.is_complete() && !report.to_string().contains("LOST"));
        report.read += 1;
        assert!(!report.is_complete() && report.to_string().contains("LOST: 1"));
    }

    #[test]
    fn every_reason_is_named() {
        let text = report().to_string();
        assert!(
            text.contains("2  http 404\n           http://a.test/x\n           …")
                && text.contains("not followed: 7 links, such as http://a.test/y: a trap")
                && text.contains("bottleneck: parse (90% busy)"),
            "{text}"
        );
    }
}
