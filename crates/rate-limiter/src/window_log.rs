//! The exact sliding window.

use alloc::collections::VecDeque;

use crate::window::{WindowLimit, WindowRecord};

/// An exact sliding window: a log of what was taken, without the entries that are a window old.
///
/// No interval as long as the window sees more than the limit, wherever it begins. The price is a
/// short lock instead of one atomic step, and memory: 16 bytes for each instant at which tokens
/// were taken, of which it keeps at most `limit + 1`.
#[derive(Debug, Default)]
pub struct WindowLog {
    // INVARIANT: ascending in time and in their totals, none without tokens, and none a window
    // older than the latest call. A call that takes tokens leaves at most one more than the limit.
    entries: VecDeque<Entry>,
    /// How many tokens have left the window. Like the totals of the entries, it wraps around.
    left: u64,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    /// How many tokens were taken up to this time and not refunded. A binary search for a total
    /// finds when so many tokens have left.
    total: u64,
}

impl WindowLog {
    fn total(&self) -> u64 {
        self.entries.back().map_or(self.left, |last| last.total)
    }

    /// Returns how many tokens the entries hold: above the limit only with a debt, or after the
    /// limit was lowered.
    fn tokens(&self) -> u64 {
        self.total().wrapping_sub(self.left)
    }

    /// Removes up to `n` tokens from an entry.
    fn remove_from(&mut self, index: usize, n: u64) {
        let before = index.checked_sub(1).map_or(self.left, |it| self.entries[it].total);
        let removed = n.min(self.entries[index].total.wrapping_sub(before));
        for entry in self.entries.range_mut(index..) {
            entry.total = entry.total.wrapping_sub(removed);
        }
        if self.entries[index].total == before {
            self.entries.remove(index);
        }
    }

    /// Removes up to `n` tokens, the oldest ones.
    fn remove_oldest(&mut self, n: u64) {
        let mut rest = self.tokens().min(n);
        while let Some(first) = self.entries.front() {
            let tokens = first.total.wrapping_sub(self.left);
            if tokens > rest {
                break;
            }
            rest -= tokens;
            self.left = first.total;
            self.entries.pop_front();
        }
        self.left = self.left.wrapping_add(rest);
    }
}

impl WindowRecord for WindowLog {
    fn advance_to(&mut self, window: WindowLimit, now: u64) {
        while let Some(entry) = self.entries.front() {
            // This cannot overflow: no entry is later than `now`.
            if now - entry.at < window.length {
                break;
            }
            self.left = entry.total;
            self.entries.pop_front();
        }
    }

    fn ready_at(&self, window: WindowLimit, now: u64, n: u32) -> u64 {
        let too_many = (self.tokens() + u64::from(n)).saturating_sub(window.limit.get().into());
        if too_many == 0 {
            return now;
        }
        // The entry with which the last of these surplus tokens leaves the window.
        let leaves_before = |entry: &Entry| entry.total.wrapping_sub(self.left) < too_many;
        let index = self.entries.partition_point(leaves_before);
        self.entries.get(index).map_or(now, |entry| entry.at.saturating_add(window.length))
    }

    fn add(&mut self, window: WindowLimit, now: u64, n: u32) {
        if n == 0 {
            return;
        }
        let total = self.total().wrapping_add(n.into());
        match self.entries.back_mut() {
            Some(last) if last.at == now => last.total = total,
            _ => self.entries.push_back(Entry { at: now, total }),
        }
        // The oldest tokens of a long debt count as if they were as young as the ones after them.
        // Nothing is granted before all of these have left the window, so no answer changes, unless
        // younger ones are refunded: then the limiter is too strict.
        let most = usize::try_from(window.limit.get()).unwrap_or(usize::MAX);
        while self.entries.len() - 1 > most {
            self.entries.pop_front();
        }
    }

    fn used(&self, _window: WindowLimit, _now: u64) -> u32 {
        u32::try_from(self.tokens()).unwrap_or(u32::MAX)
    }

    fn empty_at(&self, window: WindowLimit, now: u64) -> u64 {
        self.entries.back().map_or(now, |last| last.at.saturating_add(window.length))
    }

    /// Removes tokens of unknown age from the oldest entries, which leave first: so the limiter can
    /// only become too strict.
    fn refund(&mut self, _window: WindowLimit, n: u32, taken_at: Option<u64>) {
        match taken_at {
            Some(at) => {
                // One that is not found has left the window, or `add` has joined it to the next.
                if let Ok(index) = self.entries.binary_search_by_key(&at, |entry| entry.at) {
                    self.remove_from(index, n.into());
                }
            }
            None => self.remove_oldest(n.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::time::Duration;

    use proptest::prelude::*;

    use super::WindowLog;
    use crate::window::{WindowLimit, WindowRecord};

    #[test]
    fn a_log_of_debts_holds_no_more_than_its_limit() {
        let window = WindowLimit::new(10, Duration::from_secs(3600)).unwrap();
        let mut log = WindowLog::default();
        for now in 0..10_000 {
            log.add(window, now, 1 + u32::from(now % 3 == 0));
            assert_eq!(log.entries.len() as u64, (now + 1).min(11));
        }
        assert_eq!(log.tokens(), 13_334);
        // The tenth token from the end was taken at 9,993.
        assert_eq!(log.ready_at(window, 10_000, 1), 9_993 + window.length);
    }

    #[test]
    fn an_entry_of_which_no_token_is_left_is_removed() {
        let window = WindowLimit::new(10, Duration::from_secs(1)).unwrap();
        let mut log = WindowLog::default();
        for (now, n) in [(0, 2), (1, 3), (2, 1)] {
            log.add(window, now, n);
        }
        log.refund(window, 2, None);
        assert_eq!((log.entries.len(), log.tokens()), (2, 4));
        log.refund(window, 1, Some(2));
        assert_eq!((log.entries.len(), log.tokens()), (1, 3));
        log.refund(window, 9, None);
        assert_eq!((log.entries.len(), log.tokens()), (0, 0));
    }

    /// Each token with the time at which it was taken.
    struct Paper(Vec<u64>);

    impl Paper {
        fn ready_at(&self, window: WindowLimit, now: u64, n: u32) -> u64 {
            let room = (window.limit.get() - n) as usize;
            let in_the_way = self.0.len().checked_sub(room + 1);
            in_the_way.map_or(now, |last| self.0[last] + window.length)
        }
    }

    proptest! {
        /// Debts are taken and refunded in any order: with the time at which they were taken, or
        /// without, and then they count as the oldest.
        #[test]
        fn a_debt_keeps_the_age_of_each_token(
            steps in prop::collection::vec((0..8u64, 0..9u32, 0..4u8), 1..40),
        ) {
            let window = WindowLimit::new(40, Duration::from_nanos(100)).unwrap();
            // Its totals wrap around.
            let mut log = WindowLog { left: u64::MAX - 30, ..WindowLog::default() };
            let (mut paper, mut now) = (Paper(Vec::new()), 0);
            for (later, n, what) in steps {
                now += later;
                log.advance_to(window, now);
                paper.0.retain(|at| now - at < window.length);
                if what < 2 {
                    let n = n * 5;
                    log.add(window, now, n);
                    paper.0.extend((0..n).map(|_| now));
                } else if what == 2 {
                    log.refund(window, n, None);
                    paper.0.drain(..paper.0.len().min(n as usize));
                } else if let Some(&at) = paper.0.get(n as usize * 7 % (paper.0.len() + 1)) {
                    log.refund(window, n, Some(at));
                    let taken = paper.0.iter().filter(|taken| **taken == at).count();
                    let first = paper.0.partition_point(|taken| *taken < at);
                    paper.0.drain(first..first + taken.min(n as usize));
                }
                prop_assert_eq!(log.used(window, now) as usize, paper.0.len());
                for n in [1, 7, 40] {
                    prop_assert_eq!(log.ready_at(window, now, n), paper.ready_at(window, now, n));
                }
            }
        }
    }
}
