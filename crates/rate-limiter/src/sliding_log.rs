//! The exact sliding window.

use alloc::collections::VecDeque;

use tidegate_core::{Timestamp, const_fn, lock::Lock};

use crate::{algorithm::Count, grant::Grant, pace::Pace, window::Window};

/// An exact sliding window: a log of what was taken, from which entries are struck once they are a window old.
///
/// No interval as long as the window, wherever it begins, sees more than the limit. The price is memory, 16 bytes for
/// each instant at which tokens were taken, at most `limit` of them, and a short lock instead of one atomic step.
#[derive(Debug, Default)]
pub struct Log {
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    // INVARIANT: strictly ascending in time, no entry without tokens, and none that is a window older than `latest`.
    entries: VecDeque<Entry>,
    // INVARIANT: the tokens of all entries; not above the limit.
    used: u32,
    /// The latest time seen. Whoever comes with an earlier one is served as of this.
    latest: u64,
    /// Nothing is granted before.
    blocked_until: u64,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    tokens: u32,
}

impl Log {
    const_fn! {
        /// Creates an empty log. Does not allocate.
        pub fn new() -> Self {
            Self { state: Lock::new(State::new()) }
        }
    }
}

impl State {
    const fn new() -> Self {
        Self { entries: VecDeque::new(), used: 0, latest: 0, blocked_until: 0 }
    }

    /// Strikes what has left the window.
    fn advance(&mut self, window: Window, now: Timestamp) {
        self.latest = self.latest.max(now.as_nanos());
        while let Some(entry) = self.entries.front() {
            // Written so that it cannot overflow; a log is never ahead of `latest`.
            if self.latest - entry.at < window.length {
                break;
            }
            self.used -= entry.tokens;
            self.entries.pop_front();
        }
    }

    /// Returns when `n` tokens, at most the limit, fit beside those that are still in the window then.
    fn ready_at(&self, window: Window, n: u32) -> u64 {
        let mut in_the_way = n.saturating_sub(window.limit.get() - self.used);
        let mut ready = self.latest;
        for entry in &self.entries {
            if in_the_way == 0 {
                break;
            }
            in_the_way = in_the_way.saturating_sub(entry.tokens);
            ready = entry.at.saturating_add(window.length);
        }
        ready.max(self.blocked_until)
    }

    fn push(&mut self, tokens: u32) {
        self.used += tokens;
        match self.entries.back_mut() {
            _ if tokens == 0 => {}
            Some(last) if last.at == self.latest => last.tokens += tokens,
            _ => self.entries.push_back(Entry { at: self.latest, tokens }),
        }
    }

    /// Strikes up to `tokens` from an entry; returns how many it lacked.
    fn strike(&mut self, index: usize, tokens: u32) -> u32 {
        let Some(entry) = self.entries.get_mut(index) else { return tokens };
        let struck = entry.tokens.min(tokens);
        entry.tokens -= struck;
        self.used -= struck;
        if entry.tokens == 0 {
            self.entries.remove(index);
        }
        tokens - struck
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl Count for Log {
    type Rule = Window;

    fn limit(window: &Window) -> u32 {
        window.limit.get()
    }

    fn take(&self, window: &Window, n: u32, now: Timestamp) -> Result<Grant, Timestamp> {
        self.state.with(|state| {
            state.advance(*window, now);
            let ready = state.ready_at(*window, n);
            if ready > state.latest {
                return Err(Timestamp::from_nanos(ready));
            }
            state.push(n);
            let limit = window.limit.get();
            let empty_at =
                state.entries.back().map_or(0, |last| last.at.saturating_add(window.length));
            Ok(Grant {
                at: Timestamp::from_nanos(state.latest),
                limit,
                room: u64::from(limit - state.used),
                full_at: empty_at,
                pace: Pace::NANOS,
            })
        })
    }

    fn ready_at(&self, window: &Window, n: u64, now: Timestamp) -> Timestamp {
        let (later, rest) = window.split(n);
        let ready = self.state.with(|state| {
            state.advance(*window, now);
            state.ready_at(*window, rest)
        });
        Timestamp::from_nanos(ready.saturating_add(later))
    }

    /// Tokens of unknown age are taken from the oldest entries, which would leave first: that can only be too strict.
    fn give_back(&self, _window: &Window, n: u32, taken_at: Option<Timestamp>) {
        self.state.with(|state| match taken_at {
            Some(at) => {
                let found = state.entries.binary_search_by_key(&at.as_nanos(), |entry| entry.at);
                // Not found: it has left the window, and the tokens are back already.
                if let Ok(index) = found {
                    state.strike(index, n);
                }
            }
            None => {
                let mut left = n;
                while left > 0 && !state.entries.is_empty() {
                    left = state.strike(0, left);
                }
            }
        });
    }

    fn block_until(&self, _window: &Window, time: Timestamp) {
        self.state.with(|state| state.blocked_until = state.blocked_until.max(time.as_nanos()));
    }

    fn is_idle(&self, window: &Window, now: Timestamp) -> bool {
        self.state.with(|state| {
            state.advance(*window, now);
            state.used == 0 && state.blocked_until <= state.latest
        })
    }
}
