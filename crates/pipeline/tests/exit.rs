//! Nothing that was read is lost when `main` returns after a run.
//!
//! Each case runs in a process of its own: this test binary, with the case in an environment
//! variable.

use std::{
    cell::RefCell,
    env,
    num::NonZeroUsize,
    process::{self, Command},
    thread,
};

use tidegate_pipeline::{Pipeline, Stopped, Summary, Threads, Wait};
use tidegate_worker_pool::WorkerPool;

const CASE: &str = "TIDEGATE_EXIT_CASE";
const ITEMS: usize = 250;

thread_local! {
    static KEPT: RefCell<Option<WorkerPool>> = const { RefCell::new(None) };
}

fn n(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn say(_item: usize) {
    (0..100).for_each(|_| thread::yield_now());
    println!("item done");
}

fn on_threads() -> Result<Summary, Stopped> {
    Pipeline::from_iter(0..ITEMS).map_on(Threads, "say", n(3), say).run_on_threads(n(3))
}

fn on_a_pool() -> WorkerPool {
    let pool = WorkerPool::builder().threads(2).build().unwrap();
    Pipeline::from_iter(0..ITEMS).map_on(&pool, "say", n(2), say).run().wait().unwrap();
    pool
}

/// Counts the items on which a process that runs `case` has worked before it exits.
fn items_done(case: &str) -> usize {
    let this = env::current_exe().unwrap();
    let child = Command::new(this)
        .args(["--exact", "in_a_process_of_its_own", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    String::from_utf8(child.stdout).unwrap().matches("item done").count()
}

#[test]
fn in_a_process_of_its_own() {
    let Ok(case) = env::var(CASE) else { return };
    match &*case {
        "on threads" => drop(on_threads()),
        "on threads, and nothing is dropped" => {
            let _summary = on_threads();
            process::exit(0);
        }
        "on threads of a thread" => drop(thread::spawn(on_threads).join().unwrap()),
        "on a pool" => drop(on_a_pool()),
        "on a pool that is never dropped" => {
            let _pool = on_a_pool();
            process::exit(0);
        }
        "on a pool that a thread keeps" => {
            let keep = || KEPT.with(|kept| *kept.borrow_mut() = Some(on_a_pool()));
            thread::spawn(keep).join().unwrap();
        }
        _ => unreachable!("no such case"),
    }
}

#[test]
fn nothing_read_is_lost_at_exit_after_a_run_on_threads() {
    assert_eq!(items_done("on threads"), ITEMS);
    assert_eq!(items_done("on threads, and nothing is dropped"), ITEMS);
    assert_eq!(items_done("on threads of a thread"), ITEMS);
}

#[test]
fn nothing_read_is_lost_at_exit_after_a_run_on_a_pool_whatever_becomes_of_that() {
    assert_eq!(items_done("on a pool"), ITEMS);
    assert_eq!(items_done("on a pool that is never dropped"), ITEMS);
    assert_eq!(items_done("on a pool that a thread keeps"), ITEMS);
}
