//! Real threads that enter, wait, cancel, lose probes, force states and turn the clock. A seed
//! repeats a run: `TIDEGATE_SEED=7 cargo test -p tidegate-circuit-breaker --test it stress`.

use core::{mem, num::NonZeroUsize, time::Duration};
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tidegate_circuit_breaker::{
    Breaker, CancelToken, KeyedBreaker, ManualClock, Observer, OpenFor, Refused, State, Transition,
    TripRule, Wait, Window,
};

const THREADS: u64 = 4;
const STEPS: u64 = 2000;
const PROBES: u32 = 2;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % n
    }
}

fn seed() -> u64 {
    let seed = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("TIDEGATE_SEED={seed}");
    seed
}

/// An observer that counts its notifications.
#[derive(Default)]
struct Heard {
    trips: AtomicU64,
    refusals: AtomicU64,
}

impl Observer for Heard {
    fn on_trip(&self, trip: &Transition) {
        assert!(trip.open_for.is_some());
        self.trips.fetch_add(1, Ordering::Relaxed);
    }

    fn on_refuse(&self, _: &Refused) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }
}

const MILLI: Duration = Duration::from_millis(1);

/// One thread's steps; returns how many passes it settled and how many it leaked.
fn run(
    breaker: &Breaker<ManualClock, Arc<Heard>>,
    clock: &ManualClock,
    random: &mut Random,
) -> (u64, u64) {
    let (mut settled, mut leaked) = (0, 0);
    let mut passes = Vec::new();
    for _ in 0..STEPS {
        match random.below(16) {
            0..=5 => passes.extend(breaker.try_enter()),
            6 => {
                // A wait that is given up, or granted, at once.
                if let Ok(Ok(pass)) = breaker.enter().wait_timeout(Duration::ZERO) {
                    passes.push(pass);
                }
            }
            7 => clock.advance(MILLI * u32::try_from(random.below(4)).unwrap()),
            8 => match random.below(40) {
                0 => breaker.force_open(),
                1 => breaker.force_closed(),
                2 => breaker.observe_only(),
                3..=5 => breaker.reset(),
                _ => assert!(breaker.stats().probes <= PROBES),
            },
            9 if random.below(50) == 0 => {
                leaked += passes.pop().map_or(0, |pass| {
                    mem::forget(pass);
                    1
                });
            }
            _ => {
                let Some(pass) = passes.pop() else { continue };
                settled += 1;
                match random.below(6) {
                    0 => drop(pass),
                    1 => pass.failure_open_for(MILLI),
                    2 | 3 => pass.failure(),
                    _ => pass.success(),
                }
            }
        }
    }
    settled += passes.len() as u64;
    (settled, leaked)
}

#[test]
fn every_pass_is_counted_once_and_nothing_gets_stuck() {
    let seed = seed();
    let slow = TripRule::slow_rate(0.9, MILLI * 2).count_inflight_slow();
    let time = TripRule::failure_rate(0.6, Window::time(MILLI * 20, 10)).minimum_calls(5);
    for rule in [TripRule::consecutive(4), time, slow.over(Window::count(30)), time.or(slow)] {
        let (clock, heard) = (ManualClock::new(), Arc::new(Heard::default()));
        let breaker = Breaker::builder()
            .trip_on(rule)
            .trip_when(|seen| seen.consecutive_failures >= 9)
            .open_for(OpenFor::exponential(MILLI, MILLI * 4))
            .probes(PROBES)
            .close_after(2)
            .probe_timeout(MILLI * 5)
            .clock(clock.clone())
            .observer(heard.clone())
            .build()
            .unwrap();
        let is_over = CancelToken::new();
        let counts = thread::scope(|s| {
            // The watcher is made before the first change.
            let mut changes = breaker.state_changes();
            let is_over = &is_over;
            let watcher = s.spawn(move || {
                let mut seen = State::Closed;
                while let Ok(change) = changes.next().or_cancelled(is_over).wait() {
                    assert_ne!(mem::replace(&mut seen, change.state), change.state);
                }
            });
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (breaker, clock) = (&breaker, &clock);
                    s.spawn(move || run(breaker, clock, &mut Random(seed ^ number << 32)))
                })
                .collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            let counts = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            // Whatever was forced or leaked: as time passes a caller gets in, and the breaker
            // closes.
            is_over.cancel();
            watcher.join().unwrap();
            breaker.reset();
            counts
        });
        breaker.try_enter().unwrap().failure_open_for(MILLI);
        clock.advance(MILLI);
        mem::forget(breaker.try_enter().unwrap());
        clock.advance(MILLI * 5);
        let mut settled = counts.0 + 1;
        while breaker.state() != State::Closed {
            clock.advance(MILLI);
            if let Ok(pass) = breaker.try_enter() {
                pass.success();
                settled += 1;
            }
        }
        breaker.closed().wait();
        let stats = breaker.stats();
        assert_eq!(stats.calls(), settled, "leaked {}", counts.1);
        assert_eq!(stats.trips, heard.trips.load(Ordering::Relaxed));
        assert_eq!(stats.refused, heard.refusals.load(Ordering::Relaxed));
        assert!(stats.trips > 0 && stats.refused > 0 && stats.written_off > 0);
    }
}

#[test]
fn a_registry_keeps_its_bound_and_its_share() {
    let seed = seed();
    let clock = ManualClock::new();
    let settings = Breaker::builder()
        .trip_on(TripRule::consecutive(1))
        .open_for(OpenFor::fixed(MILLI).jitter(0.0))
        .clock(clock.clone());
    let max_keys = NonZeroUsize::new(16).unwrap();
    let breakers = KeyedBreaker::<u64, _>::new(max_keys, settings).unwrap();
    let breakers = breakers.max_open_ratio(0.25).unwrap();
    let start = Barrier::new(4);
    thread::scope(|s| {
        for number in 0..THREADS {
            let (breakers, clock, start) = (&breakers, &clock, &start);
            s.spawn(move || {
                let mut random = Random(seed ^ number << 32);
                start.wait();
                for _ in 0..STEPS {
                    if random.below(20) == 0 {
                        clock.advance(MILLI);
                    }
                    let Ok(breaker) = breakers.gate(&random.below(40)) else { continue };
                    if let Ok(pass) = breaker.try_enter() {
                        if random.below(2) == 0 { pass.failure() } else { pass.success() }
                    }
                    assert!(breakers.len() <= breakers.max_keys());
                }
            });
        }
    });
    // No open time runs any more, so a breaker that is open afterwards has tripped afterwards.
    clock.advance(MILLI);
    breakers.for_each(|_, breaker| breaker.reset());
    breakers.for_each(|_, breaker| breaker.try_enter().unwrap().failure());
    let mut open = 0;
    breakers.for_each(|_, breaker| open += usize::from(breaker.state() == State::Open));
    assert_eq!(open, (breakers.len() / 4).max(1));
}
