//! How long a thread spins for its wake-up before it parks.

use crate::primitive::{parallelism, tuned};

/// Returns whether a thread that polls for a change in a loop may see it come: whether another
/// thread can run meanwhile.
pub fn looking_pays() -> bool {
    parallelism() > 1
}

/// The most polls before a park: some 50 µs, about the time that it takes to wake a parked thread.
///
/// LOOM: one poll shows a model all that many polls would show.
const MOST: u32 = tuned(2000, 1);

/// After so many misses in a row, a thread spins for the longest time once more: its waits may have
/// become short.
const RETRY: u32 = 32;

/// How many polls a thread makes before it parks, learned from how often they succeeded.
///
/// Two context switches cost more than a short spin, so a thread spins first. It begins with the
/// most polls, because two threads that answer each other gain by spinning only if both are awake.
/// Each hit doubles the polls, each miss leaves a quarter, down to none. So a thread whose waits
/// are long parks at once, except in a few of every 32 waits.
///
/// # Examples
///
/// ```
/// use tidegate_core::wait::spin::Spin;
///
/// let first = Spin::new();
/// assert!(first.after(false).polls() < first.polls());
/// assert_eq!(first.after(false).after(true).polls(), 2 * first.after(false).polls());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spin {
    polls: u32,
    // Misses in a row, modulo `RETRY`.
    misses: u32,
}

impl Spin {
    /// Creates a spin that begins with the most polls.
    pub const fn new() -> Self {
        Self { polls: MOST, misses: 0 }
    }

    /// Returns how many polls the next wait may take before it parks.
    pub fn polls(self) -> u32 {
        self.polls
    }

    /// Returns what is learned from a wait: `hit` says whether its wake-up came while the thread
    /// spun.
    #[must_use]
    pub fn after(self, hit: bool) -> Self {
        if hit {
            return Self { polls: (2 * self.polls).min(MOST), misses: 0 };
        }
        let misses = (self.misses + 1) % RETRY;
        Self { polls: if misses == 0 { MOST } else { self.polls / 4 }, misses }
    }
}

impl Default for Spin {
    fn default() -> Self {
        Self::new()
    }
}
