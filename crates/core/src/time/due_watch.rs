//! A deadline for a loop that may always find work.

use core::{fmt, time::Duration};

use super::Timestamp;

/// The most steps between two readings of the clock.
const MOST: u32 = 64;

/// Says when a deadline has come, for a loop that always finds something ready. It reads the clock
/// at each step. While a step takes only a small part of the delay, it does so less often, but at
/// least at one step of 64.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Timestamp, time::DueWatch};
///
/// let mut watch = DueWatch::new(Timestamp::from_nanos(0), Duration::from_nanos(100));
/// // Steps of 40 ns.
/// let due = (1..).find(|step| watch.is_due(|| Timestamp::from_nanos(40 * step)));
/// assert_eq!(due, Some(3));
/// ```
#[derive(Clone, Copy)]
pub struct DueWatch {
    deadline: Timestamp,
    /// If two readings are less than this apart, the next ones may be more steps apart.
    little: Duration,
    last: Timestamp,
    stride: u32,
    left: u32,
}

impl DueWatch {
    /// Watches for the end of `delay`, which begins at `now`.
    pub fn new(now: Timestamp, delay: Duration) -> Self {
        Self { deadline: now + delay, little: delay / 16, last: now, stride: 1, left: 1 }
    }

    /// Watches for a deadline.
    pub fn until(deadline: Timestamp, now: Timestamp) -> Self {
        Self { deadline, ..Self::new(now, deadline.since(now)) }
    }

    /// Takes a step; returns whether it has read the clock and found that the deadline has come.
    #[inline]
    pub fn is_due(&mut self, now: impl FnOnce() -> Timestamp) -> bool {
        if self.left > 1 {
            self.left -= 1;
            return false;
        }
        // If the clock panics, the next step reads it again.
        self.look(now())
    }

    #[cold]
    fn look(&mut self, now: Timestamp) -> bool {
        let is_fast = now.since(self.last) < self.little;
        self.stride = if is_fast { (2 * self.stride).min(MOST) } else { 1 };
        (self.last, self.left) = (now, self.stride);
        now >= self.deadline
    }
}

impl fmt::Debug for DueWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DueWatch").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
