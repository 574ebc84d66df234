//! No refund mints a token: every kind of refund, in random histories, against a reference that
//! knows when each token was taken.
//!
//! `TIDEGATE_ROUNDS=1000000` makes a long run, `TIDEGATE_SEED=7` repeats one.

use std::{pin::pin, time::Duration};

use crate::paper::{Random, Reference, SECOND, Shut, poll_once, quota, run};
use tidegate_rate_limiter::{
    Admission, Algorithm, Clock, Gate, Grant, Inherit, Limiter, Limits, ManualClock, Pass, Quota,
    RateLimiter, Reservation, SlidingLog, Timestamp,
};

/// A grant that was not settled yet.
enum Step<'a, A: Algorithm> {
    Granted(Grant),
    Entered(Admission<'a, A, ManualClock>),
}

/// A limiter, what it has granted and not settled, and the references, one for each of its limits.
struct History<'a, A: Algorithm> {
    limiter: &'a Limiter<A, ManualClock>,
    clock: ManualClock,
    references: Vec<Reference>,
    open: Vec<(u64, u64, Step<'a, A>)>,
    next: u64,
    refunded: u64,
    /// When tokens of unknown age were last refunded: any token taken before may be among them.
    anonymous: u64,
}

impl<'a, A: Algorithm> History<'a, A> {
    fn new(
        limiter: &'a Limiter<A, ManualClock>,
        clock: &ManualClock,
        quotas: &[(u32, u32)],
    ) -> Self {
        let now = clock.now().as_nanos();
        let references = quotas.iter().map(|(rate, burst)| Reference::new(*rate, *burst, now));
        let (references, open) = (references.collect(), Vec::new());
        Self { limiter, clock: clock.clone(), references, open, next: 0, refunded: 0, anonymous: 0 }
    }

    fn now(&self) -> u64 {
        self.clock.now().as_nanos()
    }

    fn take(&mut self, at: u64, tokens: u32) -> u64 {
        self.next += 1;
        self.references.iter_mut().for_each(|reference| reference.take(self.next, at, tokens));
        self.next
    }

    /// Notes a grant, and checks that each reference had its tokens.
    fn granted(&mut self, tokens: u32, what: &str) -> u64 {
        let now = self.now();
        let id = self.take(now, tokens);
        for reference in &mut self.references {
            let level = reference.level(now);
            assert!(
                level >= 0,
                "{what}: {tokens} tokens at {now}, of which {level} were not there"
            );
        }
        id
    }

    fn refund(&mut self, id: u64, tokens: u32) {
        self.refunded += u64::from(tokens);
        self.references.iter_mut().for_each(|reference| reference.refund(id, tokens));
    }

    fn step(&mut self, random: &mut Random) {
        let limit = self.limiter.limit();
        let now = self.now();
        match random.below(12) {
            0 | 1 => {
                let n = random.tokens(limit);
                if let Ok(grant) = self.limiter.try_acquire(n) {
                    let id = self.granted(n, "try_acquire");
                    self.open.push((id, now, Step::Granted(grant)));
                }
            }
            2 => {
                if let Ok(grant) = self.limiter.try_acquire_up_to(random.tokens(limit)) {
                    let id = self.granted(grant.tokens(), "try_acquire_up_to");
                    self.open.push((id, now, Step::Granted(grant)));
                }
            }
            3 => {
                if let Ok(pass) = self.limiter.try_enter() {
                    let id = self.granted(1, "try_enter");
                    self.open.push((id, now, Step::Entered(pass)));
                }
            }
            // A wait that is granted at once, or cancelled.
            4 => {
                let n = random.tokens(limit);
                if poll_once(pin!(self.limiter.acquire(n))) {
                    self.granted(n, "acquire");
                }
            }
            // A row whose second gate refuses, or is awaited in vain.
            5 => assert!((self.limiter, &Shut).try_enter().is_err()),
            6 => {
                let mut row = Box::pin((self.limiter, &Shut).enter());
                assert!(!poll_once(row.as_mut()));
                if random.below(2) == 0 {
                    self.clock.advance(Duration::from_nanos(random.below(SECOND)));
                }
            }
            7 => {
                let n = random.tokens(limit);
                self.limiter.refund(n);
                let now = self.now();
                self.references.iter_mut().for_each(|r| r.refund_latest(now, n));
                self.open.clear();
                self.anonymous = now;
            }
            8 if random.below(4) == 0 => {
                let n = random.tokens(limit);
                self.limiter.consume_now(n);
                self.take(now, n);
            }
            _ if self.open.is_empty() => {}
            _ => {
                let index = usize::try_from(random.below(self.open.len() as u64)).unwrap();
                match self.open.swap_remove(index) {
                    (id, _, Step::Granted(grant)) => {
                        let cost =
                            u32::try_from(random.below(u64::from(grant.tokens()) + 2)).unwrap();
                        self.limiter.adjust(grant, cost);
                        match grant.tokens().checked_sub(cost) {
                            Some(less) => self.refund(id, less),
                            None => _ = self.take(now, cost - grant.tokens()),
                        }
                    }
                    (id, _, Step::Entered(pass)) if random.below(3) > 0 => {
                        pass.give_back();
                        self.refund(id, 1);
                    }
                    (id, _, Step::Entered(pass)) => {
                        pass.cost(0);
                        self.refund(id, 1);
                    }
                }
            }
        }
        let passed = [0, 0, SECOND / 7, SECOND / 2, SECOND, 3 * SECOND, 20 * SECOND];
        let passed = passed[usize::try_from(random.below(7)).unwrap()];
        self.clock.advance(Duration::from_nanos(random.below(passed + 1)));
    }
}

#[test]
fn refunds_to_a_bucket_mint_nothing() {
    let mut refunded = 0;
    run(|random, steps| {
        let clock = ManualClock::new();
        let (rate, burst) = (random.tokens(4), random.tokens(9));
        let limiter = RateLimiter::with_clock(quota(rate, burst), clock.clone());
        let mut history = History::new(&limiter, &clock, &[(rate, burst)]);
        for _ in 0..steps {
            history.step(random);
        }
        refunded += history.refunded;
    });
    assert!(refunded > 1000);
}

#[test]
fn refunds_to_several_limits_mint_nothing() {
    run(|random, steps| {
        let clock = ManualClock::new();
        let quotas = [0, 1].map(|_| (random.tokens(4), random.tokens(9)));
        let limits =
            Limits::with_clock(quotas.map(|(rate, burst)| quota(rate, burst)), clock.clone());
        let mut history = History::new(&limits, &clock, &quotas);
        for _ in 0..steps {
            history.step(random);
        }
    });
}

/// Checked while the quota stays the same. A new quota begins with what the old one has left.
#[test]
fn refunds_across_quotas_and_reservations_mint_nothing() {
    run(|random, steps| {
        let clock = ManualClock::new();
        let (mut rate, mut burst) = (random.tokens(4), random.tokens(9));
        let limiter = RateLimiter::with_clock(quota(rate, burst), clock.clone());
        let mut history = History::new(&limiter, &clock, &[(rate, burst)]);
        let mut reserved: Vec<(u64, u32, Reservation<'_, ManualClock>)> = Vec::new();
        for _ in 0..steps {
            history.step(random);
            let now = history.now();
            reserved.retain(|(_, _, claim)| claim.ready_at().as_nanos() > history.anonymous);
            match random.below(12) {
                0..=2 => {
                    let n = random.tokens(burst);
                    if let Ok(reservation) = limiter.reserve(n) {
                        let id = history.take(reservation.ready_at().as_nanos(), n);
                        reserved.push((id, n, reservation));
                    }
                }
                3..=5 if !reserved.is_empty() => {
                    let index = usize::try_from(random.below(reserved.len() as u64)).unwrap();
                    let (id, n, reservation) = reserved.swap_remove(index);
                    let in_time = clock.now() <= reservation.ready_at();
                    let refunded = reservation.cancel();
                    assert!(refunded <= n && (in_time || refunded == 0));
                    if in_time {
                        history.refund(id, n);
                    }
                }
                6 if random.below(8) == 0 => {
                    (rate, burst) = (random.tokens(9), random.tokens(9));
                    let is_reset = random.below(4) == 0;
                    let inherit = if is_reset { Inherit::Reset } else { Inherit::AsIs };
                    limiter.set_quota(quota(rate, burst), inherit);
                    history.references[0].change(rate, burst, now, is_reset);
                }
                _ => {}
            }
        }
    });
}

/// Whatever the order of the refunds.
#[test]
fn a_refund_in_time_restores_all_tokens() {
    let orders: [fn(usize, usize) -> usize; 3] = [|_, _| 0, |_, len| len - 1, |i, len| i * 7 % len];
    for order in orders {
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(quota(1, 100), clock.clone());
        let limits = Limits::with_clock([quota(1, 100), quota(10, 120)], clock.clone());
        let log = SlidingLog::with_clock(100, Duration::from_secs(100), clock.clone()).unwrap();
        // Fifty tokens were taken before and are kept: time refills some of these, and no others.
        limiter.try_acquire(50).unwrap();
        limits.try_acquire(50).unwrap();
        log.try_acquire(50).unwrap();
        let mut taken: Vec<_> = (0..25)
            .map(|_| {
                [limiter.try_acquire(2), limits.try_acquire(2), log.try_acquire(2)]
                    .map(Result::unwrap)
            })
            .collect();
        clock.advance(Duration::from_secs(40));
        for i in 0..25 {
            let [one, several, logged] = taken.remove(order(i, taken.len()));
            limiter.adjust(one, 0);
            limits.adjust(several, 0);
            log.adjust(logged, 0);
        }
        assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 90);
        assert_eq!(limits.try_acquire(0).unwrap().remaining(), 90);
        assert_eq!(log.try_acquire(0).unwrap().remaining(), 50);
    }
}

#[test]
fn a_refund_of_refilled_tokens_restores_nothing() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(1, 10), clock.clone());
    let limits = Limits::with_clock([quota(1, 10), quota(1, 20)], clock.clone());
    let old = [limiter.try_acquire(10).unwrap(), limits.try_acquire(10).unwrap()];
    clock.advance(Duration::from_secs(5));
    let [_, _] = [limiter.try_acquire(5).unwrap(), limits.try_acquire(5).unwrap()];
    limiter.adjust(old[0], 0);
    limits.adjust(old[1], 0);
    // Five of ten have been refilled; without the first ten, the bucket would be full but for the
    // other five.
    assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 5);
    assert_eq!(limits.try_acquire(0).unwrap().remaining(), 5);
    clock.advance(Duration::from_secs(100));
    let late = [limiter.try_acquire(10).unwrap(), limits.try_acquire(10).unwrap()];
    limiter.adjust(old[0], 0);
    limits.adjust(old[1], 0);
    assert!(limiter.try_acquire(1).is_err() && limits.try_acquire(1).is_err());
    // A second refund of the same tokens restores nothing.
    limiter.adjust(late[0], 0);
    limiter.adjust(late[0], 0);
    limits.adjust(late[1], 0);
    limits.adjust(late[1], 0);
    assert_eq!(limiter.try_acquire(10).unwrap().remaining(), 0);
    assert_eq!(limits.try_acquire(10).unwrap().remaining(), 0);
}

#[test]
fn a_refund_does_not_shorten_a_penalty() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(1, 10), clock.clone());
    let limits = Limits::with_clock([quota(1, 10), quota(1, 20)], clock.clone());
    let taken = [limiter.try_acquire(10).unwrap(), limits.try_acquire(10).unwrap()];
    limiter.penalize_for(Duration::from_secs(30));
    limits.penalize_for(Duration::from_secs(30));
    limiter.adjust(taken[0], 0);
    limits.adjust(taken[1], 0);
    limiter.refund(10);
    limits.refund(10);
    clock.advance(Duration::from_secs(30) - Duration::from_nanos(1));
    assert!(limiter.try_acquire(1).is_err() && limits.try_acquire(1).is_err());
    clock.advance(Duration::from_nanos(1));
    assert!(limiter.try_acquire(1).is_ok() && limits.try_acquire(1).is_ok());
}

#[test]
fn the_tokens_of_a_grant_are_refunded_once_in_all() {
    fn check<A: Algorithm>(limiter: &Limiter<A, ManualClock>) {
        limiter.try_acquire(4).unwrap();
        let grant = limiter.try_acquire(4).unwrap();
        limiter.adjust(grant, 3);
        assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 3);
        // Two without the grant: they count as the latest that are left, which are the grant's.
        limiter.refund(2);
        assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 5);
        for _ in 0..2 {
            limiter.adjust(grant, 0);
            assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 6);
        }
    }
    check(&RateLimiter::with_clock(quota(1, 10), ManualClock::new()));
    check(&Limits::with_clock([quota(1, 10), quota(1, 20)], ManualClock::new()));
}

#[test]
fn refunds_of_the_past_take_nothing_from_those_of_today() {
    fn check<A: Algorithm>(limiter: &Limiter<A, ManualClock>) {
        for _ in 0..100 {
            limiter.try_acquire(1).unwrap();
            let grants = [(); 19].map(|()| limiter.try_acquire(1).unwrap());
            // Every second one, then the others.
            for grant in grants.iter().step_by(2).chain(grants.iter().skip(1).step_by(2)) {
                limiter.adjust(*grant, 0);
            }
            assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 19);
            limiter.clock().advance(Duration::from_secs(1));
        }
    }
    check(&RateLimiter::with_clock(quota(1, 20), ManualClock::new()));
    check(&Limits::with_clock([quota(1, 20), quota(2, 30)], ManualClock::new()));
}

/// The record of refunds begins anew before its numbers are used up.
#[test]
fn tokens_of_many_years_are_refunded_any_number_of_times() {
    let years = Duration::from_nanos(1 << 60);
    let limiter = RateLimiter::with_clock(Quota::every(years), ManualClock::new());
    for _ in 0..100 {
        let grant = limiter.try_acquire(1).unwrap();
        limiter.adjust(grant, 0);
        assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 1);
    }
    // Also if refunds pass the bound at which the record begins anew, without meeting it.
    let quota = Quota::per(2, years);
    let limiter = RateLimiter::with_clock(quota, ManualClock::new());
    for n in [1].into_iter().chain([2; 100]) {
        let grant = limiter.try_acquire(n).unwrap();
        limiter.adjust(grant, 0);
        assert_eq!(limiter.try_acquire(0).unwrap().remaining(), 2);
    }
}

/// Not even if tokens are refunded twice, or if a debt or a reservation outlasts the penalty.
#[test]
fn no_kind_of_refund_shortens_a_penalty() {
    fn check<A: Algorithm>(
        limiter: &Limiter<A, ManualClock>,
        what: &str,
        refund: impl Fn(&Limiter<A, ManualClock>),
    ) {
        refund(limiter);
        limiter.clock().advance(Duration::from_secs(30) - Duration::from_nanos(1));
        assert!(limiter.try_acquire(1).is_err(), "{what}: too early");
        limiter.clock().advance(Duration::from_nanos(1));
        assert!(limiter.try_acquire(1).is_ok(), "{what}: too late");
    }
    fn of_debts<A: Algorithm>(new: impl Fn() -> Limiter<A, ManualClock>) {
        check(&new(), "once", |limiter| {
            limiter.try_acquire(10).unwrap();
            limiter.penalize_for(Duration::from_secs(30));
            limiter.consume_now(2);
            limiter.refund(10);
        });
        check(&new(), "twice", |limiter| {
            limiter.try_acquire(10).unwrap();
            limiter.penalize_for(Duration::from_secs(30));
            limiter.consume_now(2);
            limiter.refund(2);
            limiter.refund(2);
        });
    }
    fn of_earlier_debts<A: Algorithm>(limiter: &Limiter<A, ManualClock>) {
        let debt = limiter.consume_now(15);
        limiter.penalize_for(Duration::from_secs(3));
        limiter.adjust(debt, 0);
        limiter.clock().advance(Duration::from_secs(3) - Duration::from_nanos(1));
        assert!(limiter.try_acquire(1).is_err());
        limiter.clock().advance(Duration::from_secs(3) + Duration::from_nanos(1));
        assert!(limiter.try_acquire(1).is_ok());
    }
    let bucket = || RateLimiter::with_clock(quota(1, 10), ManualClock::new());
    let limits = || Limits::with_clock([quota(1, 10), quota(1, 20)], ManualClock::new());
    of_debts(bucket);
    of_debts(limits);
    of_earlier_debts(&bucket());
    of_earlier_debts(&limits());
    check(&bucket(), "under a new quota", |limiter| {
        limiter.penalize_for(Duration::from_secs(30));
        limiter.set_quota(quota(2, 10), Inherit::AsIs);
        limiter.refund(10);
    });
    check(&bucket(), "of a reservation", |limiter| {
        limiter.try_acquire(10).unwrap();
        let reserved = limiter.reserve(1).unwrap();
        limiter.clock().advance(Duration::from_secs(1));
        limiter.penalize_for(Duration::from_secs(30));
        limiter.adjust(reserved.grant(), 0);
    });
}

/// Waits at a gate behind the limiter that are all cancelled at once.
#[test]
fn a_wave_of_cancelled_rows_lets_no_wave_through() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(1, 1), clock.clone());
    let mut rows = Vec::new();
    for _ in 0..100 {
        let mut row = Box::pin((&limiter, &Shut).enter());
        assert!(!poll_once(row.as_mut()));
        rows.push(row);
        clock.advance(Duration::from_secs(1));
    }
    let sent = rows.into_iter().filter(|_| limiter.try_acquire(1).is_ok()).count();
    assert_eq!(sent, 1);
    assert_eq!(clock.now(), Timestamp::ORIGIN + Duration::from_secs(100));
}
