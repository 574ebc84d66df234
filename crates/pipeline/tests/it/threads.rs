//! What a run on threads promises.

use std::{
    panic::resume_unwind,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tidegate_pipeline::{Pipeline, Queue, Threads};

use crate::desk::n;

/// A wait that takes longer than this fails the test, which would hang otherwise.
const HOPELESS: Duration = Duration::from_secs(60);

/// The calling thread works on one item until the others have worked on 500 more. They get these
/// only if one of them drives the flow.
#[test]
fn a_thread_in_a_long_item_keeps_no_other_from_work() {
    let here = thread::current().id();
    let (come, comes) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let (comes, told) = (Mutex::new(comes), Mutex::new(told));
    let (others, has_come) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = |_| {
        if thread::current().id() == here {
            if !has_come.swap(true, Ordering::SeqCst) {
                (0..2).for_each(|_| come.send(()).unwrap());
                told.lock().unwrap().recv_timeout(HOPELESS).map_err(|_| "the others ran dry")?;
            }
        } else {
            // No other thread works before the calling thread has come.
            let first_of_thread = others.fetch_add(1, Ordering::SeqCst) < 2;
            if first_of_thread && !has_come.load(Ordering::SeqCst) {
                let comes = comes.lock().unwrap();
                comes.recv_timeout(HOPELESS).map_err(|_| "the calling thread did not come")?;
            }
            if others.load(Ordering::SeqCst) == 500 {
                let _ = tell.send(());
            }
        }
        Ok::<_, &str>(())
    };
    let flow = Pipeline::from_iter(0..2000).try_map_on(Threads, "work", n(3), work).unordered();
    assert_eq!(flow.run_on_threads(n(3)).unwrap().succeeded, 2000);
    assert!(has_come.into_inner());
}

/// Each of the first items leaves a further thread, if there were one, the time to come.
#[test]
fn a_run_on_one_thread_works_on_the_calling_one_alone() {
    let here = thread::current().id();
    let work = |item: u64| {
        if item < 20 {
            (0..1000).for_each(|_| thread::yield_now());
        }
        thread::current().id() == here
    };
    let flow = Pipeline::from_iter(0..2000).map_on(Threads, "work", n(4), work).unordered();
    let here = flow.collect().run_on_threads(n(1)).unwrap();
    assert!(here.len() == 2000 && here.into_iter().all(|is_here| is_here));
}

#[test]
fn a_run_is_woken_by_its_source_while_every_thread_sleeps() {
    let (queue, results) = (Queue::unbounded(), Queue::unbounded());
    thread::scope(|scope| {
        scope.spawn(|| {
            let flow = Pipeline::from_queue(&queue).map_on(Threads, "pass", n(2), |item| item);
            let flow = flow.for_each(|item| results.try_push(item).unwrap());
            assert_eq!(flow.run_on_threads(n(3)).unwrap().succeeded, 100);
        });
        for item in 0..100 {
            queue.try_push(item).unwrap();
            // One by one, so that the flow has nothing to do before the next item.
            assert_eq!(tidegate_pipeline::Wait::wait(results.pop()), Ok(item));
        }
        queue.close();
    });
}

#[test]
fn a_stage_that_panics_when_it_is_dropped_takes_no_summary_along() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("a stage that cannot be dropped"));
        }
    }
    for threads in 1..4 {
        let bomb = Bomb;
        let flow = Pipeline::from_iter(0..10)
            .map_on(Threads, "pass", n(2), |item| item)
            .inspect("hold", move |_| _ = &bomb);
        assert_eq!(flow.run_on_threads(n(threads)).unwrap().succeeded, 10);
    }
}

#[test]
fn no_more_threads_are_started_than_find_something_to_do() {
    let by = Mutex::new(std::collections::BTreeSet::new());
    let ids = |_| {
        by.lock().unwrap().insert(format!("{:?}", thread::current().id()));
    };
    let flow = Pipeline::from_iter(0..1000).map_on(Threads, "id", n(1), ids);
    assert_eq!(flow.run_on_threads(n(usize::MAX)).unwrap().succeeded, 1000);
    // One is in the stage, one drives, and one looks for the next task; others start in the place
    // of a thread that the system has stopped meanwhile.
    let threads = by.into_inner().unwrap().len();
    assert!(threads <= 16, "{threads} threads");
}

#[test]
fn a_thread_drives_the_flow_before_it_works_on_the_next_chunk() {
    let (begun, seen) = (Queue::unbounded(), Queue::unbounded());
    let work = |item: usize| begun.try_push(item).map(|()| item);
    let flow = Pipeline::from_iter(0..9).try_map_on(Threads, "work", n(1), work);
    // The first two chunks, of an item each, wait together.
    let flow = flow.for_each(|_| seen.try_push(begun.len()).unwrap());
    assert_eq!(flow.run_on_threads(n(1)).unwrap().succeeded, 9);
    assert_eq!([(); 2].map(|()| seen.try_pop().unwrap()), [1, 2]);
}
