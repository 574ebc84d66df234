//! What each algorithm makes of a round, in numbers.

use std::{sync::Arc, time::Duration};

use tidegate_semaphore::{
    ManualClock,
    adaptive::{AdaptiveSemaphore, Aimd, Gradient2, LimitAlgorithm, Permit, Vegas},
};

/// An adaptive limit, and the clock that it is measured by.
struct Server<A: LimitAlgorithm>(AdaptiveSemaphore<A, ManualClock>, ManualClock);

impl<A: LimitAlgorithm> Server<A> {
    fn new(algorithm: A, initial: usize, max: usize) -> Self {
        let clock = ManualClock::new();
        let builder = AdaptiveSemaphore::builder(algorithm).initial(initial).max(max);
        Self(builder.min_samples(1).clock(clock.clone()).build().unwrap(), clock)
    }

    /// Answers `n` requests at once, or as many as are let in; returns the limit.
    fn answer(&self, n: usize, millis: u64) -> usize {
        let permits: Vec<_> = (0..n).map_while(|_| self.0.try_acquire().ok()).collect();
        self.1.advance(Duration::from_millis(millis));
        permits.into_iter().for_each(Permit::success);
        self.0.limit()
    }

    /// Answers as many requests at once as the limit lets in.
    fn round(&self, millis: u64) -> usize {
        self.answer(self.0.limit(), millis)
    }
}

#[test]
fn a_drop_that_an_owned_permit_tells_of_counts() {
    let Server(limit, _) = Server::new(Aimd::new(), 20, 200);
    let limit = Arc::new(limit);
    limit.clone().try_acquire_owned().unwrap().dropped();
    assert_eq!(limit.limit(), 18);
}

#[test]
fn a_mean_of_just_the_timeout_is_in_time() {
    let server = || Server::new(Aimd::new().timeout(Duration::from_millis(10)), 20, 200);
    assert_eq!((server().round(10), server().round(11)), (21, 18));
}

#[test]
fn vegas_goes_by_the_queue_that_the_latency_shows() {
    let after = |initial, no_load, latency| {
        let server = Server::new(Vegas::new(), initial, 200);
        // Only one at a time: the limit stays, and the latency is that without a queue.
        (0..initial).for_each(|_| assert_eq!(server.answer(1, no_load), initial));
        server.round(latency)
    };
    // The limit stays for a queue of three to six.
    let around_12 = [800, 900, 1000, 1500, 1700].map(|latency| after(12, 750, latency));
    assert_eq!(around_12, [18, 13, 12, 12, 11]);
    // The bounds are multiplied by log₁₀ 100 = 2: the limit stays for a queue of six to twelve.
    let around_100 = [1010, 1060, 1100, 1140, 1400].map(|latency| after(100, 1000, latency));
    assert_eq!(around_100, [112, 102, 100, 98, 91]);
}

/// Returns the limit, at most 1000, after rounds of these latencies. A round that is no slower than
/// the average adds one.
fn gradient_after(latencies: &[u64]) -> usize {
    let gradient = Gradient2::new().tolerance(1.0).smoothing(1.0).queue(1).long_window(19);
    let server = Server::new(gradient, 1000, 1000);
    latencies.iter().fold(1000, |_, &latency| server.round(latency))
}

#[test]
fn the_average_of_gradient2_is_a_mean_that_becomes_an_exponential_one() {
    assert_eq!(gradient_after(&[1000, 1600]), 813, "an average of 1300");
    let mut latencies = vec![1000; 10];
    latencies.push(2100);
    assert_eq!(gradient_after(&latencies), 529, "an average of 1110");
}

#[test]
fn an_average_above_twice_the_latency_decays() {
    assert_eq!(gradient_after(&[300, 100, 400]), 667, "200 was just twice the latency");
    assert_eq!(gradient_after(&[300, 200, 450]), 704, "250 was less than that");
    assert_eq!(gradient_after(&[400, 100, 450]), 686, "250 was more, and became 237.5");
}

#[test]
fn the_limit_of_gradient2_goes_a_part_of_its_way() {
    let gradient = Gradient2::new().smoothing(0.5).queue(10);
    assert_eq!(Server::new(gradient, 100, 200).round(10), 105);
}
