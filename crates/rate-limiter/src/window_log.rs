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
    // INVARIANT: ascending in time, no entry without tokens, and none a window older than the
    // latest call. The entries hold no more tokens than the limit, unless a part of the first one
    // is a debt or the limit was lowered.
    entries: VecDeque<Entry>,
    // INVARIANT: the tokens of all entries. They are above the limit only with a debt or after the
    // limit was lowered.
    used: u64,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    tokens: u64,
}

impl WindowLog {
    /// Removes up to `n` tokens from an entry. Returns how many of them the entry lacked.
    fn remove_from(&mut self, index: usize, n: u32) -> u32 {
        let Some(entry) = self.entries.get_mut(index) else { return n };
        let removed = u32::try_from(entry.tokens).unwrap_or(u32::MAX).min(n);
        entry.tokens -= u64::from(removed);
        self.used -= u64::from(removed);
        if entry.tokens == 0 {
            self.entries.remove(index);
        }
        n - removed
    }

    /// Joins the oldest entries of a debt to the ones after them, as if their tokens were younger.
    /// That changes no answer: nothing is granted before the latest `limit` tokens begin to leave
    /// the window, and the older tokens have left by then.
    fn join_debts(&mut self, window: WindowLimit) {
        while let [Some(first), Some(second)] = [0, 1].map(|index| self.entries.get(index)) {
            if self.used - first.tokens < u64::from(window.limit.get()) {
                break;
            }
            let joined = Entry { at: second.at, tokens: first.tokens + second.tokens };
            self.entries.pop_front();
            self.entries[0] = joined;
        }
    }
}

impl WindowRecord for WindowLog {
    fn advance_to(&mut self, window: WindowLimit, now: u64) {
        while let Some(entry) = self.entries.front() {
            // This cannot overflow: no entry is later than `now`.
            if now - entry.at < window.length {
                break;
            }
            self.used -= entry.tokens;
            self.entries.pop_front();
        }
    }

    fn ready_at(&self, window: WindowLimit, now: u64, n: u32) -> u64 {
        let mut in_the_way = (self.used + u64::from(n)).saturating_sub(window.limit.get().into());
        let mut ready = now;
        for entry in &self.entries {
            if in_the_way == 0 {
                break;
            }
            in_the_way = in_the_way.saturating_sub(entry.tokens);
            ready = entry.at.saturating_add(window.length);
        }
        ready
    }

    fn add(&mut self, window: WindowLimit, now: u64, n: u32) {
        if n == 0 {
            return;
        }
        self.used += u64::from(n);
        match self.entries.back_mut() {
            Some(last) if last.at == now => last.tokens += u64::from(n),
            _ => self.entries.push_back(Entry { at: now, tokens: n.into() }),
        }
        self.join_debts(window);
    }

    fn used(&self, _window: WindowLimit, _now: u64) -> u32 {
        u32::try_from(self.used).unwrap_or(u32::MAX)
    }

    fn empty_at(&self, window: WindowLimit, now: u64) -> u64 {
        self.entries.back().map_or(now, |last| last.at.saturating_add(window.length))
    }

    /// Removes tokens of unknown age from the oldest entries, which leave first: so the limiter can
    /// only become too strict.
    fn refund(&mut self, _window: WindowLimit, mut n: u32, taken_at: Option<u64>) {
        match taken_at {
            Some(at) => {
                // An entry that is not found has left the window: its tokens no longer count.
                if let Ok(index) = self.entries.binary_search_by_key(&at, |entry| entry.at) {
                    self.remove_from(index, n);
                }
            }
            None => {
                while n > 0 && !self.entries.is_empty() {
                    n = self.remove_from(0, n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::WindowLog;
    use crate::window::{WindowLimit, WindowRecord};

    #[test]
    fn a_log_of_debts_holds_no_more_than_its_limit() {
        let window = WindowLimit::new(10, Duration::from_secs(3600)).unwrap();
        let mut log = WindowLog::default();
        for now in 0..10_000 {
            log.add(window, now, 1 + u32::from(now % 3 == 0));
            assert!(log.entries.len() <= 11);
        }
        // A refusal reads only the first entry.
        assert!(log.used - log.entries[0].tokens < 10);
        assert_eq!(log.used, 13_334);
    }
}
