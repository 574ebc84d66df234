//! Faults on purpose: what the loopback server does to a request instead of answering it well.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A good answer, at once.
    None,
    /// A good answer, late.
    Late(Duration),
    /// 429 with `Retry-After: 1`.
    TooManyRequests,
    /// 503.
    Unavailable,
    /// No answer for [`HANG`].
    Hang,
}

/// How long a hung request is held: longer than any client waits.
pub const HANG: Duration = Duration::from_secs(60);

/// How many tries of a path may fail. Later ones are served, so every page can be had.
const TRIES_THAT_MAY_FAIL: u32 = 2;

/// How often each fault strikes. The hash of a path decides whether it is late, limited,
/// unavailable or hung, so its faults are the same in every run. Bursts depend on the request's
/// number.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// How many of a thousand paths are 1 to 20 ms late, every time.
    pub late: u64,
    /// How many of a thousand paths answer 429 to their first try. `Retry-After` counts whole
    /// seconds, and 0 would mean no wait, so each costs a second: keep it rare.
    pub too_many: u64,
    /// How many of a thousand paths answer 503 to their first two tries.
    pub unavailable: u64,
    /// How many of a thousand paths hang on their first try. Each costs the client's timeout.
    pub hang: u64,
    /// Requests between the starts of two bursts of 503; 0 for no bursts.
    pub burst_every: u64,
    /// Requests in a burst.
    pub burst_length: u64,
}

impl Rates {
    /// A site on a normal day. Two thousand pages meet about six 429s and two hangs.
    pub const MILD: Rates = Rates {
        late: 250,
        too_many: 3,
        unavailable: 20,
        hang: 1,
        burst_every: 500,
        burst_length: 12,
    };

    /// A site on its worst day, so that a dozen pages meet every fault.
    pub const HARSH: Rates = Rates {
        late: 300,
        too_many: 60,
        unavailable: 250,
        hang: 150,
        burst_every: 20,
        burst_length: 4,
    };
}

/// Decides the fault of each request. Deterministic: the same requests in the same order meet the
/// same faults.
#[derive(Debug, Default)]
pub struct Faults {
    rates: Rates,
    requests: AtomicU64,
    tries: Mutex<HashMap<String, u32>>,
}

impl Faults {
    /// Faults at these rates.
    pub fn new(rates: Rates) -> Self {
        Self { rates, ..Self::default() }
    }

    /// A site that always answers at once.
    pub fn off() -> Self {
        Self::default()
    }

    /// The fault of the next request for `path`.
    pub fn next(&self, path: &str) -> Fault {
        // ORDERING: only the number matters, it publishes nothing.
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let hash = hash(path);
        let late = self.late(hash);
        if self.rates.burst_every == 0 && self.rates.first_tries() == 0 {
            return late;
        }
        match self.count(path) {
            n if n >= TRIES_THAT_MAY_FAIL => late,
            _ if self.in_burst(request) => Fault::Unavailable,
            n => self.failure(hash, n).unwrap_or(late),
        }
    }

    fn late(&self, hash: u64) -> Fault {
        // The upper half of the hash, while `failure` takes the whole: nearly independent.
        if (hash >> 32) % 1000 < self.rates.late {
            Fault::Late(Duration::from_millis(1 + (hash >> 48) % 20))
        } else {
            Fault::None
        }
    }

    fn failure(&self, hash: u64, tries: u32) -> Option<Fault> {
        let Rates { hang, too_many, unavailable, .. } = self.rates;
        match hash % 1000 {
            n if n < hang => (tries == 0).then_some(Fault::Hang),
            n if n < hang + too_many => (tries == 0).then_some(Fault::TooManyRequests),
            n if n < hang + too_many + unavailable => Some(Fault::Unavailable),
            _ => None,
        }
    }

    /// Whether a burst is on. It ends its period, so the first pages of a site arrive in good
    /// order.
    fn in_burst(&self, request: u64) -> bool {
        let Rates { burst_every, burst_length, .. } = self.rates;
        burst_every > 0 && request % burst_every + burst_length >= burst_every
    }

    /// Counts a try of `path` and returns how many there were before.
    fn count(&self, path: &str) -> u32 {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = tries.get_mut(path) {
            *n += 1;
            return *n - 1;
        }
        tries.insert(path.to_owned(), 1);
        0
    }
}

impl Rates {
    fn first_tries(&self) -> u64 {
        self.too_many + self.unavailable + self.hang
    }
}

/// FNV-1a with a final mix, so that all bits depend on the whole path. Our own, because std's hash,
/// and with it the faults, may change with the next release.
fn hash(path: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_good(fault: Fault) -> bool {
        matches!(fault, Fault::None | Fault::Late(_))
    }

    #[test]
    fn the_third_try_is_served() {
        let faults = Faults::new(Rates::HARSH);
        for page in 0..500 {
            let path = format!("/{page}.html");
            let tries: Vec<_> = (0..3).map(|_| faults.next(&path)).collect();
            assert!(is_good(tries[2]), "{path}: {tries:?}");
        }
    }

    #[test]
    fn two_servers_misbehave_alike() {
        let (one, two) = (Faults::new(Rates::MILD), Faults::new(Rates::MILD));
        for page in 0..2000 {
            let path = format!("/{page}.html");
            assert_eq!(one.next(&path), two.next(&path));
        }
    }

    #[test]
    fn a_mild_day_has_every_fault_and_few_that_cost_a_second() {
        let faults = Faults::new(Rates::MILD);
        let met: Vec<_> = (0..2000).map(|page| faults.next(&format!("/{page}.html"))).collect();
        let count = |fault| met.iter().filter(|met| **met == fault).count();
        assert!((1..=20).contains(&count(Fault::TooManyRequests)));
        assert!((1..=8).contains(&count(Fault::Hang)));
        assert!((48..=200).contains(&count(Fault::Unavailable)));
    }

    #[test]
    fn off_is_off() {
        let faults = Faults::off();
        assert!((0..2000).all(|page| faults.next(&format!("/{page}.html")) == Fault::None));
    }
}
