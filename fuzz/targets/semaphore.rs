//! A fair semaphore against a line on paper: who has what, who waits for how much, and who is to be woken.
#![no_main]

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate::{
    Semaphore,
    semaphore::{AcquireOwned, OwnedPermit},
};

#[derive(Debug, Arbitrary)]
enum Step {
    Try(u8),
    /// Makes a request and polls it once.
    Ask(u8),
    /// Polls one that waits, woken or not.
    Poll(u8),
    /// Drops one that waits, granted or not.
    GiveUp(u8),
    Release(u8),
    Forget(u8),
    Add(u8),
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A request that waits, and what the paper says of it.
struct Asked {
    future: Pin<Box<AcquireOwned>>,
    woken: Arc<Woken>,
    n: usize,
    granted: bool,
}

/// The largest request. A semaphore that can never have as many refuses it: here it always can.
const LARGEST: usize = 5;

struct Paper {
    free: usize,
    capacity: usize,
    waiting: VecDeque<Asked>,
    held: Vec<(OwnedPermit, usize)>,
}

impl Paper {
    /// Grants from the head on, as far as what is free goes.
    fn serve(&mut self) {
        for asked in self.waiting.iter_mut().filter(|asked| !asked.granted) {
            if asked.n > self.free {
                return;
            }
            self.free -= asked.n;
            asked.granted = true;
        }
    }

    fn in_line(&self) -> bool {
        self.waiting.iter().any(|asked| !asked.granted)
    }
}

fn poll(asked: &mut Asked) -> Poll<OwnedPermit> {
    let waker = Waker::from(asked.woken.clone());
    asked.future.as_mut().poll(&mut Context::from_waker(&waker)).map(|permit| permit.expect("open"))
}

/// An index into a list, if it has any.
fn pick(of: u8, len: usize) -> Option<usize> {
    usize::from(of).checked_rem(len)
}

fuzz_target!(|input: (u8, Vec<Step>)| {
    let (permits, steps) = input;
    let permits = usize::from(permits % 4) + LARGEST;
    let semaphore = Arc::new(Semaphore::new(permits));
    let mut paper =
        Paper { free: permits, capacity: permits, waiting: VecDeque::new(), held: Vec::new() };
    for step in steps {
        match step {
            Step::Try(n) => {
                let n = usize::from(n) % (LARGEST + 1);
                let taken = semaphore.clone().try_acquire_owned(n);
                let fits = n <= paper.free && !paper.in_line();
                assert_eq!(taken.is_ok(), fits || n == 0, "try {n}");
                if let Ok(permit) = taken {
                    paper.free -= n;
                    paper.held.push((permit, n));
                }
            }
            Step::Ask(n) => {
                let n = usize::from(n) % LARGEST + 1;
                let future = Box::pin(semaphore.clone().acquire_owned(n));
                let mut asked = Asked { future, woken: Arc::default(), n, granted: false };
                match poll(&mut asked) {
                    Poll::Ready(permit) => {
                        assert!(n <= paper.free && !paper.in_line(), "overtook");
                        paper.free -= n;
                        paper.held.push((permit, n));
                    }
                    Poll::Pending => {
                        assert!(n > paper.free || paper.in_line(), "waits for what is free");
                        paper.waiting.push_back(asked);
                    }
                }
            }
            Step::Poll(of) => {
                let Some(at) = pick(of, paper.waiting.len()) else { continue };
                let asked = &mut paper.waiting[at];
                let polled = poll(asked);
                assert_eq!(polled.is_ready(), asked.granted);
                if let Poll::Ready(permit) = polled {
                    let asked = paper.waiting.remove(at).expect("picked");
                    paper.held.push((permit, asked.n));
                }
            }
            Step::GiveUp(of) => {
                let Some(at) = pick(of, paper.waiting.len()) else { continue };
                let asked = paper.waiting.remove(at).expect("picked");
                paper.free += if asked.granted { asked.n } else { 0 };
                drop(asked);
                paper.serve();
            }
            Step::Release(of) => {
                let Some(at) = pick(of, paper.held.len()) else { continue };
                let (permit, n) = paper.held.swap_remove(at);
                drop(permit);
                paper.free += n;
                paper.serve();
            }
            Step::Forget(of) => {
                let Some(at) = pick(of, paper.held.len()) else { continue };
                if paper.capacity - paper.held[at].1 < LARGEST {
                    continue;
                }
                let (permit, n) = paper.held.swap_remove(at);
                permit.forget();
                paper.capacity -= n;
                if cfg!(feature = "wrong") {
                    paper.free += n;
                }
            }
            Step::Add(n) => {
                let n = usize::from(n % 3);
                semaphore.add_permits(n);
                paper.free += n;
                paper.capacity += n;
                paper.serve();
            }
        }
        assert_eq!(semaphore.available_permits(), paper.free, "free");
        for asked in &paper.waiting {
            assert!(
                !asked.granted || asked.woken.0.load(Ordering::SeqCst) > 0,
                "asleep beside its grant"
            );
        }
    }
});
