//! Measures tidegate and its rivals by turns, and prints a table per workload.

use std::{
    env,
    fs::File,
    io::{self, Write},
    process::ExitCode,
};

use benches::{
    Machine, WORKLOADS, Workload,
    catalogue::matching,
    measure::{Plan, Table, measure},
};

const USAGE: &str = "\
compare [FILTER] [--quick] [--json FILE] [--tsv FILE]
                  measures the workloads whose names contain FILTER, or all
compare --list                             lists workloads and contenders
compare --only WORKLOAD/CONTENDER --iters N   runs one contender once, for a profiler";

/// What the command line asks for.
#[derive(Default)]
struct Args {
    filter: String,
    quick: bool,
    list: bool,
    json: Option<String>,
    tsv: Option<String>,
    only: Option<String>,
    iters: Option<u64>,
}

fn main() -> ExitCode {
    match parse(env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut parsed = Args::default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n\n{USAGE}"));
        match arg.as_str() {
            "--quick" => parsed.quick = true,
            "--list" => parsed.list = true,
            "--json" => parsed.json = Some(value()?),
            "--tsv" => parsed.tsv = Some(value()?),
            "--only" => parsed.only = Some(value()?),
            "--iters" => {
                let text = value()?;
                let iters = text.parse().ok().filter(|&n| n > 0);
                parsed.iters = Some(
                    iters.ok_or_else(|| format!("--iters {text}: a number from 1 on is needed"))?,
                );
            }
            _ if arg.starts_with('-') => return Err(format!("there is no flag {arg}\n\n{USAGE}")),
            _ if parsed.filter.is_empty() => parsed.filter = arg,
            _ => return Err(format!("{arg}: there is one filter at most\n\n{USAGE}")),
        }
    }
    match (&parsed.only, parsed.iters) {
        (Some(_), None) | (None, Some(_)) => {
            Err(format!("--only and --iters go together\n\n{USAGE}"))
        }
        _ => Ok(parsed),
    }
}

fn run(args: Args) -> Result<(), String> {
    if let (Some(only), Some(iters)) = (&args.only, args.iters) {
        return run_one(only, iters);
    }
    let workloads: Vec<Workload> = matching(&args.filter).collect();
    if workloads.is_empty() {
        return Err(format!("no workload contains {:?}; {}", args.filter, all_workloads()));
    }
    let written = if args.list { list(&workloads) } else { compare(&workloads, &args) };
    match written {
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("compare: {error}")),
    }
}

fn all_workloads() -> String {
    let names: Vec<&str> = matching("").map(|workload| workload.name).collect();
    format!("there are\n  {}", names.join("\n  "))
}

fn list(workloads: &[Workload]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for workload in workloads {
        writeln!(out, "{}", workload.name)?;
        for contender in (workload.contenders)() {
            writeln!(out, "    {:<30} {}", contender.name, contender.class)?;
        }
    }
    Ok(())
}

fn compare(workloads: &[Workload], args: &Args) -> io::Result<()> {
    let mut json = args.json.as_ref().map(File::create).transpose()?;
    let mut tsv = args.tsv.as_ref().map(File::create).transpose()?;
    if let Some(tsv) = &mut tsv {
        tsv.write_all(Table::COLUMNS.as_bytes())?;
    }
    let mut out = io::stdout().lock();
    let plan = if args.quick { Plan::QUICK } else { Plan::FULL };
    writeln!(out, "{}", Machine::look())?;
    writeln!(
        out,
        "{} rounds by turns, samples of {:?}; ** marks tidegate",
        plan.rounds, plan.sample
    )?;
    writeln!(out, "× best: to the fastest rival; × same: to the fastest rival of the same class")?;
    for &workload in workloads {
        let table = measure(workload, plan);
        write!(out, "\n{table}")?;
        if let Some(json) = &mut json {
            json.write_all(table.json().as_bytes())?;
        }
        if let Some(tsv) = &mut tsv {
            tsv.write_all(table.tsv().as_bytes())?;
        }
    }
    Ok(())
}

fn run_one(only: &str, iters: u64) -> Result<(), String> {
    for workload in WORKLOADS.iter().copied().flatten() {
        let Some(name) = only.strip_prefix(workload.name).and_then(|rest| rest.strip_prefix('/'))
        else {
            continue;
        };
        let mut contenders = (workload.contenders)();
        let Some(contender) = contenders.iter_mut().find(|contender| contender.name == name) else {
            let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
            return Err(format!(
                "{} has no contender {name:?}; there are\n  {}",
                workload.name,
                names.join("\n  ")
            ));
        };
        let elapsed = (contender.run)(iters);
        println!("{only}: {iters} operations in {elapsed:?}");
        return Ok(());
    }
    Err(format!("{only:?} does not begin with a workload; {}", all_workloads()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: &str) -> Result<(), String> {
        parse(line.split_terminator(' ').map(str::to_owned)).and_then(run)
    }

    #[test]
    fn what_it_does_not_know_it_answers_with_what_there_is() {
        for (line, answer) in [
            ("--quickly", "--quick"),
            ("nothing-of-this-name", "semaphore/try and release"),
            ("--only semaphore --iters 1", "semaphore/try and release"),
            ("--only queue", "go together"),
            ("--iters 0", "from 1 on"),
            ("--json", "needs a value"),
            ("one two", "one filter"),
        ] {
            let message = outcome(line).unwrap_err();
            assert!(message.contains(answer), "{line}: {message}");
        }
    }

    #[test]
    fn one_contender_is_found_by_its_name() {
        assert_eq!(run_one("queue/push and pop, bounded/tidegate", 1), Ok(()));
        assert!(run_one("queue/push and pop, bounded/nobody", 1).unwrap_err().contains("tidegate"));
    }
}
