//! Random numbers for keys and values.

use tidegate_core::random::Random;

/// Returns a random number below `n`.
pub(crate) fn below(random: &mut Random, n: u32) -> u32 {
    u32::try_from(random.below(n as usize)).unwrap()
}
