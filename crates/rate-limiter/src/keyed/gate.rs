//! One key as a gate.

use core::{fmt, time::Duration};

use tidegate_core::{Clock, Gate, Timer, Timestamp};

use super::{acquire::KeyRef, bucket::KeyBucket};
use crate::{
    gate::{Admission, Admitted, Enter, Entering},
    grant::Refused,
    state::LimiterRef as _,
};

/// One key of a [`KeyedLimiter`](crate::KeyedLimiter) as a gate, returned by
/// [`KeyedLimiter::gate`](crate::KeyedLimiter::gate). The key counts as in use while the gate
/// lives.
#[must_use = "a gate does nothing until it is entered"]
pub struct KeyGate<'k, C> {
    pub(super) key: KeyRef<'k, C>,
}

impl<C> KeyGate<'_, C> {
    /// Grants nothing to this key before `time`; see
    /// [`KeyedLimiter::penalize_until`](crate::KeyedLimiter::penalize_until).
    pub fn penalize_until(&self, time: Timestamp) {
        self.key.state_ref().block_until(time);
    }

    /// Grants nothing to this key for `duration` from this call; see
    /// [`KeyedLimiter::penalize_until`](crate::KeyedLimiter::penalize_until).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_rate_limiter::{Gate, KeyedLimiter, ManualClock, Quota};
    ///
    /// let (quota, clock) = (Quota::per_second(5), ManualClock::new());
    /// let hosts = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, clock);
    /// let gate = hosts.gate(&1).unwrap();
    /// let _sent = gate.try_enter().unwrap();
    /// // The answer was 429, with Retry-After: 7.
    /// gate.penalize_for(Duration::from_secs(7));
    /// let refused = gate.try_enter().unwrap_err();
    /// assert_eq!(refused.retry_after(), Some(Duration::from_secs(7)));
    /// ```
    pub fn penalize_for(&self, duration: Duration)
    where
        C: Clock,
    {
        self.penalize_until(self.key.shared.clock.deadline_after(duration));
    }
}

impl<'a, C: Timer> Gate for &'a KeyGate<'_, C> {
    type Pass = Admission<'a, KeyBucket, C>;
    type Refused = Refused;
    type Enter = Enter<'a, KeyBucket, C>;

    fn try_enter(self) -> Result<Self::Pass, Refused> {
        Admitted::try_new(self.key.state_ref())
    }

    fn enter(self) -> Self::Enter {
        Entering::new(self.key.state_ref())
    }
}

impl<C> fmt::Debug for KeyGate<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGate").finish_non_exhaustive()
    }
}
