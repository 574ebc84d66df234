//! Callers and drivers on real threads.

use std::{collections::HashSet, sync::mpsc, thread, time::Duration};

use tidegate_batch_processor::{Batcher, Clock, ManualClock, Timer, Timestamp, Wait};

#[test]
fn threads_and_tasks_share_a_batcher() {
    let (batcher, driver) = Batcher::builder()
        .max_items(8)
        .max_delay(Duration::ZERO)
        .build_on_thread(|items: Vec<u32>| Ok::<_, ()>(items.iter().map(|n| n + 1).collect()))
        .unwrap();
    thread::scope(|s| {
        for thread in 0..4 {
            let batcher = batcher.clone();
            s.spawn(move || {
                for n in (0..200).map(|n| n * 4 + thread) {
                    let result = match n % 3 {
                        0 => batcher.submit(n).wait(),
                        1 => async { batcher.submit(n).await }.wait(),
                        _ => batcher.submit(n).wait_timeout(Duration::MAX).unwrap(),
                    };
                    assert_eq!(result.unwrap(), n + 1);
                }
            });
        }
    });
    assert_eq!(batcher.stats().done, 800);
    drop(batcher);
    driver.join();
}

#[test]
fn nothing_is_lost_when_producers_race_the_shutdown() {
    let (sender, receiver) = mpsc::channel();
    let (batcher, driver) = Batcher::builder()
        .max_items(4)
        .capacity(4)
        .build_on_thread(move |items: Vec<u32>| {
            sender.send(items.clone()).unwrap();
            Ok::<_, ()>(items)
        })
        .unwrap();
    let accepted: Vec<u32> = thread::scope(|s| {
        let producers: Vec<_> = (0..3)
            .map(|thread| {
                let batcher = &batcher;
                s.spawn(move || {
                    let items = (0_u32..).map(|n| n * 3 + thread);
                    items.take_while(|&n| batcher.push(n).wait().is_ok()).collect::<Vec<_>>()
                })
            })
            .collect();
        while batcher.stats().done < 50 {
            thread::yield_now();
        }
        batcher.shutdown().wait().unwrap();
        producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect()
    });
    driver.join();
    let processed: Vec<u32> = receiver.iter().flatten().collect();
    assert_eq!(processed.len(), accepted.len());
    let processed: HashSet<u32> = processed.into_iter().collect();
    assert_eq!(processed, accepted.into_iter().collect());
}

#[test]
fn handles_can_cross_threads() {
    fn crosses<T: Send + Sync>(_: &T) {}
    fn moves<T: Send>(_: &T) {}
    let (batcher, driver) =
        Batcher::builder().build(|items: Vec<std::cell::Cell<u8>>| Ok::<_, ()>(items)).unwrap();
    crosses(&batcher);
    moves(&driver);
    moves(&batcher.submit(0.into()));
    moves(&batcher.push(0.into()));
    moves(&batcher.flush());
    moves(&batcher.try_submit(0.into()).unwrap());
}

#[test]
fn handles_are_unwind_safe_whatever_is_in_them() {
    use std::panic::{RefUnwindSafe, UnwindSafe};
    fn safe<T: UnwindSafe + RefUnwindSafe>(_: &T) {}
    let (batcher, driver) = Batcher::builder()
        .build_on_thread(|items: Vec<std::cell::Cell<u8>>| Ok::<_, ()>(items))
        .unwrap();
    safe(&batcher);
    safe(&driver);
    safe(&batcher.try_submit(0.into()).unwrap());
}

/// A clock that panics when a driver's thread reads it.
#[derive(Clone)]
struct Broken;

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        if thread::current().name() == Some("tidegate-batch") {
            std::panic::resume_unwind(Box::new("no time"));
        }
        Timestamp::ORIGIN
    }
}

impl Timer for Broken {
    type Sleep = std::future::Pending<()>;

    fn sleep_until(&self, _time: Timestamp) -> Self::Sleep {
        std::future::pending()
    }
}

#[test]
fn a_panic_of_the_thread_reaches_the_caller_that_joins_it() {
    let (_batcher, driver) = Batcher::builder()
        .clock(Broken)
        .build_on_thread(|items: Vec<u8>| Ok::<_, ()>(items))
        .unwrap();
    let panic = std::panic::catch_unwind(|| driver.join()).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"no time"));
}

#[test]
fn a_thread_is_finished_after_the_close() {
    let builder = Batcher::builder().clock(ManualClock::new());
    let (batcher, driver) = builder.build_on_thread(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    assert!(!driver.is_finished());
    batcher.close();
    while !driver.is_finished() {
        thread::yield_now();
    }
}
