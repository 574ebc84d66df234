//! Single flight among tasks and threads: one computation for all, and random histories.
//!
//! The seed is printed;
//! `TIDEGATE_SEED=… cargo test -p tidegate-concurrent-map --test it flight_threads` repeats the
//! run, as far as the scheduler lets it.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    future::{self, Future, poll_fn},
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    panic::{self, AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use tidegate_concurrent_map::{ConcurrentMap, future::GetOrTryInsert};
use tidegate_core::{Wait, random::Random};

use crate::random::below;

#[test]
fn it_can_be_sent_and_spawned() {
    fn sendable<T: Send>(future: T) -> T {
        future
    }
    fn named<S>(
        map: &ConcurrentMap<String, u32, S>,
    ) -> GetOrTryInsert<'_, String, u32, S, future::Ready<Result<u32, ()>>>
    where
        S: BuildHasher,
    {
        map.get_or_try_insert_async("a".to_owned(), future::ready(Ok(1)))
    }
    let map = Arc::new(ConcurrentMap::new());
    assert_eq!(sendable(named(&map)).wait(), Ok(1));
    let owned = map.clone();
    let task = async move {
        owned.get_or_try_insert_async("b".to_owned(), async { Ok::<_, ()>(2) }).await
    };
    assert_eq!(thread::spawn(move || sendable(task).wait()).join().unwrap(), Ok(2));
}

#[test]
fn tasks_and_threads_share_one_computation() {
    const THREADS: usize = 4;
    for key in 0..50 {
        let (map, computed, start) =
            (ConcurrentMap::new(), AtomicUsize::new(0), Barrier::new(THREADS));
        let get = || {
            map.get_or_try_insert_async(key, async {
                computed.fetch_add(1, Ordering::Relaxed);
                yield_once().await;
                Ok::<_, ()>(key)
            })
        };
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (get, start) = (&get, &start);
                scope.spawn(move || {
                    start.wait();
                    if thread % 2 == 0 {
                        assert_eq!(get().wait(), Ok(key));
                        return;
                    }
                    // Five tasks on one thread.
                    let mut tasks = (0..5).map(|_| Box::pin(get())).collect::<Vec<_>>();
                    poll_fn(|cx| {
                        tasks.retain_mut(|task| match task.as_mut().poll(cx) {
                            Poll::Ready(value) => {
                                assert_eq!(value, Ok(key));
                                false
                            }
                            Poll::Pending => true,
                        });
                        if tasks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .wait();
                });
            }
        });
        assert_eq!(computed.into_inner(), 1);
    }
}

#[test]
fn tasks_and_threads_that_wait_share_one_error() {
    const WAITERS: usize = 4;
    let (map, computed, polled) =
        (ConcurrentMap::<u32, u32>::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let mut leader = Box::pin(map.get_or_try_insert_async(1, async {
            computed.fetch_add(1, Ordering::Relaxed);
            while polled.load(Ordering::Relaxed) < WAITERS {
                yield_once().await;
            }
            Err::<u32, _>("no")
        }));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(leader.as_mut().poll(&mut cx).is_pending());
        for n in 0..WAITERS {
            let (map, computed, polled) = (&map, &computed, &polled);
            scope.spawn(move || {
                let mut waiter = Box::pin(map.get_or_try_insert_async(1, async {
                    computed.fetch_add(1, Ordering::Relaxed);
                    Err::<u32, _>("never")
                }));
                let first = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(first.is_pending());
                polled.fetch_add(1, Ordering::Relaxed);
                let heard = match n % 2 {
                    0 => waiter.wait(),
                    _ => poll_fn(|cx| waiter.as_mut().poll(cx)).wait(),
                };
                assert_eq!(heard, Err("no"));
            });
        }
        assert_eq!(leader.wait(), Err("no"));
    });
    assert_eq!((computed.into_inner(), map.len()), (1, 0));
}

fn yield_once() -> impl Future<Output = ()> {
    let mut is_second = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Hashes each number to its lowest bit.
#[derive(Default)]
struct Parity(u64);

impl Hasher for Parity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number & 1;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

struct Computing<'a>(&'a AtomicUsize);

impl<'a> Computing<'a> {
    fn begin(inside: &'a AtomicUsize) -> Self {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two compute one key");
        Self(inside)
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Keys = [AtomicUsize; 4];

/// Computes a key in a few steps, and succeeds, fails or panics.
async fn compute(inside: &Keys, key: u64, mut luck: u64) -> Result<u64, u64> {
    let _computing = Computing::begin(&inside[usize::try_from(key).unwrap()]);
    while luck % 4 == 3 {
        luck /= 4;
        yield_once().await;
    }
    match luck / 4 % 8 {
        0 => panic::resume_unwind(Box::new(key)),
        1 | 2 => Err(key),
        _ => Ok(key),
    }
}

fn live<S: BuildHasher>(map: &ConcurrentMap<u64, u64, S>, inside: &Keys, random: &mut Random) {
    for _ in 0..5000 {
        let (key, luck) = (u64::from(below(random, 4)), u64::from(below(random, u32::MAX)));
        let future = map.get_or_try_insert_async(key, compute(inside, key, luck));
        let answer = catch_unwind(AssertUnwindSafe(|| match random.below(8) {
            0 | 1 => {
                map.remove(&key);
                None
            }
            2 => {
                map.insert(key, key);
                None
            }
            3 => {
                let mut future = pin!(future);
                let mut cx = Context::from_waker(Waker::noop());
                (0..random.below(4)).all(|_| future.as_mut().poll(&mut cx).is_pending());
                None
            }
            4 => future.wait_timeout(Duration::from_micros(below(random, 30).into())).ok(),
            _ => Some(future.wait()),
        }));
        if let Ok(Some(answer)) = answer {
            assert_eq!(answer.unwrap_or_else(|error| error), key);
        }
    }
}

#[test]
fn any_history_on_threads_ends_for_everybody_and_computes_one_at_a_time() {
    fn run<S: BuildHasher + Sync>(map: &ConcurrentMap<u64, u64, S>, seed: u64) {
        let inside = Keys::default();
        thread::scope(|scope| {
            for thread in 0..4 {
                let inside = &inside;
                scope.spawn(move || live(map, inside, &mut Random::new(seed + thread)));
            }
        });
        for key in 0..inside.len() as u64 {
            assert_eq!(
                map.get_or_try_insert_async(key, async { Ok::<_, ()>(key) }).wait(),
                Ok(key)
            );
        }
    }
    let seed = test_kit::seed();
    run(&ConcurrentMap::new(), seed);
    run(&ConcurrentMap::with_hasher(BuildHasherDefault::<Parity>::default()), seed);
}
