//! Surveys the tide gauges three times, each time driven by another runtime or none, and tells what came of it.

use std::time::Instant;

use runtimes::{Failure, Way, in_smol, in_tokio, on_threads};

fn main() -> Result<(), Failure> {
    let ways: [(&str, Way); 3] = [("tokio", in_tokio), ("smol", in_smol), ("threads", on_threads)];
    for (name, survey) in ways {
        let start = Instant::now();
        println!("{name:>7}: {}; {} ms", survey()?, start.elapsed().as_millis());
    }
    Ok(())
}
