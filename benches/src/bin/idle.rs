//! Measures the CPU time that the pools of tidegate and its rivals take while they have no jobs.

use std::{env, process::ExitCode};

use benches::{Machine, worker_pool};

const USAGE: &str = "idle   measures the pools, a second each";

const LEGEND: &str = "\
µs: CPU time of the process in the second after a pool's last job, in which its two threads have nothing to do
** marks tidegate";

fn main() -> ExitCode {
    if env::args().len() > 1 {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    println!("{}\n{LEGEND}\n", Machine::look());
    println!("| {:<29} | {:<9} | {:>7} |", "contender", "class", "µs");
    println!("| :{} | :{} | {}: |", "-".repeat(28), "-".repeat(8), "-".repeat(6));
    for mut contender in worker_pool::idle() {
        let taken = (contender.run)(1);
        let name = match contender.ours {
            true => format!("**{}**", contender.name),
            false => contender.name.to_owned(),
        };
        println!("| {name:<29} | {:<9} | {:>7} |", contender.class, taken.as_micros());
    }
    ExitCode::SUCCESS
}
