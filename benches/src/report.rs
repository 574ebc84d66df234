//! What is printed: tables of at most 100 columns, JSON lines, and lines of tab-separated values.

use std::fmt;

use crate::{
    measure::{Row, Table},
    workload::REFERENCE,
};

impl Table {
    /// The columns of a line of [`Table::tsv`]; times are in nanoseconds.
    pub const COLUMNS: &str = "workload\tns per\tclass\tcontender\tours\tmedian\tlower quartile\tupper quartile\tfetch_add\tclock\n";

    /// Returns the median of the fastest rival, of one class or of any.
    fn fastest_rival(&self, class: Option<&str>) -> Option<f64> {
        self.rows
            .iter()
            .filter(|row| {
                !row.ours && row.class != REFERENCE && class.is_none_or(|class| row.class == class)
            })
            .map(|row| row.samples.median())
            .min_by(f64::total_cmp)
    }

    /// Returns one JSON object a row, a line each.
    pub fn json(&self) -> String {
        let mut lines = String::new();
        for Row { name, class, ours, samples } in &self.rows {
            let (workload, unit) = (self.workload.name, self.workload.unit);
            let (median, min, max) = (samples.median(), samples.min(), samples.max());
            // These names have no control characters, so that `{:?}` of them is also JSON.
            lines += &format!(
                "{{\"workload\":{workload:?},\"contender\":{name:?},\"ours\":{ours},\"class\":{class:?},\
                 \"unit\":\"ns per {unit}\",\"median\":{median:.3},\"min\":{min:.3},\"max\":{max:.3}}}\n"
            );
        }
        lines
    }

    /// Returns a line of [`Table::COLUMNS`] for each row, of which `ci/benchmarks.py` makes plots.
    pub fn tsv(&self) -> String {
        let (workload, unit) = (self.workload.name, self.workload.unit);
        let (f_cost, clock) = (Ns(self.fetch_add.median()), Ns(self.clock.median()));
        let mut lines = String::new();
        for Row { name, class, ours, samples } in &self.rows {
            let (lower, upper) = (Ns(samples.quartile(1)), Ns(samples.quartile(3)));
            let (ours, median) = (if *ours { "yes" } else { "no" }, Ns(samples.median()));
            lines += &format!(
                "{workload}\t{unit}\t{class}\t{name}\t{ours}\t{median}\t{lower}\t{upper}\t{f_cost}\t{clock}\n"
            );
        }
        lines
    }
}

/// The table in Markdown's form, which a terminal shows well, too.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f_cost = self.fetch_add.median();
        writeln!(f, "{}, ns per {}", self.workload.name, self.workload.unit)?;
        writeln!(
            f,
            "F = {} ns (fetch_add), C = {} ns (clock)",
            Ns(f_cost),
            Ns(self.clock.median())
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "| {:<29} | {:<9} | {:>7} | {:>15} | {:>6} | {:>6} | {:>6} |",
            "contender", "class", "median", "quartiles", "× best", "× same", "× F"
        )?;
        let rule = |width: usize| "-".repeat(width);
        writeln!(
            f,
            "| :{} | :{} | {}: | {4}: | {3}: | {3}: | {3}: |",
            rule(28),
            rule(8),
            rule(6),
            rule(5),
            rule(14)
        )?;
        for row in &self.rows {
            let median = row.samples.median();
            let ratio = |to: Option<f64>| {
                to.map_or_else(|| "–".to_owned(), |to| Ratio(median / to).to_string())
            };
            let quartiles =
                format!("{} – {}", Ns(row.samples.quartile(1)), Ns(row.samples.quartile(3)));
            let marked = if row.ours { format!("**{}**", row.name) } else { row.name.to_owned() };
            writeln!(
                f,
                "| {marked:<29} | {:<9} | {:>7} | {quartiles:>15} | {:>6} | {:>6} | {:>6} |",
                row.class,
                Ns(median).to_string(),
                ratio(self.fastest_rival(None)),
                ratio(self.fastest_rival(Some(row.class))),
                ratio(Some(f_cost)),
            )?;
        }
        Ok(())
    }
}

/// A number of nanoseconds, with two decimals below 10 and one below 100.
struct Ns(f64);

impl fmt::Display for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0 {
            ..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}

/// A ratio, with two decimals below 100.
struct Ratio(f64);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0 {
            ..100.0 => 2,
            _ => 0,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        measure::{Plan, Table, measure},
        workload::{REFERENCE, Workload, ours, rival},
    };

    #[test]
    fn a_table_fits_a_terminal_and_compares_with_rivals_only() {
        let workload = Workload {
            name: "test/nothing",
            unit: "nothing",
            contenders: || {
                let takes = |nanos| move |n| Duration::from_nanos(n * nanos);
                vec![
                    ours("tidegate", "fair", takes(30)),
                    rival("slow", "fair", takes(60)),
                    rival("fast", "barging", takes(20)),
                    rival("other", REFERENCE, takes(10)),
                ]
            },
        };
        let table =
            measure(workload, Plan { rounds: 1, sample: Duration::from_micros(10), whole: true });
        let text = table.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| "))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let names: Vec<&str> = rows[2..].iter().map(|row| row[0]).collect();
        assert_eq!(names, ["other", "fast", "**tidegate**", "slow"]);
        assert_eq!(rows[4][4..6], ["1.50", "0.50"], "{text}");
        assert_eq!(rows[2][4..6], ["0.50", "–"], "{text}");

        let tsv = table.tsv();
        let columns = |line: &str| line.split('\t').count();
        assert!(tsv.lines().all(|line| columns(line) == columns(Table::COLUMNS)), "{tsv}");
        let first = tsv.lines().next().unwrap();
        assert!(
            first.starts_with("test/nothing\tnothing\treference\tother\tno\t10.0\t10.0\t10.0\t")
        );

        let json = table.json();
        let first = json.lines().next().unwrap();
        assert_eq!(
            first,
            r#"{"workload":"test/nothing","contender":"other","ours":false,"class":"reference","unit":"ns per nothing","median":10.000,"min":10.000,"max":10.000}"#
        );
    }
}
