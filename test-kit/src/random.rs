//! Random numbers from a seed that is printed.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_core::random::Random;

/// Returns the seed of this run, and prints how to set it for another run: `TIDEGATE_SEED=…` in the
/// environment.
pub fn seed() -> u64 {
    let given = std::env::var("TIDEGATE_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = given.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
        u64::from(since.subsec_nanos())
    });
    println!("TIDEGATE_SEED={seed}");
    seed
}

/// Returns random numbers from the [`seed`] of this run.
pub fn random() -> Random {
    Random::new(seed())
}
