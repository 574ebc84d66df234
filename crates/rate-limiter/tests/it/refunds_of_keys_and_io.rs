//! No refund mints a token, for keys and for throttled readers: random histories, as in
//! `refunds.rs`.

use std::{
    cell::Cell,
    io,
    num::NonZeroUsize,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::paper::{Random, Reference, SECOND, Shut, poll_once, quota, run};
use futures_io::AsyncRead;
use test_kit::{quiet_panic, quietly};
use tidegate_rate_limiter::{
    Clock, Gate, KeyedLimiter, ManualClock, OwnedKeyAdmission, Pass, RateLimiter, Throttled,
};

fn pass_time(clock: &ManualClock, random: &mut Random) {
    let most = [0, 0, SECOND / 7, SECOND / 2, SECOND, 3 * SECOND, 20 * SECOND];
    let most = most[usize::try_from(random.below(7)).unwrap()];
    clock.advance(Duration::from_nanos(random.below(most + 1)));
}

/// A reference per key, with the passes that are open there.
struct Key {
    reference: Reference,
    open: Vec<(u64, OwnedKeyAdmission<u32, ManualClock>)>,
}

impl Key {
    fn granted(&mut self, id: u64, now: u64, tokens: u32, what: &str) {
        self.reference.take(id, now, tokens);
        let level = self.reference.level(now);
        assert!(level >= 0, "{what}: {tokens} tokens at {now}, of which {level} were not there");
    }
}

#[test]
fn refunds_to_a_key_mint_nothing() {
    let mut refunded = 0;
    run(|random, steps| {
        let clock = ManualClock::new();
        let (rate, burst) = (random.tokens(4), random.tokens(9));
        let max_keys = NonZeroUsize::new(3).unwrap();
        let clients =
            KeyedLimiter::<u32, _>::with_clock(quota(rate, burst), max_keys, clock.clone());
        let clients = Arc::new(clients);
        let mut keys: Vec<_> = (0..3)
            .map(|_| Key { reference: Reference::new(rate, burst, 0), open: Vec::new() })
            .collect();
        for id in 1..=steps {
            let number = u32::try_from(random.below(3)).unwrap();
            let key = &mut keys[number as usize];
            let gate = clients.gate_owned(&number).expect("three keys, three places");
            let now = clock.now().as_nanos();
            match random.below(9) {
                0 | 1 => {
                    let n = random.tokens(burst);
                    if clients.try_acquire(&number, n).is_ok() {
                        key.granted(id, now, n, "try_acquire");
                    }
                }
                2 => {
                    if poll_once(pin!(clients.acquire(&number, 1))) {
                        key.granted(id, now, 1, "acquire");
                    }
                }
                3 | 4 => {
                    if let Ok(pass) = gate.try_enter() {
                        key.granted(id, now, 1, "try_enter");
                        key.open.push((id, pass));
                    }
                }
                5 => {
                    let mut row = Box::pin((gate, &Shut).enter());
                    assert!(!poll_once(row.as_mut()));
                    clock.advance(Duration::from_nanos(random.below(SECOND)));
                }
                6 => {
                    let n = random.tokens(burst);
                    clients.refund(&number, n);
                    key.reference.refund_latest(now, n);
                    // The tokens of open passes may be among those that were refunded.
                    key.open.clear();
                }
                _ if key.open.is_empty() => {}
                _ => {
                    let index = usize::try_from(random.below(key.open.len() as u64)).unwrap();
                    let (id, pass) = key.open.swap_remove(index);
                    pass.give_back();
                    key.reference.refund(id, 1);
                    refunded += 1;
                }
            }
            pass_time(&clock, random);
        }
    });
    assert!(refunded > 1000);
}

/// A peer that notes the length of the buffer in `asked`, and does what `answer` says.
#[derive(Clone)]
struct Peer {
    clock: ManualClock,
    asked: Rc<Cell<usize>>,
    answer: Rc<Cell<Answer>>,
}

#[derive(Clone, Copy)]
enum Answer {
    Bytes(usize),
    Later,
    Error,
    Panic,
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.asked.set(buf.len());
        // The peer takes its time, in which the bucket may fill.
        self.clock.advance(Duration::from_nanos(SECOND / 3));
        match self.answer.get() {
            Answer::Bytes(n) => Poll::Ready(Ok(n.min(buf.len()))),
            Answer::Later => Poll::Pending,
            Answer::Error => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Answer::Panic => quiet_panic("on purpose"),
        }
    }
}

#[test]
fn refunds_of_a_throttled_reader_mint_nothing() {
    let mut refunded = 0;
    run(|random, steps| {
        let clock = ManualClock::new();
        let (rate, burst) = (random.tokens(4), random.tokens(9));
        let limiter = RateLimiter::with_clock(quota(rate, burst), clock.clone());
        let mut reference = Reference::new(rate, burst, 0);
        let (asked, answer) = (Rc::default(), Rc::new(Cell::new(Answer::Later)));
        let peer = Peer { clock: clock.clone(), asked, answer };
        let mut readers = [(); 3].map(|()| Box::pin(Throttled::new(peer.clone(), &limiter)));
        for id in 1..=steps {
            let now = clock.now().as_nanos();
            if random.below(3) == 0 {
                let n = random.tokens(burst);
                if limiter.try_acquire(n).is_ok() {
                    reference.take(id, now, n);
                    assert!(reference.level(now) >= 0, "{n} tokens at {now} were not there");
                }
            } else {
                let mut buffer = [0; 12];
                let length = usize::try_from(random.below(13)).unwrap();
                peer.asked.set(0);
                peer.answer.set(match random.below(6) {
                    0 => Answer::Later,
                    1 => Answer::Error,
                    2 => Answer::Panic,
                    n => Answer::Bytes(usize::try_from(n * random.below(3)).unwrap()),
                });
                let reader = &mut readers[usize::try_from(random.below(3)).unwrap()];
                let mut cx = Context::from_waker(Waker::noop());
                let read = quietly(|| reader.as_mut().poll_read(&mut cx, &mut buffer[..length]));
                // The tokens for the buffer were taken at `now`, and the rest was refunded later.
                let taken = u32::try_from(peer.asked.get()).unwrap();
                let used = match read {
                    Some(Poll::Ready(Ok(n))) => u32::try_from(n).unwrap(),
                    _ => 0,
                };
                reference.take(id, now, taken);
                assert!(reference.level(now) >= 0, "{taken} tokens at {now} were not there");
                reference.refund(id, taken - used);
                refunded += taken - used;
            }
            pass_time(&clock, random);
        }
    });
    assert!(refunded > 1000);
}
