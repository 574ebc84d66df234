//! How long to pause before a batch that failed is tried again.

use core::time::Duration;

/// Makes the pauses for [`Builder::retry`](crate::Builder::retry): up to `retries` calls after the first, with a pause
/// of `first` that doubles from one to the next and is never longer than `longest`.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_batch_processor::{Batcher, SubmitError, Wait, backoff};
///
/// let (batcher, driver) = Batcher::builder()
///     .retry(backoff(2, Duration::from_millis(1), Duration::from_secs(1)))
///     .build_on_thread(|_: Vec<u8>| Err::<Vec<()>, _>("down"))?;
/// let error = batcher.submit(7).wait().unwrap_err();
/// assert_eq!(error.batch_error().unwrap().handler_error(), Some(&"down"));
/// assert_eq!(batcher.stats().retries, 2);
/// # drop(batcher);
/// # driver.join();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
pub const fn backoff(retries: u32, first: Duration, longest: Duration) -> Backoff {
    Backoff { retries, first, longest, jitter: None }
}

/// Pauses between the calls for one batch, made by [`backoff`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    retries: u32,
    first: Duration,
    longest: Duration,
    /// The state of SplitMix64 (Steele, Lea and Flood, 2014).
    jitter: Option<u64>,
}

impl Backoff {
    /// Makes each pause a random part of itself, so that batchers which failed together do not try again together:
    /// "full jitter" (Brooker, AWS, 2015). The same seed gives the same pauses.
    pub const fn jitter(self, seed: u64) -> Self {
        Self { jitter: Some(seed), ..self }
    }

    /// Returns how many calls there are after the first, at most.
    pub(crate) const fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the pause after so many failures, from 1; `None` if there is no other call.
    pub(crate) fn pause(&mut self, failures: u32) -> Option<Duration> {
        if failures > self.retries {
            return None;
        }
        let pause = self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        let pause = pause.min(self.longest);
        Some(match &mut self.jitter {
            None => pause,
            Some(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                part(pause, mix(*state))
            }
        })
    }
}

/// Returns `random / 2^64` of `pause`, rounded down to the nanosecond.
fn part(pause: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(nanos) * u128::from(random)) >> 64) as u64)
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let mut plan = backoff(5, MILLI, 6 * MILLI);
        let pauses = (1..=6).map(|failures| plan.pause(failures).map(|p| p.as_millis()));
        assert!(pauses.eq([Some(1), Some(2), Some(4), Some(6), Some(6), None]));
        assert_eq!(backoff(u32::MAX, MILLI, Duration::MAX).pause(u32::MAX), Some(MILLI * u32::MAX));
    }

    #[test]
    fn jittered_pauses_are_parts_of_themselves_and_the_seed_repeats_them() {
        let pauses = |seed| {
            let mut plan = backoff(100, 8 * MILLI, 8 * MILLI).jitter(seed);
            [(); 100].map(|()| plan.pause(1).unwrap())
        };
        assert!(pauses(1).iter().all(|pause| *pause <= 8 * MILLI));
        // Full jitter: on both sides of the middle.
        assert!((20..80).contains(&pauses(1).iter().filter(|pause| **pause < 4 * MILLI).count()));
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }
}
