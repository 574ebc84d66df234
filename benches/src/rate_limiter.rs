//! One token at a time: allowed, refused, from two threads, by key, awaited; with every clock.

mod loops;
mod subject;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use governor::{
    clock::{FakeRelativeClock, MonotonicClock, QuantaClock},
    state::{InMemoryState, NotKeyed},
};
use ratelimit::{Ratelimiter, StdClock};
use tidegate_concurrent_map::DefaultHashBuilder;
use tidegate_core::{Clock, SystemClock};
use tidegate_rate_limiter::{KeyedLimiter, Quota, RateLimiter};

use self::loops::*;
use crate::{
    clocks::{self, CACHED, ForRatelimit, GIVEN, Given, INSTANT, QUANTA, Quanta, cached},
    workload::{Contender, Workload, ours, rival},
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload { name: "rate-limiter/bare clocks", unit: "look", contenders: clocks::looks },
    Workload { name: "rate-limiter/allowed", unit: "check", contenders: allowed_ones },
    Workload { name: "rate-limiter/refused", unit: "check", contenders: refused_ones },
    Workload {
        name: "rate-limiter/allowed, 2 threads",
        unit: "check",
        contenders: allowed_on_two_threads,
    },
    Workload {
        name: "rate-limiter/allowed, awaited",
        unit: "acquisition",
        contenders: awaited_ones,
    },
    Workload { name: "rate-limiter/100,000 keys", unit: "check", contenders: keyed_ones },
    Workload {
        name: "rate-limiter/100,000 keys, 2 threads",
        unit: "check",
        contenders: keyed_on_two_threads,
    },
];

/// The burst where every call is allowed: 10⁹ tokens a second come faster than anybody asks.
const BURST: u32 = 1_000_000_000;

/// Whether a workload allows or refuses.
#[derive(Clone, Copy)]
enum Rate {
    /// A token per nanosecond.
    Ample,

    /// A token per hour.
    Scarce,
}

impl Rate {
    fn tidegate<C>(self, clock: C) -> RateLimiter<C> {
        let quota = match self {
            Self::Ample => Quota::per_second(BURST),
            Self::Scarce => Quota::per_hour(1),
        };
        RateLimiter::with_clock(quota, clock)
    }

    fn governor<C: governor::clock::Clock>(self, clock: C) -> Governor<C> {
        Governor::direct_with_clock(self.of_governor(), clock)
    }

    fn of_governor(self) -> governor::Quota {
        match self {
            Self::Ample => governor::Quota::per_second(NonZeroU32::new(BURST).unwrap()),
            Self::Scarce => governor::Quota::per_hour(NonZeroU32::MIN),
        }
    }

    fn ratelimit<C: ratelimit::Clock>(self, clock: C) -> Ratelimiter<C> {
        let builder = match self {
            Self::Ample => {
                ratelimit::Builder::with_clock(BURST.into(), clock).initial_available(BURST.into())
            }
            Self::Scarce => {
                ratelimit::Builder::with_clock(1, clock).period(Duration::from_secs(3600))
            }
        };
        builder.build().unwrap()
    }

    fn leaky_bucket(self) -> leaky_bucket::RateLimiter {
        let (burst, refill, interval) = match self {
            Self::Ample => (BURST as usize, 1_000_000, Duration::from_millis(1)),
            Self::Scarce => (1, 1, Duration::from_secs(3600)),
        };
        leaky_bucket::RateLimiter::builder()
            .max(burst)
            .initial(burst)
            .refill(refill)
            .interval(interval)
            .build()
    }
}

/// Governor's limiter without keys.
type Governor<C> = governor::RateLimiter<
    NotKeyed,
    InMemoryState,
    C,
    governor::middleware::NoOpMiddleware<<C as governor::clock::Clock>::Instant>,
>;

fn allowed_ones() -> Vec<Contender> {
    let rate = Rate::Ample;
    let (ours_by_hand, ratelimit_by_hand, governor_by_hand) =
        (Given::default(), Given::default(), FakeRelativeClock::default());
    let mut contenders = vec![
        ours("tidegate", INSTANT, allowed(rate.tidegate(SystemClock))),
        ours("tidegate, quanta", QUANTA, allowed(rate.tidegate(Quanta::default()))),
        ours("tidegate, cached", CACHED, allowed(rate.tidegate(cached()))),
        ours("tidegate, by hand", GIVEN, {
            let mut run = allowed(rate.tidegate(ours_by_hand.clone()));
            move |n| {
                ours_by_hand.advance(n);
                run(n)
            }
        }),
        ours("tidegate try_acquire_at", GIVEN, allowed_at_given_times(rate.tidegate(SystemClock))),
        rival("governor", QUANTA, allowed(rate.governor(QuantaClock::default()))),
        rival("governor, upkeep", CACHED, allowed(rate.governor(clocks::upkeep()))),
        rival("governor, monotonic", INSTANT, allowed(rate.governor(MonotonicClock))),
        rival("governor, fake", GIVEN, {
            let mut run = allowed(rate.governor(governor_by_hand.clone()));
            move |n| {
                governor_by_hand.advance(Duration::from_nanos(n));
                run(n)
            }
        }),
        rival("ratelimit", INSTANT, allowed(rate.ratelimit(StdClock::new()))),
        rival(
            "ratelimit, quanta",
            QUANTA,
            allowed(rate.ratelimit(ForRatelimit(Quanta::default()))),
        ),
        rival("ratelimit, cached", CACHED, allowed(rate.ratelimit(ForRatelimit(cached())))),
        rival("ratelimit, by hand", GIVEN, {
            let mut run = allowed(rate.ratelimit(ForRatelimit(ratelimit_by_hand.clone())));
            move |n| {
                ratelimit_by_hand.advance(n);
                run(n)
            }
        }),
        rival("leaky-bucket", INSTANT, allowed(rate.leaky_bucket())),
    ];
    contenders.append(&mut clocks::references());
    contenders
}

fn refused_ones() -> Vec<Contender> {
    let rate = Rate::Scarce;
    let mut contenders = vec![
        ours("tidegate", INSTANT, refused(rate.tidegate(SystemClock))),
        ours("tidegate, quanta", QUANTA, refused(rate.tidegate(Quanta::default()))),
        ours("tidegate, cached", CACHED, refused(rate.tidegate(cached()))),
        ours("tidegate, by hand", GIVEN, refused(rate.tidegate(Given::default()))),
        rival("governor", QUANTA, refused(rate.governor(QuantaClock::default()))),
        rival("governor, upkeep", CACHED, refused(rate.governor(clocks::upkeep()))),
        rival("governor, monotonic", INSTANT, refused(rate.governor(MonotonicClock))),
        rival("governor, fake", GIVEN, refused(rate.governor(FakeRelativeClock::default()))),
        rival("ratelimit", INSTANT, refused(rate.ratelimit(StdClock::new()))),
        rival(
            "ratelimit, quanta",
            QUANTA,
            refused(rate.ratelimit(ForRatelimit(Quanta::default()))),
        ),
        rival("ratelimit, cached", CACHED, refused(rate.ratelimit(ForRatelimit(cached())))),
        rival("ratelimit, by hand", GIVEN, refused(rate.ratelimit(ForRatelimit(Given::default())))),
        rival("leaky-bucket", INSTANT, refused(rate.leaky_bucket())),
    ];
    contenders.append(&mut clocks::references());
    contenders
}

fn allowed_on_two_threads() -> Vec<Contender> {
    let rate = Rate::Ample;
    vec![
        ours("tidegate", INSTANT, allowed_by_two(rate.tidegate(SystemClock))),
        ours("tidegate, quanta", QUANTA, allowed_by_two(rate.tidegate(Quanta::default()))),
        ours("tidegate, cached", CACHED, allowed_by_two(rate.tidegate(cached()))),
        rival("governor", QUANTA, allowed_by_two(rate.governor(QuantaClock::default()))),
        rival("governor, upkeep", CACHED, allowed_by_two(rate.governor(clocks::upkeep()))),
        rival("governor, monotonic", INSTANT, allowed_by_two(rate.governor(MonotonicClock))),
        rival("ratelimit", INSTANT, allowed_by_two(rate.ratelimit(StdClock::new()))),
        rival(
            "ratelimit, quanta",
            QUANTA,
            allowed_by_two(rate.ratelimit(ForRatelimit(Quanta::default()))),
        ),
        rival("ratelimit, cached", CACHED, allowed_by_two(rate.ratelimit(ForRatelimit(cached())))),
        rival("leaky-bucket", INSTANT, allowed_by_two(rate.leaky_bucket())),
    ]
}

/// Governor's limiter cannot be awaited with its upkeep clock, and ratelimit's not at all.
fn awaited_ones() -> Vec<Contender> {
    let rate = Rate::Ample;
    vec![
        ours("tidegate", INSTANT, awaited(rate.tidegate(SystemClock))),
        ours("tidegate, quanta", QUANTA, awaited(rate.tidegate(Quanta::default()))),
        ours("tidegate, cached", CACHED, awaited(rate.tidegate(cached()))),
        rival("governor", QUANTA, awaited(rate.governor(QuantaClock::default()))),
        rival("governor, monotonic", INSTANT, awaited(rate.governor(MonotonicClock))),
        rival("leaky-bucket", INSTANT, awaited(rate.leaky_bucket())),
    ]
}

fn keyed_ones() -> Vec<Contender> {
    let (quota, hasher) = (Rate::Ample.of_governor(), DefaultHashBuilder::default);
    vec![
        ours("tidegate", INSTANT, keyed(keyed_tidegate(SystemClock))),
        ours("tidegate, quanta", QUANTA, keyed(keyed_tidegate(Quanta::default()))),
        ours("tidegate, cached", CACHED, keyed(keyed_tidegate(cached()))),
        rival("governor dashmap", QUANTA, keyed(dashmap(quota, QuantaClock::default(), hasher()))),
        rival(
            "governor dashmap, upkeep",
            CACHED,
            keyed(dashmap(quota, clocks::upkeep(), hasher())),
        ),
        rival(
            "governor dashmap, monotonic",
            INSTANT,
            keyed(dashmap(quota, MonotonicClock, hasher())),
        ),
        rival("governor hashmap", QUANTA, keyed(hashmap(quota, QuantaClock::default(), hasher()))),
        rival(
            "governor hashmap, upkeep",
            CACHED,
            keyed(hashmap(quota, clocks::upkeep(), hasher())),
        ),
        rival(
            "governor hashmap, monotonic",
            INSTANT,
            keyed(hashmap(quota, MonotonicClock, hasher())),
        ),
    ]
}

fn keyed_on_two_threads() -> Vec<Contender> {
    let (quota, hasher) = (Rate::Ample.of_governor(), DefaultHashBuilder::default);
    vec![
        ours("tidegate", INSTANT, keyed_by_two(keyed_tidegate(SystemClock))),
        ours("tidegate, quanta", QUANTA, keyed_by_two(keyed_tidegate(Quanta::default()))),
        ours("tidegate, cached", CACHED, keyed_by_two(keyed_tidegate(cached()))),
        rival(
            "governor dashmap",
            QUANTA,
            keyed_by_two(dashmap(quota, QuantaClock::default(), hasher())),
        ),
        rival(
            "governor dashmap, upkeep",
            CACHED,
            keyed_by_two(dashmap(quota, clocks::upkeep(), hasher())),
        ),
        rival(
            "governor dashmap, monotonic",
            INSTANT,
            keyed_by_two(dashmap(quota, MonotonicClock, hasher())),
        ),
        rival(
            "governor hashmap",
            QUANTA,
            keyed_by_two(hashmap(quota, QuantaClock::default(), hasher())),
        ),
        rival(
            "governor hashmap, upkeep",
            CACHED,
            keyed_by_two(hashmap(quota, clocks::upkeep(), hasher())),
        ),
        rival(
            "governor hashmap, monotonic",
            INSTANT,
            keyed_by_two(hashmap(quota, MonotonicClock, hasher())),
        ),
    ]
}

/// It has room for all keys, and the default hasher, which the rivals get, too.
fn keyed_tidegate<C: Clock>(clock: C) -> KeyedLimiter<u64, C> {
    let quota = Quota::per_second(BURST).burst(BURST);
    KeyedLimiter::with_clock(quota, NonZeroUsize::new(2 * KEYS).unwrap(), clock)
}
