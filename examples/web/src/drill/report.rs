//! What the drill has shown: the table, and what must hold.

use std::{error::Error, fmt, fs, path::PathBuf, time::Duration};

use super::{Phase, Run, chart};
use crate::{
    events::{millis, percentile},
    load::{End, Sent},
};

/// What the drill has shown.
#[derive(Debug)]
pub struct Report {
    /// The troubles.
    pub phases: [Phase; 5],
    /// Requests sent this close to a phase's end are not counted: the next phase decides their end.
    pub edge: Duration,
    /// How many calls a second the upstream can answer.
    pub capacity: f64,
    /// With the guard.
    pub guarded: Run,
    /// Without the guard.
    pub bare: Run,
}

/// What became of the requests of one phase, in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    /// Answers a second with the upstream's item, before the client has given up.
    pub goodput: f64,
    /// Answers a second from the fallback.
    pub fallback: f64,
    /// Requests a second that were refused, at once or after a short wait.
    pub refused: f64,
    /// Requests a second that failed, or whose client has given up.
    pub errors: f64,
    /// The time within which half of the requests that were not refused had ended.
    pub p50: Duration,
    /// The time within which 99 of 100 of these requests had ended.
    pub p99: Duration,
}

impl Row {
    /// Returns the numbers of what was sent within `time`.
    pub(super) fn of<'a>(sent: impl IntoIterator<Item = &'a Sent>, time: Duration) -> Self {
        let (mut row, mut took) = (Self::default(), Vec::new());
        for sent in sent {
            let count = match sent.end {
                End::Fresh => &mut row.goodput,
                End::Fallback => &mut row.fallback,
                End::Limited | End::Shed => &mut row.refused,
                End::Failed | End::GaveUp => &mut row.errors,
            };
            *count += 1.0 / time.as_secs_f64();
            if !matches!(sent.end, End::Limited | End::Shed) {
                took.push(sent.took);
            }
        }
        took.sort_unstable();
        Self { p50: percentile(&took, 50), p99: percentile(&took, 99), ..row }
    }
}

const CALM: usize = 0;
const OVERLOAD: usize = 1;
const OUTAGE: usize = 3;
const RECOVERY: usize = 4;

impl Report {
    fn rows(&self, run: &Run) -> Vec<Row> {
        let phases = self.phases.iter().zip(&run.phases);
        phases.map(|(phase, sent)| Row::of(sent, phase.lasts - self.edge)).collect()
    }

    /// Returns what should hold and does not.
    pub fn faults(&self) -> Vec<String> {
        let (guarded, bare) = (self.rows(&self.guarded), self.rows(&self.bare));
        let share = |row: Row| 100.0 * row.goodput / self.capacity;
        let (kept, lost) = (share(guarded[OVERLOAD]), share(bare[OVERLOAD]));
        let (calm, busy) = (guarded[CALM].p99, guarded[OVERLOAD].p99);
        let outage = guarded[OUTAGE];
        let checks = [
            (kept >= 80.0, format!("overload: goodput is {kept:.0} % of the capacity, not 80 %")),
            (busy <= 5 * calm, format!("overload: p99 is {busy:.0?}, more than 5 × {calm:.0?}")),
            (lost <= 50.0, format!("overload without guard: goodput is {lost:.0} %: no collapse")),
            (
                outage.fallback >= outage.errors,
                "outage: more errors than answers of the fallback".into(),
            ),
            (
                guarded[RECOVERY].goodput >= guarded[CALM].goodput / 2.0,
                "recovery: the goodput is not half of the calm one".into(),
            ),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
    }

    /// Renews the table and the charts of the README.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written, or the README has no place for the table.
    pub fn write(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        const BEGIN: &str = "<!-- drill -->\n";
        const END: &str = "<!-- end -->";
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let readme = fs::read_to_string(folder.join("README.md"))?;
        let (before, rest) =
            readme.split_once(BEGIN).ok_or("README.md has no place for the table")?;
        let (_, after) = rest.split_once(END).ok_or("the table in README.md has no end")?;
        let table = self.table();
        fs::write(folder.join("README.md"), format!("{before}{BEGIN}{table}{END}{after}"))?;
        fs::create_dir_all(folder.join("charts"))?;
        for (name, chart) in chart::all(self) {
            fs::write(folder.join("charts").join(name), chart)?;
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = String::from(
            "| phase | load, 1/s | guard | goodput, 1/s | fallback, 1/s | refused, 1/s | errors, 1/s \
             | p50, ms | p99, ms |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let rows = self.rows(&self.guarded).into_iter().zip(self.rows(&self.bare));
        for (phase, (guarded, bare)) in self.phases.iter().zip(rows) {
            for (guard, row) in [("with", guarded), ("without", bare)] {
                table += &format!(
                    "| {} | {:.0} | {guard} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |\n",
                    phase.name,
                    phase.load * self.capacity,
                    row.goodput,
                    row.fallback,
                    row.refused,
                    row.errors,
                    millis(row.p50),
                    millis(row.p99),
                );
            }
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table())?;
        writeln!(f, "\nThe upstream can answer {:.0} calls a second.", self.capacity)?;
        let faults = self.faults();
        for fault in &faults {
            writeln!(f, "FAULT: {fault}")?;
        }
        if faults.is_empty() {
            writeln!(f, "What should hold, holds.")?;
        }
        Ok(())
    }
}
