//! Keys, and the order in which they are asked for: the same in every run, and for every contender.

use std::ops::Range;

/// Returns the key of a rank: a number that does not show the rank.
pub(crate) fn key(rank: usize) -> u64 {
    (rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Returns the keys of some ranks, each once, in an order that does not show the ranks.
pub(crate) fn shuffled(ranks: Range<usize>) -> Vec<u64> {
    let mut keys: Vec<u64> = ranks.map(key).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut keys);
    keys
}

/// Returns `asked` keys of the first `keys` by Zipf's law: rank r is as frequent as r^-0.99.
pub(crate) fn zipf(keys: usize, asked: usize) -> Vec<u64> {
    let mut total = 0.0;
    let below: Vec<f64> = (1..=keys)
        .map(|rank| {
            total += (rank as f64).powf(-0.99);
            total
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(99);
    (0..asked)
        .map(|_| {
            let point = random.f64() * total;
            key(below.partition_point(|&below| below <= point).min(keys - 1))
        })
        .collect()
}
