//! One key as a gate.

use core::{fmt, time::Duration};

use tidegate_core::{Clock, Gate, Timer, Timestamp, primitive::Arc};

use super::{Bucket, KeyBucket};
use crate::{
    cell::Shared,
    gate::{Admission, Enter},
    grant::Refused,
};

/// One key of a [`KeyedLimiter`](crate::KeyedLimiter) as a gate, made by [`KeyedLimiter::gate`](crate::KeyedLimiter::gate). The key counts as in use while this lives.
#[must_use = "a gate does nothing until it is entered"]
pub struct KeyGate<'k, C> {
    pub(super) shared: &'k Shared<KeyBucket, C>,
    pub(super) bucket: Arc<Bucket>,
}

impl<C> KeyGate<'_, C> {
    /// Grants nothing to this key before `time`; see [`KeyedLimiter::penalize_until`](crate::KeyedLimiter::penalize_until).
    pub fn penalize_until(&self, time: Timestamp) {
        self.shared.block_until(&self.bucket, time);
    }

    /// Grants nothing to this key for `duration` from this call; see [`KeyedLimiter::penalize_until`](crate::KeyedLimiter::penalize_until).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_rate_limiter::{Gate, KeyedLimiter, ManualClock, Quota};
    ///
    /// let hosts = KeyedLimiter::<u32, _>::with_clock(Quota::per_second(5)?, NonZeroUsize::MIN, ManualClock::new());
    /// let gate = hosts.gate(&1).unwrap();
    /// let _sent = gate.try_enter().unwrap();
    /// // The answer was 429, with Retry-After: 7.
    /// gate.penalize_for(Duration::from_secs(7));
    /// assert_eq!(gate.try_enter().unwrap_err().retry_after(), Some(Duration::from_secs(7)));
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn penalize_for(&self, duration: Duration)
    where
        C: Clock,
    {
        self.penalize_until(self.shared.clock.deadline_after(duration));
    }
}

impl<'a, C: Timer> Gate for &'a KeyGate<'_, C> {
    type Pass = Admission<'a, KeyBucket, C>;
    type Refused = Refused;
    type Enter = Enter<'a, KeyBucket, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        Admission::try_new(self.shared, &self.bucket)
    }

    fn enter(self) -> Self::Enter {
        Enter::new(self.shared, &self.bucket)
    }
}

impl<C> fmt::Debug for KeyGate<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGate").finish_non_exhaustive()
    }
}
