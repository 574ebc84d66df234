//! Random numbers that a seed repeats.

/// `SplitMix64`: random numbers of 64 bits, the same for the same seed. Not for secrets.
///
/// From Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
///
/// # Examples
///
/// ```
/// use tidegate_core::random::Random;
///
/// let (mut one, mut other) = (Random::new(7), Random::new(7));
/// assert_eq!(one.next_u64(), other.next_u64());
/// assert!(one.below(6) < 6);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Creates the sequence of numbers of a seed.
    #[inline]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next number.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Returns a number below `n`.
    ///
    /// # Panics
    ///
    /// Panics if `n` is 0.
    #[inline]
    pub const fn below(&mut self, n: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "less than n")]
        let below = (self.next_u64() % n as u64) as usize;
        below
    }

    /// Returns true once in `n` calls, on average.
    ///
    /// # Panics
    ///
    /// Panics if `n` is 0.
    #[inline]
    pub const fn is_one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
