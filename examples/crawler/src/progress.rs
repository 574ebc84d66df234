//! The live line.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// What the crawl tells while it runs. Written from everywhere, read a few times a second.
#[derive(Debug, Default)]
pub struct Live {
    /// Pages stored.
    pub stored: Count,
    /// Addresses accounted for.
    pub accounted: Count,
    /// Requests under way.
    pub in_flight: Count,
    /// Tries after the first.
    pub retries: Count,
    /// Addresses known and not yet begun.
    pub waiting: Count,
    breakers: Mutex<String>,
}

/// A number that many threads change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

// ORDERING: Relaxed throughout: the numbers are for the eye and publish nothing.
impl Count {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes away what was added before.
    pub fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Replaces.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number at some moment, taken as nanoseconds.
    pub fn as_nanos(&self) -> Duration {
        Duration::from_nanos(self.value())
    }

    /// The number at some moment.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Live {
    /// Sets the state of the breakers, such as `closed`.
    pub fn set_breakers(&self, state: impl Into<String>) {
        *self.breakers.lock().unwrap_or_else(PoisonError::into_inner) = state.into();
    }

    fn line(&self, elapsed: Duration) -> String {
        let (stored, accounted) = (self.stored.value(), self.accounted.value());
        let rate = stored as f64 / elapsed.as_secs_f64().max(1e-3);
        let mut line = format!("{stored} pages  {rate:.0}/s  {} in flight", self.in_flight.value());
        let rest = [("waiting", &self.waiting), ("retries", &self.retries)];
        for (name, count) in rest {
            _ = write!(line, "  {} {name}", count.value());
        }
        _ = write!(line, "  {accounted} without page");
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if !breakers.is_empty() {
            _ = write!(line, "  breaker {breakers}");
        }
        line
    }
}

/// The line on standard error. A thread of its own redraws it until this is dropped; it is not
/// drawn where nobody sees it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts to draw, unless `quiet` or standard error is not a terminal. With `limit`, a bar
    /// shows how far it is to that many pages.
    pub fn start(live: Arc<Live>, limit: Option<u64>, quiet: bool) -> Progress {
        if quiet || !stderr().is_terminal() {
            return Progress { bar: ProgressBar::hidden() };
        }
        let template = match limit {
            Some(_) => "{spinner} {elapsed_precise} {live_bar} {live}",
            None => "{spinner} {elapsed_precise} {live}",
        };
        let counted = Arc::clone(&live);
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant")
            .with_key("live", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                _ = out.write_str(&live.line(state.elapsed()));
            })
            .with_key("live_bar", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                _ = out.write_str(&bar(counted.stored.value(), limit.unwrap_or_default()));
            });
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress { bar }
    }

    /// Prints a line above the live one.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.println(line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn bar(done: u64, of: u64) -> String {
    const WIDTH: u64 = 24;
    let full = (done.min(of) * WIDTH).checked_div(of).unwrap_or_default();
    (0..WIDTH).map(|n| if n < full { '█' } else { '░' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_the_counts() {
        let live = Live::default();
        live.stored.add(100);
        live.in_flight.add(3);
        live.in_flight.subtract(1);
        live.set_breakers("closed");
        let line = live.line(Duration::from_secs(2));
        for part in ["100 pages", "50/s", "2 in flight", "0 retries", "breaker closed"] {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    }

    #[test]
    fn the_bar_is_full_at_the_end() {
        assert_eq!(bar(7, 7).matches('█').count(), 24);
        assert_eq!(bar(0, 0).matches('█').count(), 0);
        assert_eq!(bar(9, 7), bar(7, 7));
    }
}
