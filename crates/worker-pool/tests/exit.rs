//! Nothing that was accepted is lost when `main` returns.
//!
//! Each case runs in a process of its own: this test binary, which a variable of the environment
//! tells what to do.

use std::{
    cell::RefCell,
    env,
    process::{self, Command},
    thread,
};

use tidegate_worker_pool::{Wait, WorkerPool};

const CASE: &str = "TIDEGATE_EXIT_CASE";
const JOBS: usize = 250;

thread_local! {
    static KEPT: RefCell<Option<WorkerPool>> = const { RefCell::new(None) };
}

/// A pool with jobs that have not ended.
fn busy_pool() -> WorkerPool {
    let pool = WorkerPool::builder().threads(2).queue(JOBS).build().unwrap();
    for _ in 0..JOBS {
        let job = || {
            (0..100).for_each(|_| thread::yield_now());
            println!("job done");
        };
        pool.execute(job).wait().unwrap();
    }
    pool
}

fn keep(pool: WorkerPool) {
    KEPT.with(|kept| *kept.borrow_mut() = Some(pool));
}

/// Runs a process in which `case` happens before it exits; returns how many jobs it has done.
fn jobs_done(case: &str) -> usize {
    let this = env::current_exe().unwrap();
    let child = Command::new(this)
        .args(["--exact", "in_a_process_of_its_own", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    String::from_utf8(child.stdout).unwrap().matches("job done").count()
}

#[test]
fn in_a_process_of_its_own() {
    let Ok(case) = env::var(CASE) else { return };
    match &*case {
        "dropped" => drop(busy_pool()),
        "dropped by a thread" => thread::spawn(|| drop(busy_pool())).join().unwrap(),
        "kept by a thread" => thread::spawn(|| keep(busy_pool())).join().unwrap(),
        "shut down and never dropped" => {
            // The shutdown is needed, as this process ends without a destructor.
            let pool = busy_pool();
            pool.shutdown().wait();
            process::exit(0);
        }
        "idle and never dropped" => {
            let pool = busy_pool();
            pool.idle().wait();
            process::exit(0);
        }
        _ => unreachable!("no such case"),
    }
}

#[test]
fn nothing_accepted_is_lost_at_exit_by_a_dropped_handle() {
    assert_eq!(jobs_done("dropped"), JOBS);
    assert_eq!(jobs_done("dropped by a thread"), JOBS);
}

#[test]
fn nothing_accepted_is_lost_at_exit_by_a_handle_in_a_thread_local() {
    assert_eq!(jobs_done("kept by a thread"), JOBS);
}

#[test]
fn nothing_accepted_is_lost_at_exit_by_a_handle_that_was_waited_for_and_is_never_dropped() {
    assert_eq!(jobs_done("shut down and never dropped"), JOBS);
    assert_eq!(jobs_done("idle and never dropped"), JOBS);
}
