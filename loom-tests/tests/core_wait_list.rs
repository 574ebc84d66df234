//! Models of grants with weights, and of the turnstile.

use std::{sync::Arc, task::Poll, time::Duration};

use loom_tests::{CountingWaker, model, poll, poll_quietly, thread};
use tidegate_core::{
    Closed, Turnstile, Wait, WaitList,
    primitive::atomic::{AtomicU32, Ordering},
    wait_list::{Line, Supply, Turn},
};

/// Weighted units in a word with a "somebody waits" bit, never closed.
struct Scale {
    /// Bit 0: somebody waits. From bit 1 on: free units.
    word: AtomicU32,
    line: WaitList<u32>,
}

const WAITERS: u32 = 1;
const UNIT: u32 = 2;

impl Scale {
    fn new(units: u32) -> Self {
        Self { word: AtomicU32::new(units * UNIT), line: WaitList::new() }
    }

    fn take(&self, need: u32) -> Turn<&Self> {
        Turn::new(self, need)
    }

    fn units(&self) -> u32 {
        self.word.load(Ordering::Acquire) / UNIT
    }
}

impl Supply for Scale {
    type Need = u32;
    type Refusal = ();

    fn wait_list(&self) -> &WaitList<u32> {
        &self.line
    }

    fn ask(&self, need: u32, line: &mut Line<'_, u32>) -> Poll<Result<u32, ()>> {
        let may_take = line.is_empty();
        let before = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            if may_take && word / UNIT >= need {
                Some(word - need * UNIT)
            } else {
                Some(word | WAITERS)
            }
        });
        let before = before.expect("every word has a successor");
        if may_take && before / UNIT >= need { Poll::Ready(Ok(need)) } else { Poll::Pending }
    }

    fn serve(&self, line: &mut Line<'_, u32>) {
        while let Some(&need) = line.head() {
            let taken = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                word.checked_sub(need * UNIT)
            });
            if taken.is_err() {
                return;
            }
            line.grant_head(need);
        }
        self.word.fetch_and(!WAITERS, Ordering::AcqRel);
    }

    fn give_back(&self, need: u32) {
        if self.word.fetch_add(need * UNIT, Ordering::AcqRel) & WAITERS != 0 {
            self.line.with(|line| self.serve(line));
        }
    }

    fn dismissal(&self) {}
}

#[test]
fn a_heavy_head_is_not_overtaken_and_gets_its_units_from_two_givers() {
    model(|| {
        let scale = Arc::new(Scale::new(0));
        let (woken, waker) = CountingWaker::new();
        let mut heavy = scale.take(2);
        assert!(poll(&mut heavy, &waker).is_pending());
        let giver = {
            let scale = scale.clone();
            thread::spawn(move || scale.give_back(1))
        };
        // One unit may be free by now, but it is the head's.
        assert!(poll_quietly(&mut scale.take(1)).is_pending());
        scale.give_back(1);
        giver.join().unwrap();
        assert_eq!(woken.count(), 1);
        assert_eq!(poll_quietly(&mut heavy), Poll::Ready(Ok(2)));
        assert_eq!(scale.units(), 0);
    });
}

#[test]
fn a_cancelled_heavy_head_lets_the_light_ones_through() {
    model(|| {
        let scale = Arc::new(Scale::new(0));
        let mut heavy = scale.take(3);
        assert!(poll_quietly(&mut heavy).is_pending());
        let light = {
            let scale = scale.clone();
            thread::spawn(move || scale.take(1).wait())
        };
        scale.give_back(1);
        drop(heavy);
        assert_eq!(light.join().unwrap(), Ok(1));
        assert_eq!(scale.units(), 0);
    });
}

#[test]
fn a_heavy_grant_that_is_cancelled_serves_two_light_ones() {
    model(|| {
        let scale = Arc::new(Scale::new(0));
        let mut heavy = scale.take(2);
        assert!(poll_quietly(&mut heavy).is_pending());
        let (mut one, mut two) = (scale.take(1), scale.take(1));
        assert!(poll_quietly(&mut one).is_pending());
        assert!(poll_quietly(&mut two).is_pending());
        let giver = {
            let scale = scale.clone();
            thread::spawn(move || scale.give_back(2))
        };
        drop(heavy);
        giver.join().unwrap();
        assert_eq!(
            (poll_quietly(&mut one), poll_quietly(&mut two)),
            (Poll::Ready(Ok(1)), Poll::Ready(Ok(1)))
        );
    });
}

#[test]
fn what_was_done_inside_a_turnstile_is_seen_by_the_next() {
    model(|| {
        let shared = Arc::new((Turnstile::new(), AtomicU32::new(0)));
        // Not one atomic step: right only if one thread is inside at a time.
        let pass = |shared: &(Turnstile, AtomicU32)| {
            let _inside = shared.0.enter().wait().unwrap();
            let seen = shared.1.load(Ordering::Relaxed);
            shared.1.store(seen + 1, Ordering::Relaxed);
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || pass(&shared))
        };
        pass(&shared);
        other.join().unwrap();
        assert_eq!(shared.1.load(Ordering::Relaxed), 2);
    });
}

/// A caller that has given up its place in the wait queue may enter at once like any newcomer.
#[test]
fn what_was_done_inside_a_turnstile_is_seen_by_who_has_left_the_line() {
    model(|| {
        let (turnstile, work) = (Arc::new(Turnstile::new()), Arc::new(AtomicU32::new(0)));
        let inside = turnstile.try_enter().unwrap();
        let mut turn = Turn::new(turnstile.clone(), ());
        assert!(poll_quietly(&mut turn).is_pending());
        let other = {
            let (turnstile, work) = (turnstile.clone(), work.clone());
            thread::spawn(move || {
                drop(turn);
                assert!(turnstile.try_enter().is_none() || work.load(Ordering::Relaxed) == 7);
            })
        };
        work.store(7, Ordering::Relaxed);
        drop(inside);
        other.join().unwrap();
    });
}

#[test]
fn a_turn_that_is_not_used_goes_to_the_next() {
    model(|| {
        let turnstile = Arc::new(Turnstile::new());
        let inside = turnstile.try_enter().unwrap();
        let timed = {
            let turnstile = turnstile.clone();
            thread::spawn(move || turnstile.enter().wait_timeout(Duration::from_micros(10)).is_ok())
        };
        let patient = {
            let turnstile = turnstile.clone();
            thread::spawn(move || turnstile.enter().wait().is_ok())
        };
        drop(inside);
        let _ = timed.join().unwrap();
        assert!(patient.join().unwrap());
        assert!(turnstile.try_enter().is_some());
    });
}

#[test]
fn who_is_refused_at_a_turnstile_gives_no_turn_back() {
    model(|| {
        let turnstile = Arc::new(Turnstile::new());
        let inside = turnstile.try_enter().unwrap();
        let other = {
            let turnstile = turnstile.clone();
            thread::spawn(move || turnstile.try_enter().is_none())
        };
        let mut second = turnstile.enter();
        assert!(poll_quietly(&mut second).is_pending());
        assert!(other.join().unwrap());
        assert!(turnstile.try_enter().is_none());
        assert!(poll_quietly(&mut second).is_pending());
        drop(inside);
        assert!(matches!(poll_quietly(&mut second), Poll::Ready(Ok(_))));
    });
}

#[test]
fn closing_a_turnstile_sends_the_line_away_and_leaves_who_is_inside() {
    model(|| {
        let turnstile = Arc::new(Turnstile::new());
        let inside = turnstile.try_enter().unwrap();
        let waiter = {
            let turnstile = turnstile.clone();
            thread::spawn(move || turnstile.enter().wait().map(drop))
        };
        turnstile.close();
        assert_eq!(waiter.join().unwrap(), Err(Closed));
        drop(inside);
        assert!(turnstile.try_enter().is_none());
        assert!(turnstile.is_closed());
    });
}

#[test]
fn what_came_before_the_close_of_a_turnstile_is_seen_by_who_finds_it() {
    model(|| {
        let shared = Arc::new((Turnstile::new(), AtomicU32::new(0)));
        let closer = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(7, Ordering::Relaxed);
                shared.0.close();
            })
        };
        if shared.0.is_closed() {
            assert_eq!(shared.1.load(Ordering::Relaxed), 7);
        }
        closer.join().unwrap();
    });
}
