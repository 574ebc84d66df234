//! Surveys the tide gauges four times, each with another runtime or without one, and prints what
//! came of it.

use std::time::Instant;

use runtimes::{Failure, Way, in_async_std, in_smol, in_tokio, on_threads};

fn main() -> Result<(), Failure> {
    let ways: [(&str, Way); 4] = [
        ("tokio", in_tokio),
        ("smol", in_smol),
        ("async-std", in_async_std),
        ("threads", on_threads),
    ];
    for (name, survey) in ways {
        let start = Instant::now();
        println!("{name:>9}: {}; {} ms", survey()?, start.elapsed().as_millis());
    }
    Ok(())
}
