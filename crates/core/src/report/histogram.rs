//! Histograms: how many waits, or batches, were how large.

use core::{array, fmt, time::Duration};

/// How many buckets a [`Histogram`] has: one for each bound, and one for what is above all bounds.
pub const BUCKETS: usize = 16;

/// The upper bounds of the buckets of waits, in seconds: the default buckets of [Prometheus'
/// clients][defaults] from 5 ms to 10 s, and below these the powers of ten from 1 µs, for which
/// [OpenMetrics][numbers] has a canonical spelling (in its section "Canonical Numbers").
///
/// [defaults]: https://pkg.go.dev/github.com/prometheus/client_golang/prometheus#pkg-variables
/// [numbers]: https://prometheus.io/docs/specs/om/open_metrics_spec/
pub(super) static WAIT_BOUNDS: [f64; BUCKETS - 1] =
    [1e-6, 1e-5, 1e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// `WAIT_BOUNDS`, in nanoseconds.
static WAIT_NANOS: [u64; BUCKETS - 1] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// The upper bounds of the buckets of batches, in items: the powers of two. They are the same for
/// every batcher, whatever its largest batch, as Prometheus adds up only buckets of equal bounds.
pub(super) static ITEM_BOUNDS: [f64; BUCKETS - 1] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0,
    16384.0,
];

/// How many observations fell into each bucket: waits by their length, or batches by their size.
/// The buckets end where [`Metric::bounds`](super::Metric::bounds) says.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::report::{Histogram, Metric};
///
/// let mut waits = Histogram::default();
/// waits.add_wait(Duration::from_millis(5));
/// waits.add_wait(Duration::from_secs(60));
/// let within_10_ms = Metric::Wait.bounds().iter().position(|bound| *bound == 0.01).unwrap();
/// assert_eq!(waits.cumulative()[within_10_ms], 1);
/// assert_eq!(waits.total(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Histogram {
    /// Creates a histogram from the count of each bucket: `counts[i]` are above bound `i - 1`, and
    /// not above bound `i`.
    pub const fn from_counts(counts: [u64; BUCKETS]) -> Self {
        Self { counts }
    }

    /// Returns the count of each bucket. The last one is of what is above all bounds.
    pub const fn counts(&self) -> [u64; BUCKETS] {
        self.counts
    }

    /// Returns for each bound how many observations are not above it, and at last how many there
    /// are: the buckets of Prometheus.
    pub fn cumulative(&self) -> [u64; BUCKETS] {
        let mut sum: u64 = 0;
        self.counts.map(|count| {
            sum = sum.wrapping_add(count);
            sum
        })
    }

    /// Returns how many observations there are.
    pub fn total(&self) -> u64 {
        self.cumulative()[BUCKETS - 1]
    }

    /// Returns the larger count of each bucket.
    pub fn max(&self, other: &Self) -> Self {
        Self { counts: array::from_fn(|bucket| self.counts[bucket].max(other.counts[bucket])) }
    }

    /// Counts a wait of this length.
    pub fn add_wait(&mut self, waited: Duration) {
        self.add(Self::bucket_of_wait(waited));
    }

    /// Counts a batch of `items` items.
    pub fn add_batch(&mut self, items: usize) {
        self.add(Self::bucket_of_batch(items));
    }

    fn add(&mut self, bucket: usize) {
        self.counts[bucket] = self.counts[bucket].wrapping_add(1);
    }

    /// Returns the bucket of a wait of this length: an index of [`counts`](Self::counts).
    pub fn bucket_of_wait(waited: Duration) -> usize {
        let nanos = waited.as_nanos();
        WAIT_NANOS.partition_point(|bound| u128::from(*bound) < nanos)
    }

    /// Returns the bucket of a batch of `items` items: an index of [`counts`](Self::counts).
    pub fn bucket_of_batch(items: usize) -> usize {
        // The least power of two that is not below `items` has as many zeros as `items - 1` has
        // digits.
        let digits = usize::BITS - items.saturating_sub(1).leading_zeros();
        (digits as usize).min(BUCKETS - 1)
    }
}

/// Shows the buckets that are not empty, by their index.
impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        f.debug_map().entries(filled).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_that_it_ends() {
        for (at, bound) in WAIT_NANOS.into_iter().enumerate() {
            assert_eq!(Duration::from_nanos(bound).as_secs_f64(), WAIT_BOUNDS[at]);
            for (nanos, bucket) in [(bound - 1, at), (bound, at), (bound + 1, at + 1)] {
                assert_eq!(Histogram::bucket_of_wait(Duration::from_nanos(nanos)), bucket);
            }
        }
        assert_eq!(Histogram::bucket_of_wait(Duration::ZERO), 0);
        assert_eq!(Histogram::bucket_of_wait(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_buckets_of_batches_end_at_powers_of_two() {
        for items in 0..40_000_usize {
            let fits = |bound: &f64| items as f64 <= *bound;
            let bucket = ITEM_BOUNDS.iter().position(fits).unwrap_or(BUCKETS - 1);
            assert_eq!(Histogram::bucket_of_batch(items), bucket, "{items}");
        }
        assert_eq!(Histogram::bucket_of_batch(usize::MAX), BUCKETS - 1);
    }

    #[test]
    fn cumulative_counts_end_with_the_total() {
        let mut batches = Histogram::default();
        for items in [1, 2, 3, 4, 1_000_000] {
            batches.add_batch(items);
        }
        let mut counts = [0; BUCKETS];
        (counts[0], counts[1], counts[2], counts[15]) = (1, 1, 2, 1);
        assert_eq!(batches.counts(), counts);
        assert_eq!(batches, Histogram::from_counts(counts));
        let cumulative = [1, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5];
        assert_eq!((batches.cumulative(), batches.total()), (cumulative, 5));
        assert_eq!(alloc::format!("{batches:?}"), "{0: 1, 1: 1, 2: 2, 15: 1}");
    }
}
