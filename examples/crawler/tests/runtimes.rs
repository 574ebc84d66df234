//! The same objects in tokio, in smol, and on plain threads, all at once.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tidegate::{Queue, Semaphore, SystemClock, TimedOut, Timer, Wait};

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[test]
fn waiting_on_a_thread_of_a_runtime_does_not_panic() {
    let semaphore = Semaphore::new(1);
    tokio().block_on(async {
        let permit = semaphore.acquire(1).wait().unwrap();
        assert_eq!(
            semaphore.acquire(1).wait_timeout(Duration::from_millis(1)).err(),
            Some(TimedOut)
        );
        drop(permit);
        assert!(semaphore.acquire(1).await.is_ok());
    });
    smol::block_on(async { assert!(semaphore.acquire(1).wait().is_ok()) });
}

#[test]
fn two_runtimes_and_a_thread_share_one_semaphore_and_one_queue() {
    const EACH: usize = 50;
    let semaphore = Arc::new(Semaphore::new(1));
    let done = Arc::new(Queue::unbounded());
    let work = |name: &'static str| {
        let (semaphore, done) = (semaphore.clone(), done.clone());
        async move {
            for _ in 0..EACH {
                let _permit = semaphore.acquire(1).await.unwrap();
                assert_eq!(semaphore.available_permits(), 0, "two are inside");
                done.try_push(name).unwrap();
            }
        }
    };
    let (in_tokio, in_smol, on_thread) = (work("tokio"), work("smol"), work("thread"));
    let threads = [
        thread::spawn(|| tokio().block_on(in_tokio)),
        thread::spawn(|| smol::block_on(in_smol)),
        thread::spawn(|| on_thread.wait()),
    ];
    for name in threads.map(thread::JoinHandle::join) {
        name.unwrap();
    }
    assert_eq!(done.len(), 3 * EACH);
}

#[test]
fn the_system_clock_works_in_every_runtime() {
    let limited =
        || std::future::pending::<()>().or_timeout(&SystemClock, Duration::from_millis(1));
    assert_eq!(tokio().block_on(limited()), Err(TimedOut));
    assert_eq!(smol::block_on(limited()), Err(TimedOut));
    assert_eq!(limited().wait(), Err(TimedOut));
    tokio().block_on(SystemClock.sleep(Duration::from_millis(1)));
}
