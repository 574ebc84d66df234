//! Models of what changes a limiter while it is used: new quotas, reservations, refunds.

use std::{num::NonZeroUsize, sync::Arc, task::Poll, time::Duration};

use loom_tests::{CountingWaker, model, poll, poll_quietly, thread};
use tidegate_core::{Gate, ManualClock, Timestamp, Wait};
use tidegate_rate_limiter::{FixedKeyedLimiter, Inherit, KeyedLimiter, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

fn quota(tokens: u32, burst: u32) -> Quota {
    Quota::per_second(tokens).burst(burst)
}

fn limiter(tokens: u32, burst: u32) -> Arc<RateLimiter<()>> {
    Arc::new(RateLimiter::with_clock(quota(tokens, burst), ()))
}

/// The two quotas count in different units, so a number of the one is nonsense for the other.
#[test]
fn no_taker_counts_half_by_the_old_quota_and_half_by_the_new() {
    model(|| {
        let limiter = limiter(1, 2);
        let now = Timestamp::ORIGIN + 1000 * SECOND;
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_at(1, now).unwrap())
        };
        limiter.set_quota_at(quota(3, 4), Inherit::AsIs, now);
        let grant = taker.join().unwrap();
        // If the taker came first, one token of two is left; if the change did, a bucket of four
        // inherited two tokens, and one is left.
        assert!([(2, 1), (4, 1)].contains(&(grant.limit(), grant.remaining())), "{grant:?}");
        let left = limiter.try_acquire_at(0, now).unwrap();
        assert_eq!((left.limit(), left.remaining()), (4, 1));
    });
}

#[test]
fn a_refusal_is_by_one_of_the_two_quotas() {
    model(|| {
        let limiter = limiter(1, 1);
        let now = Timestamp::ORIGIN + 1000 * SECOND;
        limiter.try_acquire_at(1, now).unwrap();
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_at(1, now).unwrap_err().retry_after())
        };
        limiter.set_quota_at(quota(4, 2), Inherit::AsIs, now);
        assert!([Some(SECOND), Some(SECOND / 4)].contains(&taker.join().unwrap()));
    });
}

/// The first lane is filled again while a taker may be half through reading it.
#[test]
fn a_refusal_is_by_one_of_three_quotas() {
    model(|| {
        let limiter = limiter(1, 1);
        let now = Timestamp::ORIGIN + 1000 * SECOND;
        limiter.try_acquire_at(1, now).unwrap();
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_at(1, now).unwrap_err().retry_after())
        };
        limiter.set_quota_at(quota(4, 1), Inherit::AsIs, now);
        limiter.set_quota_at(quota(2, 1), Inherit::AsIs, now);
        let answers = [1, 4, 2].map(|rate| Some(SECOND / rate));
        assert!(answers.contains(&taker.join().unwrap()));
    });
}

/// Races a refusal against two changes; all possible answers are computed first. Each change has
/// its thread: on one, the first change's last fence would publish what the second one stores.
fn a_refusal_mixes_nothing(first: Quota, last: Quota, taken: u32, asked: u32) {
    model(move || {
        let now = Timestamp::ORIGIN + 1000 * SECOND;
        let changes = [quota(4, first.max_burst()), last];
        let after = |changes: &[Quota]| {
            let limiter = RateLimiter::with_clock(first, ());
            limiter.try_acquire_at(taken, now).unwrap();
            changes.iter().for_each(|to| limiter.set_quota_at(*to, Inherit::AsIs, now));
            limiter
        };
        let refusal =
            move |limiter: &RateLimiter<()>| limiter.try_acquire_at(asked, now).unwrap_err();
        let answers = [0, 1, 2].map(|made| refusal(&after(&changes[..made])));
        let limiter = Arc::new(after(&[]));
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || refusal(&limiter))
        };
        limiter.set_quota_at(changes[0], Inherit::AsIs, now);
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.set_quota_at(last, Inherit::AsIs, now))
        };
        let answer = taker.join().unwrap();
        assert!(answers.contains(&answer), "{answer:?}");
        other.join().unwrap();
    });
}

#[test]
fn no_refusal_has_the_cost_of_another_quota() {
    a_refusal_mixes_nothing(quota(2, 2), quota(1, 3), 1, 2);
}

#[test]
fn no_refusal_has_the_depth_of_another_quota() {
    a_refusal_mixes_nothing(quota(1, 2), quota(5, 3), 1, 2);
}

#[test]
fn no_refusal_has_the_speed_of_another_quota() {
    a_refusal_mixes_nothing(quota(3, 2), quota(1, 3), 1, 2);
}

#[test]
fn no_refusal_has_the_burst_of_another_quota() {
    a_refusal_mixes_nothing(quota(1, 1), quota(5, 3), 0, 2);
}

/// The lane of the old quota is filled again while a taker may still be reading it.
#[test]
fn two_changes_in_a_row_are_one_after_the_other_for_every_taker() {
    model(|| {
        let limiter = limiter(1, 1);
        let now = Timestamp::ORIGIN + 1000 * SECOND;
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_at(1, now).unwrap())
        };
        limiter.set_quota_at(quota(3, 3), Inherit::Additive, now);
        limiter.set_quota_at(quota(2, 5), Inherit::Additive, now);
        let grant = taker.join().unwrap();
        let answers = [(1, 0), (3, 2), (5, 4)];
        assert!(answers.contains(&(grant.limit(), grant.remaining())), "{grant:?}");
        assert_eq!(limiter.try_acquire_at(0, now).unwrap().remaining(), 4);
    });
}

#[test]
fn a_new_quota_restarts_the_timer_of_the_head() {
    model(|| {
        let clock = ManualClock::new();
        let limiter = Arc::new(RateLimiter::with_clock(quota(1, 1), clock.clone()));
        limiter.try_acquire(1).unwrap();
        let changer = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.set_quota(quota(4, 1), Inherit::Reset))
        };
        let mut head = limiter.acquire(1);
        let (woken, waker) = CountingWaker::new();
        let polled = poll(&mut head, &waker);
        changer.join().unwrap();
        if polled.is_pending() {
            assert_eq!(woken.count(), 1);
            assert!(matches!(poll_quietly(&mut head), Poll::Ready(Ok(_))));
        }
    });
}

#[test]
fn a_refund_wakes_the_head_that_makes_the_wait_queue() {
    model(|| {
        let limiter = Arc::new(RateLimiter::with_clock(quota(1, 1), ManualClock::new()));
        limiter.try_acquire(1).unwrap();
        let waiter = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.acquire(1).wait().is_ok())
        };
        limiter.refund(1);
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn a_reservation_that_races_a_taker_comes_before_or_after_it() {
    model(|| {
        let limiter = limiter(1, 1);
        let now = Timestamp::ORIGIN + 10 * SECOND;
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_at(1, now).is_ok())
        };
        let reservation = limiter.reserve_at(1, now).unwrap();
        let is_taken = taker.join().unwrap();
        assert_eq!(reservation.ready_at(), if is_taken { now + SECOND } else { now });
        assert_eq!(reservation.cancel_at(now), 1);
        assert_eq!(limiter.try_acquire_at(1, now).is_ok(), !is_taken);
    });
}

#[test]
fn a_refund_that_races_a_reservation_does_not_join_it() {
    model(|| {
        let limiter = limiter(1, 1);
        let now = Timestamp::ORIGIN + 10 * SECOND;
        limiter.try_acquire_at(1, now).unwrap();
        let refunder = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1))
        };
        let ready_at = limiter.reserve_at(1, now).unwrap().ready_at();
        refunder.join().unwrap();
        // The refund came first, and was reserved; or it came too late.
        assert!(limiter.try_acquire_at(1, ready_at).is_err());
        assert!(limiter.try_acquire_at(1, ready_at + SECOND).is_ok());
    });
}

#[test]
fn a_cancel_that_races_a_taker_frees_its_token_once() {
    model(|| {
        let limiter = limiter(1, 1);
        let now = Timestamp::ORIGIN + 10 * SECOND;
        let reservation = limiter.reserve_at(1, now).unwrap();
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_at(1, now).is_ok())
        };
        assert_eq!(reservation.cancel_at(now), 1);
        let is_taken = taker.join().unwrap();
        assert_eq!(limiter.try_acquire_at(1, now).is_ok(), !is_taken);
    });
}

#[test]
fn racing_keys_of_one_cell_share_its_tokens() {
    model(|| {
        let cells = Arc::new(FixedKeyedLimiter::<1, ()>::with_clock(quota(1, 1), ()));
        let other = {
            let cells = cells.clone();
            thread::spawn(move || cells.try_acquire_at(&1, 1, Timestamp::ORIGIN).is_ok())
        };
        let own = cells.try_acquire_at(&2, 1, Timestamp::ORIGIN).is_ok();
        assert!(own != other.join().unwrap());
    });
}

/// A grant reads its position in another step than the one that changes the word.
#[test]
fn a_grant_that_races_a_refund_is_not_younger_than_it_is() {
    model(|| {
        let limiter = limiter(1, 3);
        let start = Timestamp::ORIGIN + 10 * SECOND;
        let first = limiter.try_acquire_at(2, start).unwrap();
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_at(1, start).unwrap())
        };
        limiter.adjust_at(first, 0, start);
        let second = taker.join().unwrap();
        // Only this grant is kept, so in either order its token has been refilled a second later.
        let later = start + SECOND;
        limiter.try_acquire_at(3, later).unwrap();
        limiter.adjust_at(second, 0, later);
        assert!(limiter.try_acquire_at(1, later).is_err());
    });
}

#[test]
fn two_refunds_at_once_restore_what_both_callers_took() {
    model(|| {
        let limiter = limiter(1, 3);
        let start = Timestamp::ORIGIN + 10 * SECOND;
        let [first, second] = [1, 2].map(|n| limiter.try_acquire_at(n, start).unwrap());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.adjust_at(first, 0, start))
        };
        limiter.adjust_at(second, 0, start);
        other.join().unwrap();
        assert!(limiter.try_acquire_at(3, start).is_ok());
        assert!(limiter.try_acquire_at(1, start).is_err());
    });
}

/// A refund reads the clock once it knows the word. If it read the clock first, tokens taken in
/// between would seem to lie above the grant.
#[test]
fn a_refund_that_races_the_clock_and_a_taker_mints_nothing() {
    model(|| {
        let clock = ManualClock::new();
        let limiter = Arc::new(RateLimiter::with_clock(quota(1, 2), clock.clone()));
        let old = limiter.try_acquire(2).unwrap();
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || {
                clock.advance(2 * SECOND);
                limiter.try_acquire(2).is_ok()
            })
        };
        limiter.adjust(old, 0);
        assert!(taker.join().unwrap());
        assert!(limiter.try_acquire(1).is_err());
    });
}

#[test]
fn a_reservation_that_is_cancelled_beside_a_new_quota_leaves_nothing_behind() {
    model(|| {
        let limiter = limiter(1, 1);
        let now = Timestamp::ORIGIN + 10 * SECOND;
        limiter.try_acquire_at(1, now).unwrap();
        let reservation = limiter.reserve_at(1, now).unwrap();
        let changer = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.set_quota_at(quota(1, 1), Inherit::Reset, now))
        };
        reservation.cancel_at(now);
        changer.join().unwrap();
        assert!(limiter.try_acquire_at(1, now).is_ok());
        assert!(limiter.try_acquire_at(1, now).is_err());
    });
}

fn keys(quota: Quota) -> Arc<KeyedLimiter<u32, ManualClock>> {
    let clock = ManualClock::new();
    clock.advance(1000 * SECOND);
    Arc::new(KeyedLimiter::with_clock(quota, NonZeroUsize::MIN, clock))
}

#[test]
fn no_taker_of_a_key_counts_half_by_the_old_quota_and_half_by_the_new() {
    model(|| {
        let keys = keys(quota(1, 2));
        keys.try_acquire(&7, 1).unwrap();
        let taker = {
            let keys = keys.clone();
            thread::spawn(move || keys.try_acquire(&7, 1).unwrap())
        };
        keys.set_quota(quota(3, 4), Inherit::Additive);
        let grant = taker.join().unwrap();
        assert!([(2, 0), (4, 2)].contains(&(grant.limit(), grant.remaining())), "{grant:?}");
        let left = keys.balance(&7);
        assert_eq!((left.limit(), left.remaining()), (4, 2));
    });
}

/// The first lane is filled again while a new key may be about to be entered in it.
#[test]
fn a_new_key_counts_by_one_of_three_quotas() {
    model(|| {
        let keys = keys(quota(1, 2));
        let taker = {
            let keys = keys.clone();
            thread::spawn(move || keys.try_acquire(&7, 1).unwrap())
        };
        keys.set_quota(quota(4, 4), Inherit::Additive);
        keys.set_quota(quota(2, 6), Inherit::Additive);
        let grant = taker.join().unwrap();
        let answers = [(2, 1), (4, 3), (6, 5)];
        assert!(answers.contains(&(grant.limit(), grant.remaining())), "{grant:?}");
        assert_eq!(keys.balance(&7).remaining(), 5);
    });
}

/// The bucket of a gate is moved while its word may be replaced.
#[test]
fn no_pass_of_a_key_counts_half_by_the_old_quota_and_half_by_the_new() {
    model(|| {
        let keys = keys(quota(1, 2));
        let enterer = {
            let gate = keys.gate_owned(&7).unwrap();
            thread::spawn(move || gate.try_enter().unwrap().grant())
        };
        keys.set_quota(quota(3, 4), Inherit::Additive);
        let grant = enterer.join().unwrap();
        let answers = [(2, 1), (4, 3)];
        assert!(answers.contains(&(grant.limit(), grant.remaining())), "{grant:?}");
        let left = keys.balance(&7);
        assert_eq!((left.limit(), left.remaining()), (4, 3));
    });
}

#[test]
fn a_refusal_of_a_gate_is_by_one_of_the_two_quotas() {
    model(|| {
        let keys = keys(quota(1, 1));
        keys.try_acquire(&7, 1).unwrap();
        let enterer = {
            let gate = keys.gate_owned(&7).unwrap();
            thread::spawn(move || gate.try_enter().unwrap_err().retry_after().unwrap())
        };
        keys.set_quota(quota(4, 1), Inherit::AsIs);
        let retry_after = enterer.join().unwrap();
        assert!([SECOND, SECOND / 4].contains(&retry_after), "{retry_after:?}");
    });
}

#[test]
fn a_new_quota_reaches_the_waiter_of_a_key() {
    model(|| {
        let keys = keys(quota(1, 1));
        keys.try_acquire(&7, 1).unwrap();
        let changer = {
            let keys = keys.clone();
            thread::spawn(move || keys.set_quota(quota(1, 2), Inherit::Additive))
        };
        let mut wait = keys.acquire(&7, 1);
        let (woken, waker) = CountingWaker::new();
        let polled = poll(&mut wait, &waker);
        changer.join().unwrap();
        if polled.is_pending() {
            assert_eq!(woken.count(), 1);
            assert!(matches!(poll_quietly(&mut wait), Poll::Ready(Ok(_))));
        }
    });
}

#[test]
fn two_changes_of_all_keys_come_one_after_the_other() {
    model(|| {
        let keys = keys(quota(1, 2));
        keys.try_acquire(&7, 1).unwrap();
        let other = {
            let keys = keys.clone();
            thread::spawn(move || keys.set_quota(quota(3, 3), Inherit::Additive))
        };
        keys.set_quota(quota(2, 4), Inherit::Additive);
        other.join().unwrap();
        let (left, quota) = (keys.balance(&7), keys.quota());
        assert_eq!(left.limit(), quota.max_burst());
        // Burst 4 first leaves three tokens, and all three stay under burst 3.
        let is_either = [(4, 3), (3, 3)].contains(&(left.limit(), left.remaining()));
        assert!(is_either, "{left:?}");
    });
}
