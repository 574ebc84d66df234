//! The promises of `CachedClock`.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate_core::{CachedClock, CancelToken, Clock, ManualClock, Timer, Timestamp, Wait};

const SECOND: Duration = Duration::from_secs(1);

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn both() -> (ManualClock, Arc<CachedClock<ManualClock>>) {
    let hand = ManualClock::new();
    (hand.clone(), Arc::new(CachedClock::new(hand)))
}

#[test]
fn time_stands_still_while_nobody_refreshes() {
    let (hand, clock) = both();
    hand.advance(SECOND);
    assert_eq!(clock.now(), Timestamp::ORIGIN);
    assert_eq!(clock.refresh(), Timestamp::ORIGIN + SECOND);
    assert_eq!(clock.now(), Timestamp::ORIGIN + SECOND);
}

#[test]
fn it_does_not_go_backward_with_its_inner_clock() {
    struct Erratic(std::cell::Cell<u64>);
    impl Clock for Erratic {
        fn now(&self) -> Timestamp {
            Timestamp::from_nanos(self.0.get())
        }
    }
    let clock = CachedClock::new(Erratic(7.into()));
    clock.refresh();
    clock.inner().0.set(5);
    assert_eq!(clock.refresh(), Timestamp::from_nanos(7));
    assert_eq!(clock.now(), Timestamp::from_nanos(7));
}

#[test]
fn who_has_slept_until_a_time_finds_it_come() {
    let (hand, clock) = both();
    let time = Timestamp::ORIGIN + SECOND;
    let mut sleep = pin!(clock.sleep_until(time));
    assert!(poll(sleep.as_mut()).is_pending());
    hand.advance(SECOND);
    assert!(clock.now() < time);
    assert!(poll(sleep).is_ready());
    assert!(clock.now() >= time);
}

#[test]
fn a_sleep_lasts_its_duration_although_the_clock_lags() {
    let (hand, clock) = both();
    hand.advance(10 * SECOND);
    let mut sleep = pin!(clock.sleep(SECOND));
    assert!(poll(sleep.as_mut()).is_pending());
    hand.advance(SECOND);
    assert!(poll(sleep).is_ready());
}

#[test]
fn it_lags_by_less_than_its_resolution_while_kept_fresh() {
    let (hand, clock) = both();
    hand.advance(5 * SECOND);
    let mut fresh = Box::pin(clock.keep_fresh(10 * SECOND));
    for _ in 0..30 {
        assert!(poll(fresh.as_mut()).is_pending());
        assert!(hand.now().since(clock.now()) < 10 * SECOND);
        hand.advance(SECOND);
    }
    drop(fresh);
    assert_eq!(hand.next_due(), None, "a dropped refresher leaves no trace");
}

#[test]
#[should_panic(expected = "above zero")]
fn a_resolution_of_nothing_is_a_mistake() {
    let (_, clock) = both();
    drop(clock.keep_fresh(Duration::ZERO));
}

/// Makes a value last for ever, where the leak checker still finds it.
fn keep<T: Send + Sync + 'static>(value: T) -> &'static T {
    static KEPT: std::sync::Mutex<Vec<&'static (dyn std::any::Any + Send + Sync)>> =
        std::sync::Mutex::new(Vec::new());
    let kept: &'static T = Box::leak(Box::new(value));
    KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(kept);
    kept
}

/// Returns a manual clock, and a cached clock over it that lags by an hour.
fn lagging() -> (ManualClock, &'static CachedClock<ManualClock>) {
    let hand = ManualClock::new();
    hand.advance(3600 * SECOND);
    (hand.clone(), keep(CachedClock::new(hand)))
}

/// Checks what every timer promises of durations, through whatever stands between `timer` and
/// `hand`.
fn counts_from_the_call<T: Timer>(hand: &ManualClock, timer: T) {
    assert_eq!(timer.fresh_now(), hand.now());
    hand.advance(60 * SECOND);
    assert_eq!(timer.deadline_after(SECOND), hand.now() + SECOND);
    hand.advance(60 * SECOND);
    let mut sleep = pin!(timer.sleep(SECOND));
    hand.advance(60 * SECOND);
    assert!(poll(sleep.as_mut()).is_ready());
    hand.advance(60 * SECOND);
    let mut sleep = pin!(timer.sleep(60 * SECOND));
    let mut timeout = pin!(std::future::pending::<()>().or_timeout(&timer, 60 * SECOND));
    assert!(poll(sleep.as_mut()).is_pending() && poll(timeout.as_mut()).is_pending());
    hand.advance(60 * SECOND);
    assert!(poll(sleep).is_ready() && poll(timeout).is_ready());
    hand.advance(60 * SECOND);
    let token = CancelToken::new().child_with_timeout(&timer, 60 * SECOND);
    assert_eq!(token.deadline(), Some(hand.now() + 60 * SECOND));
    assert!(!token.is_cancelled());
    hand.advance(60 * SECOND);
    assert!(token.is_cancelled());
}

#[test]
fn a_duration_counts_from_its_call_however_far_the_clock_lags() {
    let (hand, clock) = lagging();
    counts_from_the_call(&hand, clock);
    let (hand, clock) = lagging();
    let reference = &clock;
    counts_from_the_call(&hand, reference);
    let (hand, clock) = lagging();
    counts_from_the_call(&hand, Arc::new(clock));
    let (hand, _) = lagging();
    counts_from_the_call(&hand, Arc::new(CachedClock::new(hand.clone())));
    let (hand, _) = lagging();
    let arc = &Arc::new(CachedClock::new(hand.clone()));
    counts_from_the_call(&hand, arc);
    counts_from_the_call(&hand, hand.clone());
}

/// A timer whose every method says that it was called.
struct Own(std::sync::Mutex<Vec<&'static str>>);

impl Clock for Own {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().push("now");
        Timestamp::ORIGIN
    }
    fn fresh_now(&self) -> Timestamp {
        self.0.lock().unwrap().push("fresh_now");
        Timestamp::ORIGIN
    }
    fn deadline_after(&self, _: Duration) -> Timestamp {
        self.0.lock().unwrap().push("deadline_after");
        Timestamp::ORIGIN
    }
}

impl Timer for Own {
    type Sleep = std::future::Ready<()>;
    fn sleep_until(&self, _: Timestamp) -> Self::Sleep {
        self.0.lock().unwrap().push("sleep_until");
        std::future::ready(())
    }
    fn sleep(&self, _: Duration) -> Self::Sleep {
        self.0.lock().unwrap().push("sleep");
        std::future::ready(())
    }
}

#[test]
fn a_reference_and_an_arc_pass_every_method_of_a_timer_on() {
    fn call_all<T: Timer>(timer: T) {
        timer.now();
        timer.fresh_now();
        timer.deadline_after(SECOND);
        drop(timer.sleep_until(Timestamp::ORIGIN));
        drop(timer.sleep(SECOND));
    }
    let all = ["now", "fresh_now", "deadline_after", "sleep_until", "sleep"];
    let own = Own(Vec::new().into());
    let called = |own: &Own| std::mem::take(&mut *own.0.lock().unwrap());
    call_all(&own);
    assert_eq!(called(&own), all);
    let own = Arc::new(own);
    call_all(&own);
    call_all(own.clone());
    assert_eq!(called(&own), [all, all].concat());
}

#[test]
fn keeping_a_clock_fresh_yields_however_fine_the_resolution() {
    // Each reading takes longer than the resolution.
    struct Racing(std::sync::atomic::AtomicU64);
    impl Clock for Racing {
        fn now(&self) -> Timestamp {
            Timestamp::from_nanos(self.0.fetch_add(10, std::sync::atomic::Ordering::SeqCst))
        }
    }
    impl Timer for Racing {
        type Sleep = std::future::Ready<()>;
        fn sleep_until(&self, _: Timestamp) -> Self::Sleep {
            std::future::ready(())
        }
    }
    let clock = CachedClock::new(Racing(0.into()));
    let mut fresh = pin!(clock.keep_fresh(Duration::from_nanos(1)));
    let woken = Arc::new(Counting(0.into()));
    let waker = Waker::from(woken.clone());
    for polls in 1..10 {
        let before = clock.now();
        assert!(fresh.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(clock.now() > before);
        assert_eq!(woken.0.load(std::sync::atomic::Ordering::SeqCst), polls, "it goes on");
    }
}

struct Counting(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}
