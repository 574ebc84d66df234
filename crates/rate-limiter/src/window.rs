//! What the two sliding windows share.

use core::{num::NonZeroU32, time::Duration};

use crate::quota::{QuotaError, saturating_nanos};

/// So many tokens in any window of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    pub(crate) limit: NonZeroU32,
    /// Nanoseconds, at least 1.
    pub(crate) length: u64,
}

impl Window {
    /// Creates the rule of at most `limit` tokens, at least 1, in a window of `length`, at least 1 ns.
    pub(crate) const fn new(limit: u32, length: Duration) -> Result<Self, QuotaError> {
        let nanos = saturating_nanos(length);
        match NonZeroU32::new(limit) {
            _ if nanos == 0 => Err(QuotaError::ZeroPeriod),
            None => Err(QuotaError::Rate { tokens: limit, period: length }),
            Some(limit) => Ok(Self { limit, length: nanos }),
        }
    }

    /// Splits a request for `n` tokens, of whatever size, into full windows and a rest of 1 to `limit` tokens. Nobody gets
    /// more than `limit` tokens in a window, so the rest comes at the earliest that many windows after it could alone.
    pub(crate) fn split(self, n: u64) -> (u64, u32) {
        let limit = u64::from(self.limit.get());
        let windows = n.saturating_sub(1) / limit;
        let rest = u32::try_from(n - windows * limit).unwrap_or(u32::MAX);
        (windows.saturating_mul(self.length), rest)
    }
}
