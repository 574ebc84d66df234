//! The loops, the same for every limiter. They check how many calls were allowed.

use std::{hint::black_box, sync::LazyLock, time::Duration};

use futures_lite::future::block_on;
use tidegate_core::time::Timestamp;
use tidegate_rate_limiter::RateLimiter;

use super::subject::{Async, Keyed, Subject};
pub(super) use super::subject::{dashmap, hashmap};
use crate::{
    keys::{key, zipf},
    timing::{scaled, timed, timed_on_two_threads},
};

/// Asks for a token that is there.
pub(super) fn allowed<S: Subject>(limiter: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let mut allowed = 0;
        let elapsed = timed(|| allowed = ask(&limiter, n));
        assert_eq!(allowed, n, "all of {n} are allowed");
        elapsed
    }
}

/// Asks for a token that is not there.
pub(super) fn refused<S: Subject>(limiter: S) -> impl FnMut(u64) -> Duration {
    // The bucket may begin with a token.
    limiter.check();
    move |n| {
        let mut allowed = 0;
        let elapsed = timed(|| allowed = ask(&limiter, n));
        assert_eq!(allowed, 0, "none of {n} are allowed");
        elapsed
    }
}

/// Two threads ask for tokens that are there.
pub(super) fn allowed_by_two<S: Subject>(limiter: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let each = n.div_ceil(2);
        let elapsed = timed_on_two_threads(|_| || assert_eq!(ask(&limiter, each), each));
        scaled(elapsed, 2 * each, n)
    }
}

#[inline]
fn ask<S: Subject>(limiter: &S, n: u64) -> u64 {
    let mut allowed = 0;
    for _ in 0..n {
        allowed += u64::from(black_box(limiter).check());
    }
    allowed
}

/// Asks for a token that is there, one nanosecond after the last one, so that no clock is read.
pub(super) fn allowed_at_given_times<C: 'static>(
    limiter: RateLimiter<C>,
) -> impl FnMut(u64) -> Duration {
    let mut now = 0;
    move |n| {
        let mut allowed = 0;
        let elapsed = timed(|| {
            for _ in 0..n {
                now += 1;
                allowed += u64::from(
                    black_box(&limiter).try_acquire_at(1, Timestamp::from_nanos(now)).is_ok(),
                );
            }
        });
        assert_eq!(allowed, n, "all of {n} are allowed");
        elapsed
    }
}

/// Awaits a token that is there. One `block_on` around all of it.
pub(super) fn awaited<S: Async>(limiter: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        timed(|| {
            block_on(async {
                for _ in 0..n {
                    black_box(&limiter).acquire().await;
                }
            });
        })
    }
}

/// How many keys there are.
pub(super) const KEYS: usize = 100_000;

/// How many keys are asked for before the sequence starts again.
const ASKED: usize = 1 << 20;

/// Asks for a token of a key. All keys are known, and a few of them are asked for most often.
pub(super) fn keyed<S: Keyed>(limiter: S) -> impl FnMut(u64) -> Duration {
    let mut asked = known(&limiter).iter().cycle();
    move |n| {
        let mut allowed = 0;
        let elapsed = timed(|| {
            for _ in 0..n {
                allowed += u64::from(black_box(&limiter).check(*asked.next().unwrap()));
            }
        });
        assert_eq!(allowed, n, "all of {n} are allowed");
        elapsed
    }
}

/// The same from two threads, each half of the sequence ahead of the other.
pub(super) fn keyed_by_two<S: Keyed>(limiter: S) -> impl FnMut(u64) -> Duration {
    let asked = known(&limiter);
    move |n| {
        let each = n.div_ceil(2);
        let elapsed = timed_on_two_threads(|thread| {
            let mut asked = asked.iter().cycle().skip(thread * ASKED / 2);
            let limiter = &limiter;
            move || {
                let mut allowed = 0;
                for _ in 0..each {
                    allowed += u64::from(black_box(limiter).check(*asked.next().unwrap()));
                }
                assert_eq!(allowed, each);
            }
        });
        scaled(elapsed, 2 * each, n)
    }
}

/// Makes every key known to the limiter, and returns the keys to ask for, in sequence.
fn known<S: Keyed>(limiter: &S) -> &'static [u64] {
    for rank in 0..KEYS {
        assert!(limiter.check(key(rank)), "a new key is allowed");
    }
    &ZIPF
}

static ZIPF: LazyLock<Vec<u64>> = LazyLock::new(|| zipf(KEYS, ASKED));
