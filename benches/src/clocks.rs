//! Clocks of equal quality for ours and for rivals. A class of limiters is named for its clock.

use std::{
    hint::black_box,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use governor::clock::{Clock as _, FakeRelativeClock, QuantaUpkeepClock};
use tidegate_core::{CachedClock, Clock, SystemClock, Timestamp, Wait, time::TscClock};

use crate::{
    timing::timed,
    workload::{Contender, REFERENCE, ours, rival},
};

/// `std::time::Instant`: a call to the operating system that need not enter the kernel.
pub(crate) const INSTANT: &str = "instant";

/// The processor's counter, read and scaled by quanta.
pub(crate) const QUANTA: &str = "quanta";

/// A number that a thread writes every millisecond.
pub(crate) const CACHED: &str = "cached";

/// The caller says what time it is.
pub(crate) const GIVEN: &str = "given";

/// The processor's counter, as in governor's `QuantaClock`.
pub(crate) type Quanta = TscClock;

/// Returns the one clock of ours in the process that a thread refreshes every millisecond.
pub(crate) fn cached() -> &'static CachedClock {
    static CLOCK: CachedClock = CachedClock::new(SystemClock);
    static THREAD: OnceLock<()> = OnceLock::new();
    THREAD.get_or_init(|| {
        CLOCK.refresh();
        thread::spawn(|| CLOCK.keep_fresh(Duration::from_millis(1)).wait());
    });
    &CLOCK
}

/// Returns governor's clock over quanta's one thread, which runs from the first use on.
pub(crate) fn upkeep() -> QuantaUpkeepClock {
    static UPKEEP: OnceLock<QuantaUpkeepClock> = OnceLock::new();
    let start = || {
        QuantaUpkeepClock::from_interval(Duration::from_millis(1)).expect("nobody else started it")
    };
    UPKEEP.get_or_init(start).clone()
}

/// A number that only the caller changes, as in governor's `FakeRelativeClock`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Arc<AtomicU64>);

impl Given {
    pub(crate) fn advance(&self, nanos: u64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for Given {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A clock of ours, for a limiter of ratelimit.
pub(crate) struct ForRatelimit<C>(pub(crate) C);

impl<C: Clock> ratelimit::Clock for ForRatelimit<C> {
    #[inline]
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.now().as_nanos())
    }
}

/// Times one reading of the clock.
fn looking<T>(mut look: impl FnMut() -> T) -> impl FnMut(u64) -> Duration {
    move |n| {
        timed(|| {
            for _ in 0..n {
                black_box(look());
            }
        })
    }
}

/// Returns all clocks by themselves.
pub(crate) fn looks() -> Vec<Contender> {
    let (quanta, cached, given) = (Quanta::default(), cached(), Given::default());
    let (of_quanta, upkeep, fake) =
        (quanta::Clock::default(), upkeep(), FakeRelativeClock::default());
    vec![
        ours("SystemClock", INSTANT, looking(|| SystemClock.now())),
        ours("TscClock", QUANTA, looking(move || black_box(&quanta).now())),
        ours("CachedClock", CACHED, looking(move || black_box(cached).now())),
        ours("clock by hand", GIVEN, looking(move || black_box(&given).now())),
        rival("Instant::now", INSTANT, looking(Instant::now)),
        rival("quanta::Clock::now", QUANTA, looking(move || black_box(&of_quanta).now())),
        rival("governor QuantaUpkeepClock", CACHED, looking(move || black_box(&upkeep).now())),
        rival("governor FakeRelativeClock", GIVEN, looking(move || black_box(&fake).now())),
    ]
}

/// Returns the clocks by themselves, as rows of another table.
pub(crate) fn references() -> Vec<Contender> {
    let (quanta, cached) = (Quanta::default(), cached());
    vec![
        rival("bare clock: instant", REFERENCE, looking(Instant::now)),
        rival("bare clock: quanta", REFERENCE, looking(move || black_box(&quanta).now())),
        rival("bare clock: cached", REFERENCE, looking(move || black_box(cached).now())),
    ]
}
