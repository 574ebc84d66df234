//! The promises of a flight that keeps nothing.

use std::{
    cell::Cell,
    future::{self, Future, poll_fn},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use test_kit::{Fuse, OnDrop, Task, quiet_panic, quietly};
use tidegate_concurrent_map::Flight;
use tidegate_core::{SystemClock, Timer, Wait};

use crate::hashers::Constant;

type Answer = Result<u32, &'static str>;

/// A computation that is pending until its result is set.
#[derive(Default)]
struct Computation {
    result: Cell<Option<Answer>>,
    polls: Cell<usize>,
}

impl Computation {
    fn future(&self) -> impl Future<Output = Answer> {
        poll_fn(|_| {
            self.polls.set(self.polls.get() + 1);
            self.result.take().map_or(Poll::Pending, Poll::Ready)
        })
    }

    fn ends(&self, result: Answer) {
        self.result.set(Some(result));
    }
}

fn in_flight<K, T, S>(flight: &Flight<K, T, S>) -> String {
    format!("{flight:?}")
}

#[test]
fn callers_at_the_same_time_share_one_computation() {
    for result in [Ok(7), Err("down")] {
        let (flight, leads, waits) =
            (Flight::new(), Computation::default(), Computation::default());
        let mut leader = Task::waiting(flight.run(1, leads.future()));
        let mut waiters = [(); 3].map(|()| Task::waiting(flight.run(1, waits.future())));
        leads.ends(result);
        assert_eq!(leader.poll(), Poll::Ready(result));
        for waiter in &mut waiters {
            assert_eq!((waiter.woken(), waiter.poll()), (1, Poll::Ready(result)));
        }
        assert_eq!((leads.polls.get(), waits.polls.get()), (2, 0));
        assert_eq!(in_flight(&flight), in_flight(&Flight::<u32, Answer>::new()));
    }
}

#[test]
fn nothing_is_kept() {
    let (flight, computed) = (Flight::new(), Cell::new(0));
    for n in 1..4 {
        let compute = async {
            computed.set(computed.get() + 1);
            computed.get()
        };
        assert_eq!(Task::new(flight.run("key", compute)).poll(), Poll::Ready(n));
    }
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let (flight, unpolled) = (Flight::new(), Computation::default());
    let later = flight.run(1, unpolled.future());
    assert_eq!(Task::new(flight.run(1, async { Ok(7) })).poll(), Poll::Ready(Ok(7)));
    drop(later);
    assert_eq!(unpolled.polls.get(), 0);
}

#[test]
fn the_next_leads_if_the_leader_is_dropped_or_panics() {
    let flight = Flight::new();
    let dropped = Task::waiting(flight.run(1, future::pending()));
    let mut panics = Task::waiting(flight.run(1, async { quiet_panic("computing") }));
    let mut third = Task::waiting(flight.run(1, async { Ok::<_, ()>(3) }));
    drop(dropped);
    assert_eq!((panics.woken(), third.woken()), (1, 0));
    assert!(quietly(|| panics.poll()).is_none());
    assert_eq!((third.woken(), third.poll()), (1, Poll::Ready(Ok(3))));
}

#[test]
fn keys_of_one_hash_share_no_result() {
    let flight = Flight::with_hasher(BuildHasherDefault::<Constant>::default());
    let leads = Computation::default();
    let mut leader = Task::waiting(flight.run(1, leads.future()));
    let mut same = Task::waiting(flight.run(1, future::pending()));
    let mut other = Task::waiting(flight.run(2, async { Ok(2) }));
    leads.ends(Ok(1));
    assert_eq!(leader.poll(), Poll::Ready(Ok(1)));
    assert_eq!(same.poll(), Poll::Ready(Ok(1)));
    assert_eq!(other.run(), Poll::Ready(Ok(2)));
}

#[test]
fn a_result_whose_clone_panics_is_computed_by_the_next() {
    struct Fragile(u32);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            quiet_panic("cloning")
        }
    }
    let (flight, ends) = (Flight::new(), Cell::new(false));
    let compute = poll_fn(|_| if ends.get() { Poll::Ready(Fragile(1)) } else { Poll::Pending });
    let mut leader = Task::waiting(flight.run("key", compute));
    let mut next = Task::waiting(flight.run("key", async { Fragile(2) }));
    ends.set(true);
    assert!(quietly(|| leader.poll()).is_none());
    assert_eq!(next.woken(), 1);
    assert!(matches!(next.poll(), Poll::Ready(Fragile(2))));
}

/// A key, and a result, whose every method and destructor may panic.
struct Foreign(u32, Arc<Fuse>);

impl Hash for Foreign {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.call();
        self.0.hash(state);
    }
}

impl PartialEq for Foreign {
    fn eq(&self, other: &Self) -> bool {
        self.1.call();
        self.0 == other.0
    }
}

impl Eq for Foreign {}

impl Clone for Foreign {
    fn clone(&self) -> Self {
        self.1.call();
        Self(self.0, self.1.clone())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.1.call();
    }
}

#[test]
fn a_panic_at_any_foreign_call_leaves_no_caller_asleep_and_no_flight() {
    let three_callers = |fuse: &Arc<Fuse>| {
        let flight = Flight::new();
        let key = || Foreign(7, fuse.clone());
        let compute = || {
            let (ends, dropped) = (fuse.clone(), fuse.clone());
            let dropped = OnDrop(move || dropped.call());
            async move {
                smol::future::yield_now().await;
                ends.call();
                // Dropped here, because its panic at the end of the block would lose the result.
                drop(dropped);
                Foreign(1, ends)
            }
        };
        let mut tasks: Vec<_> =
            (0..3).map(|_| Some(Task::new(flight.run(key(), compute())))).collect();
        for _ in 0..5 {
            for task in &mut tasks {
                let ended =
                    task.as_mut().map(|task| quietly(|| task.poll().is_ready()).unwrap_or(true));
                // A task that has panicked or is ready is not polled again.
                if ended == Some(true) {
                    let _ = quietly(|| drop(task.take()));
                }
            }
        }
        assert!(tasks.iter().all(Option::is_none), "one sleeps for ever");
        assert_eq!(in_flight(&flight), in_flight(&Flight::<u32, Answer>::new()));
    };
    let tried = (0..).find(|at| {
        let fuse = Fuse::new(*at, 1);
        three_callers(&fuse);
        fuse.is_whole()
    });
    assert!(tried > Some(8), "{tried:?}");
}

#[test]
fn a_flight_that_is_owned_can_be_spawned() {
    let runtime = tokio_runtime();
    let flight = Arc::new(Flight::new());
    let run = || flight.clone().run_owned("key", async { Ok::<_, String>(7) });
    assert_eq!(runtime.block_on(runtime.spawn(run())).unwrap(), Ok(7));
    assert_eq!(smol::block_on(smol::spawn(run())), Ok(7));
    let run = run();
    assert_eq!(thread::spawn(|| run.wait()).join().unwrap(), Ok(7));
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[test]
fn threads_at_the_same_time_share_one_computation() {
    const THREADS: usize = 8;
    let (flight, computed) = (Flight::new(), AtomicUsize::new(0));
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                let compute = async {
                    // Long enough for the others, which begin at the same time.
                    SystemClock.sleep(Duration::from_millis(300)).await;
                    computed.fetch_add(1, Ordering::Relaxed) + 1
                };
                flight.run("key", compute).wait()
            });
        }
    });
    assert!((1..THREADS).contains(&computed.into_inner()));
}
