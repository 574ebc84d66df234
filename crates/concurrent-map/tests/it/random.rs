//! Numbers from a seed that is printed; `TIDEGATE_SEED=…` in the environment takes it again.

use std::time::{SystemTime, UNIX_EPOCH};

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `n`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ mixed >> 31) % u64::from(n)).unwrap()
    }
}

/// Returns the seed of this run and prints how to have it again.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("TIDEGATE_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let nanos = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() % 1_000_000;
    let seed = seed.unwrap_or_else(|| u64::try_from(nanos()).unwrap());
    println!("TIDEGATE_SEED={seed}");
    seed
}
