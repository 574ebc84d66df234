//! Limits that follow the server.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use proptest::prelude::*;
use tidegate_semaphore::{
    AcquireError, Clock, Gate, MAX_PERMITS, ManualClock, Outcome, Pass, TryAcquireError,
    adaptive::{AdaptiveSemaphore, Aimd, Builder, Gradient2, LimitAlgorithm, Permit, Vegas},
};

use test_kit::Task;

type Limit<A> = AdaptiveSemaphore<A, ManualClock>;

const MILLISECOND: u64 = 1_000_000;

fn with_clock<A: LimitAlgorithm>(
    algorithm: A,
    set: impl FnOnce(Builder<A>) -> Builder<A>,
) -> (Limit<A>, ManualClock) {
    let clock = ManualClock::new();
    let builder = set(AdaptiveSemaphore::builder(algorithm)).clock(clock.clone());
    (builder.build().unwrap(), clock)
}

/// Takes up to `n` permits, lets `millis` pass, settles all as successes, and returns the limit.
fn round<A: LimitAlgorithm>(limit: &Limit<A>, clock: &ManualClock, n: usize, millis: u64) -> usize {
    let permits: Vec<_> = (0..n).map_while(|_| limit.try_acquire().ok()).collect();
    clock.advance(Duration::from_millis(millis));
    permits.into_iter().for_each(Permit::success);
    limit.limit()
}

/// What a server does with so many requests at once: the latency in nanoseconds, or `None` if it
/// refuses.
type Load = fn(usize) -> Option<u64>;

/// Up to 20 requests have no queue and take 10 ms; above that the latency rises with the load.
const KNEE_AT_20: Load = |n| Some(10 * MILLISECOND * n.max(20) as u64 / 20);
const KNEE_AT_60: Load = |n| Some(10 * MILLISECOND * n.max(60) as u64 / 60);
const KNEE_AT_20_SLOW: Load = |n| Some(40 * MILLISECOND * n.max(20) as u64 / 20);
const FULL_AT_20: Load = |n| (n <= 20).then_some(10 * MILLISECOND);

/// Sends as many requests as the limit lets in, until `total` have come back; returns the limits on
/// the way.
fn serve<A: LimitAlgorithm>(
    limit: &Limit<A>,
    clock: &ManualClock,
    load: Load,
    total: usize,
) -> Vec<usize> {
    let mut ends = BinaryHeap::new();
    let mut permits = Vec::new();
    let mut limits = Vec::new();
    while limits.len() < total {
        while let Ok(permit) = limit.try_acquire() {
            let latency = load(ends.len() + 1);
            let end = clock.now() + Duration::from_nanos(latency.unwrap_or(MILLISECOND));
            ends.push(Reverse((end, permits.len())));
            permits.push(Some((permit, latency.is_some())));
        }
        let Reverse((end, index)) = ends.pop().expect("at least one is let in");
        clock.advance(end.since(clock.now()));
        let (permit, is_answered) = permits[index].take().expect("each ends once");
        if is_answered {
            permit.success()
        } else {
            permit.dropped()
        }
        limits.push(limit.limit());
    }
    limits
}

/// Returns the lowest and the highest limit of the second half, when the limit has settled.
fn settled(limits: &[usize]) -> (usize, usize) {
    let half = &limits[limits.len() / 2..];
    (*half.iter().min().unwrap(), *half.iter().max().unwrap())
}

fn never_grows_when_app_limited<A: LimitAlgorithm>(algorithm: A) {
    let (limit, clock) = with_clock(algorithm, |builder| builder.initial(20));
    for _ in 0..1000 {
        assert_eq!(round(&limit, &clock, 9, 10), 20, "9 of 20 were in flight");
    }
}

#[test]
fn it_never_grows_when_app_limited() {
    never_grows_when_app_limited(Aimd::new());
    never_grows_when_app_limited(Vegas::new());
    never_grows_when_app_limited(Gradient2::new());
}

fn grows_when_half_of_it_is_used<A: LimitAlgorithm>(algorithm: A) {
    let (limit, clock) = with_clock(algorithm, |builder| builder.initial(20));
    round(&limit, &clock, 10, 10);
    assert!(round(&limit, &clock, 10, 10) > 20 || round(&limit, &clock, 10, 10) > 20);
}

#[test]
fn it_grows_when_half_of_it_is_used() {
    grows_when_half_of_it_is_used(Aimd::new());
    grows_when_half_of_it_is_used(Vegas::new());
    grows_when_half_of_it_is_used(Gradient2::new().smoothing(1.0));
}

fn never_admits_above_the_hard_limit<A: LimitAlgorithm>(algorithm: A) {
    let (limit, clock) = with_clock(algorithm, |builder| builder.initial(20).max(30));
    let mut most = 0;
    for _ in 0..1000 {
        let permits: Vec<_> = (0..100).map_while(|_| limit.try_acquire().ok()).collect();
        most = most.max(permits.len());
        clock.advance(Duration::from_millis(10));
        permits.into_iter().for_each(Permit::success);
    }
    assert_eq!(most, 30);
}

#[test]
fn it_never_admits_above_the_hard_limit() {
    never_admits_above_the_hard_limit(Aimd::new());
    never_admits_above_the_hard_limit(Vegas::new());
    never_admits_above_the_hard_limit(Gradient2::new());
}

fn never_falls_below_the_minimum<A: LimitAlgorithm>(algorithm: A) {
    let (limit, _) = with_clock(algorithm, |builder| builder.initial(5).min(2));
    (0..100).for_each(|_| limit.try_acquire().unwrap().dropped());
    assert_eq!(limit.limit(), 2);
    let both = (limit.try_acquire().unwrap(), limit.try_acquire().unwrap());
    assert!(limit.try_acquire().is_err());
    drop(both);
}

#[test]
fn it_never_falls_below_the_minimum() {
    never_falls_below_the_minimum(Aimd::new());
    never_falls_below_the_minimum(Vegas::new());
    never_falls_below_the_minimum(Gradient2::new());
}

fn a_drop_takes_at_least_one<A: LimitAlgorithm + Clone>(algorithm: &A) {
    for initial in 2..=100 {
        let (limit, clock) = with_clock(algorithm.clone(), |builder| builder.initial(initial));
        // The limit may have a fraction before the drop.
        let before = (0..10).fold(initial, |_, _| round(&limit, &clock, initial, 10));
        limit.try_acquire().unwrap().dropped();
        assert!(limit.limit() < before, "from {before}");
    }
}

#[test]
fn a_drop_shrinks_it() {
    a_drop_takes_at_least_one(&Aimd::new());
    a_drop_takes_at_least_one(&Aimd::new().backoff(0.99));
    a_drop_takes_at_least_one(&Vegas::new());
    a_drop_takes_at_least_one(&Gradient2::new());
}

fn after_a_drop_from_100<A: LimitAlgorithm>(algorithm: A) -> usize {
    let (limit, _) = with_clock(algorithm, |builder| builder.initial(100));
    limit.try_acquire().unwrap().dropped();
    limit.limit()
}

#[test]
fn a_drop_takes_the_share_that_the_algorithm_says() {
    assert_eq!(after_a_drop_from_100(Aimd::new()), 90);
    assert_eq!(after_a_drop_from_100(Aimd::new().backoff(0.5)), 50);
    assert_eq!(after_a_drop_from_100(Vegas::new()), 75);
    assert_eq!(after_a_drop_from_100(Gradient2::new()), 90);
    assert_eq!(after_a_drop_from_100(Gradient2::new().smoothing(1.0)), 50);
}

#[test]
fn a_burst_of_drops_shrinks_it_once() {
    let (limit, clock) = with_clock(Aimd::new().backoff(0.5), |builder| builder.initial(16));
    let permits: Vec<_> = (0..16).map_while(|_| limit.try_acquire().ok()).collect();
    clock.advance(Duration::from_millis(10));
    permits.into_iter().for_each(Permit::dropped);
    assert_eq!((limit.limit(), limit.stats().dropped), (8, 16));
    // A request that began after the cut is dropped: the cut was not enough.
    limit.try_acquire().unwrap().dropped();
    assert_eq!(limit.limit(), 4);
}

fn a_burst_within_a_tick_is_one_cut<A: LimitAlgorithm + Clone>(algorithm: &A) {
    let (once, _) = with_clock(algorithm.clone(), |builder| builder.initial(100));
    once.try_acquire().unwrap().dropped();
    let (limit, _) = with_clock(algorithm.clone(), |builder| builder.initial(100));
    let mut permits: Vec<_> = (0..100).map_while(|_| limit.try_acquire().ok()).collect();
    let late = permits.split_off(50);
    permits.into_iter().for_each(Permit::dropped);
    assert_eq!(limit.limit(), once.limit(), "all began before the first of them was cut");
    // Granted after the cut, in the same tick.
    let again: Vec<_> = (0..100).map_while(|_| limit.try_acquire().ok()).collect();
    late.into_iter().for_each(Permit::dropped);
    assert_eq!(limit.limit(), once.limit());
    again.into_iter().for_each(Permit::dropped);
    once.try_acquire().unwrap().dropped();
    assert_eq!(limit.limit(), once.limit(), "a second cut, and no third");
}

#[test]
fn a_burst_of_drops_within_a_tick_is_one_cut() {
    a_burst_within_a_tick_is_one_cut(&Aimd::new());
    a_burst_within_a_tick_is_one_cut(&Vegas::new());
    a_burst_within_a_tick_is_one_cut(&Gradient2::new());
}

#[test]
fn successes_of_one_tick_count_for_the_limit_they_began_under() {
    // By a clock that stands still, all requests take no time.
    let (limit, _) = with_clock(Aimd::new(), |builder| builder.initial(20));
    let early: Vec<_> = (0..20).map_while(|_| limit.try_acquire().ok()).collect();
    early.into_iter().for_each(Permit::success);
    assert_eq!(limit.limit(), 21);
    let (mut early, mut rounds) = (Vec::new(), 0);
    while let Ok(permit) = limit.try_acquire() {
        early.push(permit);
    }
    early.split_off(1).into_iter().for_each(Permit::success);
    while limit.limit() == 21 && rounds < 9 {
        limit.try_acquire().unwrap().success();
        rounds += 1;
    }
    assert_eq!((limit.limit(), rounds), (22, 1), "twenty and one more");
    early.into_iter().for_each(Permit::success);
    let before = limit.stats().succeeded;
    for _ in 0..21 {
        limit.try_acquire().unwrap().success();
    }
    assert_eq!((limit.limit(), limit.stats().succeeded), (22, before + 21), "21 of 22");
}

/// A second passes while the owner of a pass, which is borrowed or owned, waits for a later gate.
fn unmoved_by_a_later_gate(is_owned: bool) {
    let aimd = Aimd::new().timeout(Duration::from_millis(50));
    let (limit, clock) = with_clock(aimd, |builder| builder.initial(50).min_samples(1));
    let limit = std::sync::Arc::new(limit);
    let later = tidegate_semaphore::Semaphore::new(1);
    for _ in 0..100 {
        let held = later.try_acquire(1).unwrap();
        if is_owned {
            let row = (limit.clone(), &later);
            let mut call = Task::waiting(row.run_async(async { Ok::<_, ()>(()) }));
            clock.advance(Duration::from_secs(1));
            drop(held);
            assert_eq!(call.output().unwrap(), Ok(()));
        } else {
            let row = (&*limit, &later);
            let mut call = Task::waiting(row.run_async(async { Ok::<_, ()>(()) }));
            clock.advance(Duration::from_secs(1));
            drop(held);
            assert_eq!(call.output().unwrap(), Ok(()));
        }
    }
    assert_eq!(limit.limit(), 50);
    assert_eq!(limit.stats().max_rtt, Some(Duration::ZERO));
}

#[test]
fn what_is_waited_for_at_a_later_gate_is_not_the_servers_time() {
    unmoved_by_a_later_gate(false);
    unmoved_by_a_later_gate(true);
}

#[test]
fn a_drop_of_a_request_from_before_the_limit_grew_shrinks_it() {
    let (limit, clock) = with_clock(Aimd::new(), |builder| builder.initial(20));
    let early = limit.try_acquire().unwrap();
    clock.advance(Duration::from_millis(1));
    (0..2).for_each(|_| _ = round(&limit, &clock, 19, 10));
    assert_eq!(limit.limit(), 21);
    early.dropped();
    assert_eq!(limit.limit(), 18);
}

#[test]
fn a_request_from_before_a_change_tells_nothing_of_the_new_limit() {
    let (limit, clock) = with_clock(Aimd::new(), |builder| builder.initial(20));
    let mut permits: Vec<_> = (0..20).map_while(|_| limit.try_acquire().ok()).collect();
    clock.advance(Duration::from_millis(10));
    permits.pop().unwrap().dropped();
    permits.into_iter().for_each(Permit::success);
    assert_eq!(limit.limit(), 18);
    assert_eq!(round(&limit, &clock, 18, 10), 19);
}

#[test]
fn a_cut_comes_before_the_next_grant() {
    let (limit, _) = with_clock(Aimd::new(), |builder| builder.initial(2));
    let (first, second) = (limit.try_acquire().unwrap(), limit.try_acquire().unwrap());
    let mut waits = Task::waiting(limit.acquire());
    first.dropped();
    assert_eq!((limit.limit(), waits.woken()), (1, 0));
    second.ignore();
    assert_eq!(waits.woken(), 1);
    assert_eq!(waits.output().map(drop), Ok(()));
}

#[test]
fn a_limit_that_grows_lets_waiters_in() {
    let (limit, clock) = with_clock(Aimd::new(), |builder| builder.initial(2).min_samples(1));
    let (first, _second) = (limit.try_acquire().unwrap(), limit.try_acquire().unwrap());
    let (mut third, mut fourth) = (Task::waiting(limit.acquire()), Task::waiting(limit.acquire()));
    first.success();
    assert_eq!((third.woken(), fourth.woken(), limit.limit()), (1, 0, 2), "its place");
    clock.advance(Duration::from_millis(1));
    third.output().unwrap().success();
    assert_eq!((fourth.woken(), limit.limit()), (1, 3));
    assert!(fourth.is_ready());
}

#[test]
fn an_ignored_permit_changes_nothing() {
    let (limit, clock) = with_clock(Aimd::new(), |builder| builder.initial(1).min_samples(1));
    let before = limit.stats();
    for _ in 0..100 {
        let permit = limit.try_acquire().unwrap();
        clock.advance(Duration::from_secs(60));
        permit.ignore();
        drop(limit.try_acquire().unwrap());
    }
    assert_eq!(limit.stats(), before);
}

#[test]
fn a_pass_tells_how_it_went() {
    let (limit, _) = with_clock(Aimd::new(), |builder| builder.initial(10));
    limit.try_enter().unwrap().settle(Outcome::Success);
    limit.try_enter().unwrap().settle(Outcome::Ignored);
    assert_eq!(limit.limit(), 10);
    Task::new(limit.enter()).output().unwrap().settle(Outcome::Failure);
    let stats = limit.stats();
    assert_eq!((stats.succeeded, stats.dropped, stats.limit, stats.in_flight), (1, 1, 9, 0));
}

#[test]
fn it_waits_in_a_queue_and_is_closed_like_a_semaphore() {
    let (limit, _) = with_clock(Vegas::new(), |builder| builder.initial(1).max_waiters(1));
    let held = limit.try_acquire().unwrap();
    assert_eq!(limit.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    let mut waits = Task::waiting(limit.acquire());
    assert_eq!(Task::new(limit.acquire()).output().unwrap_err(), AcquireError::QueueFull);
    assert_eq!((limit.stats().waiting, limit.stats().refused), (1, 2));
    assert!(limit.close() && !limit.close() && limit.is_closed());
    assert_eq!(waits.output().unwrap_err(), AcquireError::Closed);
    let mut idle = Task::waiting(limit.idle());
    held.success();
    assert!(idle.is_ready());
    assert_eq!(limit.try_enter().unwrap_err(), TryAcquireError::Closed);
}

/// The limit comes up to the knee of the server, and does not go far beyond.
#[test]
fn the_limit_follows_the_latency() {
    let (limit, clock) = with_clock(Vegas::new(), |builder| builder.initial(5));
    for (load, knee) in [(KNEE_AT_20, 20), (KNEE_AT_60, 60), (KNEE_AT_20, 20)] {
        let (least, most) = settled(&serve(&limit, &clock, load, 20_000));
        // Probes halve it for a round.
        assert!(least >= knee / 2 && (knee..=knee * 3 / 2).contains(&most), "{least} to {most}");
    }
    let (limit, clock) = with_clock(Gradient2::new(), |builder| builder.initial(5));
    for (load, knee) in [(KNEE_AT_20, 20), (KNEE_AT_60, 60), (KNEE_AT_20, 20)] {
        let (least, most) = settled(&serve(&limit, &clock, load, 6_000));
        assert!(least >= knee && most <= 3 * knee, "{least} to {most}");
    }
    let aimd = Aimd::new().timeout(Duration::from_millis(20));
    let (limit, clock) = with_clock(aimd, |builder| builder.initial(5));
    for (load, knee) in [(KNEE_AT_20, 20), (KNEE_AT_60, 60), (KNEE_AT_20, 20)] {
        let (least, most) = settled(&serve(&limit, &clock, load, 20_000));
        assert!(least >= knee && most <= 2 * knee + 1, "{least} to {most}");
    }
}

#[test]
fn the_limit_follows_the_drops() {
    let (limit, clock) = with_clock(Aimd::new(), |builder| builder.initial(100));
    let (least, most) = settled(&serve(&limit, &clock, FULL_AT_20, 20_000));
    assert!(least >= 15 && most <= 21, "{least} to {most}");
}

#[test]
fn a_limit_of_vegas_does_not_creep_under_a_steady_load() {
    let (limit, clock) = with_clock(Vegas::new(), |builder| builder.initial(5));
    let limits = serve(&limit, &clock, KNEE_AT_20, 200_000);
    assert!(limits.iter().skip(10_000).all(|&limit| limit <= 30), "{:?}", settled(&limits));
}

#[test]
fn probes_of_vegas_are_few() {
    let (limit, clock) = with_clock(Vegas::new(), |builder| builder.initial(20));
    let limits = serve(&limit, &clock, KNEE_AT_20, 20_000);
    let probed = limits.iter().filter(|&&limit| limit < 20).count();
    assert!((100..1_000).contains(&probed), "{probed} of 20000");
}

#[test]
fn vegas_measures_a_server_that_became_slower_anew() {
    let (limit, clock) = with_clock(Vegas::new(), |builder| builder.initial(20));
    serve(&limit, &clock, KNEE_AT_20, 5_000);
    let (_, most) = settled(&serve(&limit, &clock, KNEE_AT_20_SLOW, 20_000));
    assert!((20..=40).contains(&most), "{most}");
}

#[test]
fn a_probe_of_vegas_lasts_until_more_is_needed() {
    let vegas = Vegas::new().probe_every(2);
    let (limit, clock) = with_clock(vegas, |builder| builder.initial(20));
    assert_eq!((round(&limit, &clock, 20, 10), round(&limit, &clock, 26, 10)), (26, 13));
    for _ in 0..10 {
        assert_eq!(round(&limit, &clock, 4, 10), 13, "few come");
    }
    round(&limit, &clock, 13, 10);
    assert_eq!(limit.limit(), 32, "what it would have been without the probe");
}

#[test]
fn one_lucky_request_does_not_sink_vegas() {
    let (limit, clock) = with_clock(Vegas::new(), |builder| builder.initial(20).max(20));
    let steady = |_: ()| round(&limit, &clock, 20, 300);
    assert_eq!(steady(()), 20);
    let permits: Vec<_> = (0..20).map_while(|_| limit.try_acquire().ok()).collect();
    clock.advance(Duration::from_millis(150));
    for (number, permit) in permits.into_iter().enumerate() {
        if number == 1 {
            clock.advance(Duration::from_millis(150));
        }
        permit.success();
    }
    for _ in 0..20 {
        assert_eq!(steady(()), 20);
    }
}

#[test]
fn gradient2_forgets_a_load_that_has_passed() {
    let (limit, clock) = with_clock(Gradient2::new(), |builder| builder.initial(20).max(20));
    (0..50).for_each(|_| _ = round(&limit, &clock, 20, 100));
    (0..100).for_each(|_| _ = round(&limit, &clock, 20, 10));
    assert_eq!(limit.limit(), 20);
    assert!(round(&limit, &clock, 20, 50) < 20, "slow, though faster than it once was");
}

/// How fast a request is refused, or times out, says nothing about how long the work takes.
#[test]
fn a_fast_refusal_is_no_low_latency() {
    let (limit, clock) = with_clock(Vegas::new(), |builder| builder.initial(40).max(40));
    round(&limit, &clock, 40, 100);
    let refused = limit.try_acquire().unwrap();
    clock.advance(Duration::from_millis(1));
    refused.dropped();
    assert_eq!((limit.limit(), limit.stats().min_rtt), (30, Some(Duration::from_millis(100))));
    assert!(round(&limit, &clock, 30, 100) > 30, "no queue is seen");
}

#[test]
fn what_is_out_of_range_is_refused_with_its_name_and_range() {
    fn error<A: LimitAlgorithm>(builder: Builder<A>) -> String {
        builder.build().unwrap_err().to_string()
    }
    let vegas = || AdaptiveSemaphore::builder(Vegas::new());
    assert_eq!(error(vegas().max(0)), "max is 0, but must be in 1..=4294967295");
    assert_eq!(
        error(vegas().max(MAX_PERMITS + 1)),
        "max is 4294967296, but must be in 1..=4294967295"
    );
    assert_eq!(error(vegas().min(0)), "min is 0, but must be in 1..=200");
    assert_eq!(error(vegas().min(9).max(8)), "min is 9, but must be in 1..=8");
    assert_eq!(error(vegas().min(5).initial(4)), "initial is 4, but must be in 5..=200");
    assert_eq!(error(vegas().min_samples(0)), "min_samples is 0, but must be in 1..=4294967295");
    let probe = AdaptiveSemaphore::builder(Vegas::new().probe_every(1));
    assert_eq!(error(probe), "probe_every is 1, but must be in 2..=1000000");
    for (aimd, message) in [
        (Aimd::new().increase(0), "increase is 0, but must be in 1..=1000"),
        (Aimd::new().backoff(1.0), "backoff is 1.0, but must be in 0.1..=0.99"),
        (Aimd::new().backoff(f64::NAN), "backoff is NaN, but must be in 0.1..=0.99"),
    ] {
        assert_eq!(error(AdaptiveSemaphore::builder(aimd)), message);
    }
    let timeout = AdaptiveSemaphore::builder(Aimd::new().timeout(Duration::ZERO));
    assert!(error(timeout).starts_with("timeout is 0ns, but must be in 1ns..="));
    for (gradient, message) in [
        (Gradient2::new().tolerance(0.9), "tolerance is 0.9, but must be in 1.0..=10.0"),
        (Gradient2::new().smoothing(0.0), "smoothing is 0.0, but must be in 0.01..=1.0"),
        (Gradient2::new().queue(0), "queue is 0, but must be in 1..=1000"),
        (Gradient2::new().long_window(9), "long_window is 9, but must be in 10..=1000000"),
    ] {
        assert_eq!(error(AdaptiveSemaphore::builder(gradient)), message);
    }
    // The default is moved into the range.
    assert_eq!(vegas().max(7).build().unwrap().limit(), 7);
    assert_eq!(vegas().min(30).build().unwrap().limit(), 30);
}

#[derive(Debug, Clone)]
enum Step {
    Take,
    Succeed(usize),
    Drop(usize),
    Ignore(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Take),
        5 => (0..64_usize).prop_map(Step::Succeed),
        1 => (0..64_usize).prop_map(Step::Drop),
        1 => (0..64_usize).prop_map(Step::Ignore),
        2 => prop_oneof![0..100_u64, Just(u64::MAX / 4)].prop_map(Step::Pass),
    ]
}

fn live_through<A: LimitAlgorithm>(algorithm: A, min: usize, span: usize, steps: &[Step]) {
    let max = min + span;
    let (limit, clock) = with_clock(algorithm, |builder| builder.min(min).max(max).min_samples(1));
    let mut held = Vec::new();
    for step in steps {
        let before = limit.limit();
        match *step {
            Step::Take => match limit.try_acquire() {
                Ok(permit) => held.push(permit),
                Err(_) => assert!(held.len() >= before),
            },
            Step::Pass(nanos) => clock.advance(Duration::from_nanos(nanos)),
            _ if held.is_empty() => {}
            Step::Succeed(index) => held.swap_remove(index % held.len()).success(),
            Step::Drop(index) => held.swap_remove(index % held.len()).dropped(),
            Step::Ignore(index) => held.swap_remove(index % held.len()).ignore(),
        }
        let stats = limit.stats();
        assert!((min..=max).contains(&stats.limit) && held.len() <= max);
        assert_eq!(stats.in_flight, held.len());
        let may_change = matches!(step, Step::Succeed(_) | Step::Drop(_));
        assert!(may_change || stats.limit == before);
    }
    held.clear();
    let all: Vec<_> = (0..=max).map_while(|_| limit.try_acquire().ok()).collect();
    assert_eq!(all.len(), limit.limit(), "the permits are as many as the limit");
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_whatever_the_samples(
        min in 1..6_usize,
        span in 0..30_usize,
        steps in prop::collection::vec(step(), 0..400),
    ) {
        live_through(Aimd::new().increase(7).timeout(Duration::from_nanos(50)), min, span, &steps);
        live_through(Vegas::new().probe_every(3), min, span, &steps);
        live_through(Gradient2::new().smoothing(1.0).long_window(10), min, span, &steps);
    }
}
