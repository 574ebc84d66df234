//! Bad hash functions.

use std::hash::Hasher;

/// Sends every key to the same shard and bucket.
#[derive(Default)]
pub(crate) struct Constant;

impl Hasher for Constant {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0xABCD
    }
}

/// A number is its own hash, so that consecutive keys lie in consecutive buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }

    fn write_u16(&mut self, n: u16) {
        self.0 = n.into();
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
