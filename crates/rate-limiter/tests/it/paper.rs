//! A reference that knows when each token was taken, and the parts of random histories.

use std::{collections::VecDeque, env, future::Future, pin::Pin};

use tidegate_rate_limiter::{Gate, Outcome, Pass, Quota, Refused};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Random numbers from a seed.
pub(crate) struct Random(test_kit::Random);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    pub(crate) fn tokens(&mut self, most: u32) -> u32 {
        1 + u32::try_from(self.below(most.into())).unwrap()
    }
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

pub(crate) fn poll_once<F: Future>(mut future: Pin<&mut F>) -> bool {
    test_kit::poll(&mut future).is_ready()
}

pub(crate) fn quota(rate: u32, burst: u32) -> Quota {
    Quota::per_second(rate).burst(burst)
}

/// Tokens that were taken and not refunded.
pub(crate) struct Kept {
    id: u64,
    at: u64,
    nanotokens: i128,
}

pub(crate) fn nanotokens(tokens: u32) -> i128 {
    i128::from(tokens) * i128::from(SECOND)
}

/// The kept tokens since a bucket from which only they are taken was last full, in time order.
///
/// The level of such a bucket is at least zero if and only if no interval that ends now sees more
/// than `rate·t + burst`.
pub(crate) struct Reference {
    rate: u64,
    /// The nanotokens of a full bucket. The bucket is full at the time `since`.
    full: i128,
    since: u64,
    kept: VecDeque<Kept>,
}

impl Reference {
    pub(crate) fn new(rate: u32, burst: u32, now: u64) -> Self {
        let kept = VecDeque::new();
        Self { rate: rate.into(), full: nanotokens(burst), since: now, kept }
    }

    /// Returns the level at `now`; forgets what was taken before the bucket was last full.
    pub(crate) fn level(&mut self, now: u64) -> i128 {
        let (mut level, mut time, mut refilled) = (self.full, self.since, 0);
        let earned = |from: u64, to: u64| i128::from(to - from) * i128::from(self.rate);
        for (index, kept) in self.kept.iter().enumerate().take_while(|(_, kept)| kept.at <= now) {
            level = (level + earned(time, kept.at)).min(self.full);
            if level == self.full {
                refilled = index;
            }
            level -= kept.nanotokens;
            time = kept.at;
        }
        if refilled > 0 {
            let first = self.kept[refilled].at;
            self.kept.drain(..refilled);
            self.since = first;
        }
        (level + earned(time, now)).min(self.full)
    }

    pub(crate) fn take(&mut self, id: u64, at: u64, tokens: u32) {
        let index = self.kept.partition_point(|kept| kept.at <= at);
        self.kept.insert(index, Kept { id, at, nanotokens: nanotokens(tokens) });
    }

    pub(crate) fn refund(&mut self, id: u64, tokens: u32) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.id == id) {
            kept.nanotokens -= nanotokens(tokens);
            assert!(kept.nanotokens >= 0, "refunded once");
        }
    }

    /// Refunds the latest tokens that were used.
    pub(crate) fn refund_latest(&mut self, now: u64, tokens: u32) {
        let mut left = nanotokens(tokens);
        for kept in self.kept.iter_mut().rev().filter(|kept| kept.at <= now) {
            let part = kept.nanotokens.min(left);
            kept.nanotokens -= part;
            left -= part;
        }
    }

    /// Changes the quota. As many tokens are available as before; the others count as taken now.
    pub(crate) fn change(&mut self, rate: u32, burst: u32, now: u64, is_reset: bool) {
        let level = self.level(now);
        self.kept.retain(|kept| kept.at > now);
        (self.rate, self.full, self.since) = (rate.into(), nanotokens(burst), now);
        if !is_reset && level < self.full {
            self.kept.push_front(Kept { id: 0, at: now, nanotokens: self.full - level });
        }
    }
}

/// A gate that refuses every caller.
pub(crate) struct Shut;

pub(crate) struct NoPass;

impl Pass for NoPass {
    type Refused = Refused;

    fn settle(self, _outcome: Outcome) {}
}

impl Gate for &Shut {
    type Pass = NoPass;
    type Refused = Refused;
    type Enter = std::future::Pending<Result<NoPass, Refused>>;

    fn try_enter(self) -> Result<NoPass, Refused> {
        Err(Refused::TooMany { asked: 1, limit: 0 })
    }

    fn enter(self) -> Self::Enter {
        std::future::pending()
    }
}

pub(crate) fn run(mut history: impl FnMut(&mut Random, u64)) {
    let (seed, rounds) = (number("TIDEGATE_SEED", 1), number("TIDEGATE_ROUNDS", 40_000));
    println!("TIDEGATE_SEED={seed}");
    let mut random = Random(test_kit::Random::new(seed));
    for _ in 0..rounds.div_ceil(500) {
        history(&mut random, 500.min(rounds));
    }
}
