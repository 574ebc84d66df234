//! Where a bucket of a histogram ends, as Prometheus spells it.

use core::{fmt, iter};

use alloc::format;

use tidegate_core::report::{Histogram, Metric};

/// The upper bound of a bucket, at least 1e-9: the value of the label `le`.
///
/// It is spelled as the section "Canonical Numbers" of [OpenMetrics] asks for, so that the same
/// bound is the same series everywhere.
///
/// [OpenMetrics]: https://prometheus.io/docs/specs/om/open_metrics_spec/
pub(crate) struct Bound(f64);

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == f64::INFINITY {
            f.write_str("+Inf")
        } else {
            // An exponent has two digits in OpenMetrics, in Rust as few as it needs.
            f.write_str(&format!("{:?}", self.0).replace("e-", "e-0"))
        }
    }
}

/// Returns the bound of each bucket of a histogram of `metric`, and how many observations are not
/// above it. The last bound is infinity.
pub(crate) fn cumulative(metric: Metric, buckets: Histogram) -> impl Iterator<Item = (Bound, u64)> {
    let bounds = metric.bounds().iter().copied().chain(iter::once(f64::INFINITY));
    bounds.map(Bound).zip(buckets.cumulative())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Bound;

    /// The examples are those of OpenMetrics.
    #[test]
    fn bounds_are_spelled_as_openmetrics_says() {
        for spelled in ["0.001", "0.01", "0.1", "0.9", "1.0", "1.7", "10.0", "0.0001", "100000.0"] {
            assert_eq!(Bound(spelled.parse().unwrap()).to_string(), spelled);
        }
        for spelled in ["1e-09", "1e-05"] {
            assert_eq!(Bound(spelled.parse().unwrap()).to_string(), spelled);
        }
        assert_eq!(Bound(f64::INFINITY).to_string(), "+Inf");
    }
}
