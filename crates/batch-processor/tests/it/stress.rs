//! Threads that do everything at once to one batcher, from a seed:
//! `TIDEGATE_SEED=7 cargo test --test it stress::`.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tidegate_batch_processor::{
    Backoff, BatchError, Batcher, Blocking, OnError, OnFull, Policy, SubmitError, Wait,
};

/// How long one batcher is stressed.
const LONG: Duration = Duration::from_millis(120);

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn seed() -> u64 {
    let from_clock =
        || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos()));
    let seed = env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(from_clock);
    println!("TIDEGATE_SEED={seed}");
    seed
}

/// Runs `act` on three threads for a while, each with random numbers of its own.
fn on_three_threads(random: &mut Random, act: impl Fn(&mut Random) + Sync) {
    let end = Instant::now() + LONG;
    thread::scope(|s| {
        for _ in 0..3 {
            let (act, mut random) = (&act, Random(random.below(u64::MAX)));
            s.spawn(move || {
                while Instant::now() < end {
                    act(&mut random);
                }
            });
        }
    });
}

/// A handler that counts and squares its items, and fails a batch that has a multiple of 64.
fn squares(
    seen: &Arc<AtomicU64>,
) -> impl FnMut(Vec<u64>) -> Result<Vec<u64>, u64> + Send + 'static {
    let seen = seen.clone();
    move |items| {
        seen.fetch_add(items.len() as u64, Ordering::Relaxed);
        match items.iter().find(|item| *item % 64 == 0) {
            Some(poison) => Err(*poison),
            None => Ok(items.into_iter().map(|n| n * n).collect()),
        }
    }
}

fn check(item: u64, result: Result<u64, BatchError<u64>>, on_full: OnFull) {
    match result {
        Ok(square) => assert_eq!(square, item * item, "another's result"),
        Err(BatchError::Handler(poison)) => assert_eq!(*poison % 64, 0),
        Err(BatchError::Dropped) => {
            assert!(matches!(on_full, OnFull::DropOldest | OnFull::DropNewest))
        }
        Err(other) => panic!("{other}"),
    }
}

fn stress(policy: Policy, on_full: OnFull, random: &mut Random) {
    let seen = Arc::new(AtomicU64::new(0));
    let (batcher, driver) = Batcher::builder()
        .max_items(8)
        .capacity(16)
        .max_delay(Duration::from_micros(200))
        .policy(policy)
        .on_full(on_full)
        .build_on_thread(squares(&seen))
        .unwrap();
    on_three_threads(random, |random| {
        let item = random.below(1000) + 1;
        match random.below(8) {
            0..=2 => assert!(batcher.push(item).wait().is_ok()),
            3 => drop(batcher.try_push(item)),
            4 => drop(batcher.try_submit(item)),
            5 => batcher.flush().wait().unwrap(),
            _ => match batcher.submit(item).wait() {
                Ok(square) => check(item, Ok(square), on_full),
                Err(SubmitError::Failed(error)) => check(item, Err(error), on_full),
                Err(other) => panic!("{other}"),
            },
        }
    });
    batcher.shutdown().wait().unwrap();
    let stats = batcher.stats();
    assert_eq!((stats.waiting, stats.in_flight), (0, 0));
    assert_eq!(seen.load(Ordering::Relaxed), stats.done, "processed once each");
    let dropped_inside = if on_full == OnFull::DropOldest { stats.dropped } else { 0 };
    assert_eq!(stats.pushed, stats.done + dropped_inside);
    drop(batcher);
    driver.join();
}

#[test]
fn every_item_is_processed_once_or_dropped_as_told() {
    let mut random = Random(seed());
    for policy in [Policy::Delay, Policy::Immediate, Policy::Balanced { min: 3 }] {
        for on_full in [OnFull::Wait, OnFull::DropOldest, OnFull::DropNewest] {
            stress(policy, on_full, &mut random);
        }
    }
}

#[test]
fn leaders_come_and_go_and_every_caller_that_stays_has_its_result() {
    let (mut random, seen) = (Random(seed()), Arc::new(AtomicU64::new(0)));
    let builder = Batcher::builder().max_items(4).capacity(8).policy(Policy::Immediate);
    let led = builder.build_leader(Blocking::new(squares(&seen))).unwrap();
    on_three_threads(&mut random, |random| {
        let item = random.below(1000) + 1;
        if random.below(4) == 0 {
            // Gives up at once, or nearly so.
            drop(led.submit(item).wait_timeout(Duration::ZERO));
            return;
        }
        match led.submit(item).wait() {
            Ok(square) => check(item, Ok(square), OnFull::Wait),
            Err(SubmitError::Failed(error)) => check(item, Err(error), OnFull::Wait),
            Err(other) => panic!("{other}"),
        }
    });
    let stats = led.stats();
    assert_eq!(seen.load(Ordering::Relaxed), stats.done);
    assert_eq!(stats.pushed, stats.done + stats.waiting as u64);
}

#[test]
fn a_poisoned_item_fails_alone_however_often_its_batch_is_tried() {
    let (mut random, seen) = (Random(seed()), Arc::new(AtomicU64::new(0)));
    let (batcher, driver) = Batcher::builder()
        .max_items(8)
        .capacity(16)
        .max_delay(Duration::from_micros(200))
        .retry(Backoff::fixed(Duration::from_micros(50)).jitter(1.0).seed(1).max_attempts(2))
        .on_error(OnError::Bisect)
        .build_on_thread(squares(&seen))
        .unwrap();
    on_three_threads(&mut random, |random| {
        let item = random.below(1000) + 1;
        match random.below(8) {
            0..=2 => assert!(batcher.push(item).wait().is_ok()),
            3 => drop(batcher.try_submit(item)),
            4 => batcher.flush().wait().unwrap(),
            _ => match batcher.submit(item).wait() {
                Ok(square) => assert_eq!(square, item * item),
                Err(SubmitError::Failed(BatchError::Handler(poison))) => {
                    assert_eq!((*poison, item % 64), (item, 0));
                }
                Err(other) => panic!("{other}"),
            },
        }
    });
    batcher.shutdown().wait().unwrap();
    let stats = batcher.stats();
    assert_eq!((stats.waiting, stats.in_flight, stats.done), (0, 0, stats.pushed));
    // A busy machine may let so few items through that none of them fails.
    assert!(stats.pushed < 10_000 || stats.retries > 0 && stats.splits > 0);
    drop(batcher);
    driver.join();
}

#[test]
fn every_key_has_its_items_in_order_while_keys_come_and_go() {
    let mut random = Random(seed());
    // The last processed number of each key; each thread has keys of its own.
    let last = Arc::new(Mutex::new(BTreeMap::<u64, u64>::new()));
    let in_order = {
        let last = last.clone();
        move |items: Vec<(u64, u64)>| {
            let mut last = last.lock().unwrap();
            for (key, number) in &items {
                assert_eq!(*key, items[0].0, "one key");
                assert!(last.insert(*key, *number).is_none_or(|before| before < *number));
            }
            Ok::<_, ()>(items.into_iter().map(|(key, number)| key + number).collect())
        }
    };
    let (batcher, driver) = Batcher::builder()
        .max_items(4)
        .capacity(8)
        .max_delay(Duration::from_micros(200))
        .keyed()
        .build_on_thread(in_order)
        .unwrap();
    let threads = AtomicU64::new(0);
    let end = Instant::now() + LONG;
    thread::scope(|s| {
        for _ in 0..3 {
            let (batcher, threads, mut random) =
                (&batcher, &threads, Random(random.below(u64::MAX)));
            s.spawn(move || {
                let first = 100 * threads.fetch_add(1, Ordering::Relaxed);
                for number in 1.. {
                    let key = first + random.below(5);
                    match random.below(6) {
                        0 => {
                            assert_eq!(batcher.submit((key, number)).wait().unwrap(), key + number)
                        }
                        1 => drop(batcher.try_submit((key, number))),
                        2 => batcher.flush().wait().unwrap(),
                        _ => assert!(batcher.push((key, number)).wait().is_ok()),
                    }
                    if Instant::now() > end {
                        break;
                    }
                }
            });
        }
    });
    batcher.shutdown().wait().unwrap();
    let stats = batcher.stats();
    assert_eq!((stats.waiting, stats.in_flight, stats.done), (0, 0, stats.pushed));
    assert_eq!(stats.failed, 0);
    drop(batcher);
    driver.join();
}
