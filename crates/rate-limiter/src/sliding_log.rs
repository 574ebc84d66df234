//! The exact sliding window.

use core::fmt;

use alloc::collections::VecDeque;

use crate::window::{Book, Window};

/// An exact sliding window: a log of what was taken, from which entries are struck once they are a window old.
///
/// No interval as long as the window, wherever it begins, sees more than the limit. The price is memory, 16 bytes for
/// each instant at which tokens were taken, at most `limit` of them and one more, and a short lock instead of one atomic step.
#[derive(Default)]
pub struct Log {
    // INVARIANT: ascending in time, no entry without tokens, and none a window older than the latest turn. What the first one
    // holds is owed in part, or all entries together hold no more than the limit.
    entries: VecDeque<Entry>,
    // INVARIANT: the tokens of all entries. Above the limit only after tokens were owed, or the limit was lowered.
    used: u64,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    tokens: u64,
}

impl Log {
    /// Strikes up to `n` tokens from an entry; returns how many it lacked.
    fn strike_from(&mut self, index: usize, n: u32) -> u32 {
        let Some(entry) = self.entries.get_mut(index) else { return n };
        let struck = u32::try_from(entry.tokens).unwrap_or(u32::MAX).min(n);
        entry.tokens -= u64::from(struck);
        self.used -= u64::from(struck);
        if entry.tokens == 0 {
            self.entries.remove(index);
        }
        n - struck
    }

    /// Takes tokens for younger than they are that nobody waits for: nothing is granted before the latest `limit` of them
    /// begin to leave the window, and the older ones have left by then.
    fn join_debts(&mut self, window: Window) {
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

impl Book for Log {
    fn turn_to(&mut self, window: Window, now: u64) {
        while let Some(entry) = self.entries.front() {
            // Written so that it cannot overflow: no entry is ahead of the time.
            if now - entry.at < window.length {
                break;
            }
            self.used -= entry.tokens;
            self.entries.pop_front();
        }
    }

    fn ready_at(&self, window: Window, now: u64, n: u32) -> u64 {
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

    fn enter(&mut self, window: Window, now: u64, n: u32) {
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

    fn used(&self, _window: Window, _now: u64) -> u32 {
        u32::try_from(self.used).unwrap_or(u32::MAX)
    }

    fn empty_at(&self, window: Window, now: u64) -> u64 {
        self.entries.back().map_or(now, |last| last.at.saturating_add(window.length))
    }

    /// Tokens of unknown age are struck from the oldest entries, which would leave first: that can only be too strict.
    fn strike(&mut self, _window: Window, mut n: u32, taken_at: Option<u64>) {
        match taken_at {
            Some(at) => {
                // Not found: it has left the window, and the tokens are back already.
                if let Ok(index) = self.entries.binary_search_by_key(&at, |entry| entry.at) {
                    self.strike_from(index, n);
                }
            }
            None => {
                while n > 0 && !self.entries.is_empty() {
                    n = self.strike_from(0, n);
                }
            }
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("used", &self.used).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::Log;
    use crate::window::{Book, Window};

    #[test]
    fn a_log_of_debts_holds_no_more_than_its_limit() {
        let window = Window::new(10, Duration::from_secs(3600)).unwrap();
        let mut log = Log::default();
        for now in 0..10_000 {
            log.enter(window, now, 1 + u32::from(now % 3 == 0));
            assert!(log.entries.len() <= 11);
        }
        // What a refusal looks at: the first one.
        assert!(log.used - log.entries[0].tokens < 10);
        assert_eq!(log.used, 13_334);
    }
}
