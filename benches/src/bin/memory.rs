//! Weighs the maps of tidegate and its rivals. A program of its own, as counting takes time.

use std::{alloc::System, env, fs, process::ExitCode};

use benches::{
    Machine,
    concurrent_map::memory::{Held, Weight, table, weigh},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const USAGE: &str = "memory [--json FILE]   weighs the maps";

const LEGEND: &str = "\
u64: bytes an entry of 1,000,000 u64 → u64, 16 of them key and value; growing: least and most from 500,000 entries on
String: bytes an entry of 100,000 String → String, 100 of them key and value
blocks: allocations an entry, each of which costs the allocator about 8 to 16 bytes that are not counted here
empty, 1 entry: bytes of a map, itself included; 1000: bytes of a thousand empty maps; ** marks tidegate";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let args: Vec<String> = env::args().skip(1).collect();
    let json = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--json", file] => Some(file),
        _ => return Err(USAGE.to_owned()),
    };
    let machine = Machine::look();
    let weights = weigh(|| {
        let stats = COUNTING.stats();
        Held {
            bytes: stats.bytes_allocated - stats.bytes_deallocated,
            blocks: stats.allocations - stats.deallocations,
        }
    });
    println!("{machine}\n{LEGEND}\n\n{}", table(&weights));
    if let Some(file) = json {
        let lines: String = weights.iter().map(Weight::json).collect();
        fs::write(file, lines).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}
