//! Every accepted item is processed before the process ends. The tests run this program again as a
//! child, which does one thing with the driver's handle and then ends.

use std::{
    cell::RefCell,
    env,
    io::{Write, stdout},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::Command,
    sync::{
        Arc, Mutex,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use tidegate_batch_processor::{Batcher, DriverThread, Wait};

const ITEMS: usize = 250;

type Ours = Batcher<usize, (), ()>;

/// The environment variable that tells a child its name.
const CHILD: &str = "TIDEGATE_CHILD";

/// What a child does before it ends, by its name.
const CHILDREN: [(&str, fn()); 5] = [
    ("drops the handle", drops_the_handle),
    ("unwinds past the handle", unwinds_past_the_handle),
    ("moves the handle into a thread-local", moves_the_handle_into_a_thread_local),
    ("keeps the handle in a static and shuts down", keeps_the_handle_in_a_static),
    ("detaches the thread and shuts down", detaches_the_thread),
];

#[test]
fn a_dropped_driver_thread_loses_no_accepted_item_at_exit() {
    for (name, run) in CHILDREN {
        match env::var(CHILD) {
            Ok(child) if child == name => run(),
            Ok(_) => {}
            Err(_) => {
                let mut child = Command::new(env::current_exe().unwrap());
                let this = "a_dropped_driver_thread_loses_no_accepted_item_at_exit";
                child.args(["--exact", this, "--nocapture"]).env(CHILD, name);
                let ran = child.output().unwrap();
                assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
                let handled = String::from_utf8_lossy(&ran.stdout).matches("item,").count();
                assert_eq!(handled, ITEMS, "of a child that {name}");
            }
        }
    }
}

/// A batcher that has accepted everything and processed nothing: its handler waits for the signal.
fn full() -> (Ours, DriverThread, Sender<()>) {
    let (signal, signals) = mpsc::channel();
    let (batcher, driver) = Batcher::builder()
        .max_items(10)
        .capacity(ITEMS)
        .max_delay(Duration::from_secs(3600))
        .build_on_thread(move |items: Vec<usize>| {
            signals.recv().ok();
            for _ in &items {
                // Not `print`, whose output the test harness would capture.
                stdout().write_all(b"item,").unwrap();
                stdout().flush().unwrap();
                thread::yield_now();
            }
            Ok(vec![(); items.len()])
        })
        .unwrap();
    (0..ITEMS).for_each(|n| batcher.push(n).wait().unwrap());
    (batcher, driver, signal)
}

fn drops_the_handle() {
    let (batcher, driver, signal) = full();
    drop(signal);
    drop(driver);
    assert!(batcher.is_closed());
}

fn unwinds_past_the_handle() {
    let (_batcher, driver, signal) = full();
    drop(signal);
    let unwinds = AssertUnwindSafe(move || {
        let _driver = driver;
        resume_unwind(Box::new("quiet"));
    });
    catch_unwind(unwinds).unwrap_err();
}

fn moves_the_handle_into_a_thread_local() {
    std::thread_local! {
        static HELD: RefCell<Option<DriverThread>> = const { RefCell::new(None) };
    }
    let (_batcher, driver, signal) = full();
    drop(signal);
    thread::spawn(move || HELD.set(Some(driver))).join().unwrap();
}

/// A handle in a static is never dropped, so nothing waits for the thread: the program itself has
/// to wait for the shutdown.
fn keeps_the_handle_in_a_static() {
    static HELD: Mutex<Option<DriverThread>> = Mutex::new(None);
    let (batcher, driver, signal) = full();
    *HELD.lock().unwrap() = Some(driver);
    drop(signal);
    batcher.shutdown().wait().unwrap();
}

fn detaches_the_thread() {
    let (batcher, driver, signal) = full();
    driver.detach();
    drop(signal);
    batcher.shutdown().wait().unwrap();
}

#[test]
fn a_detached_thread_goes_on_until_the_last_batcher_is_dropped() {
    let (ended, end) = mpsc::channel::<()>();
    let (batcher, driver) = Batcher::builder()
        .build_on_thread(move |items: Vec<u8>| {
            // Dropped with the handler, at the end.
            let _ended = &ended;
            Ok::<_, ()>(items)
        })
        .unwrap();
    driver.detach();
    assert_eq!(batcher.submit(1).wait().unwrap(), 1);
    drop(batcher);
    end.recv().unwrap_err();
}

#[test]
fn a_handler_that_drops_its_own_drivers_handle_does_not_wait_for_itself() {
    let held = Arc::new(Mutex::new(None::<DriverThread>));
    let handle = held.clone();
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .build_on_thread(move |items: Vec<u8>| {
            drop(handle.lock().unwrap().take());
            Ok::<_, ()>(items)
        })
        .unwrap();
    let mut handle = held.lock().unwrap();
    let replies = [1, 2].map(|item| batcher.try_submit(item).unwrap());
    *handle = Some(driver);
    drop(handle);
    assert_eq!(replies.map(|reply| reply.wait().unwrap()), [1, 2]);
    assert!(batcher.is_closed());
    batcher.shutdown().wait().unwrap();
}

#[test]
fn a_dropped_handle_wakes_who_waits_for_room_and_ends_the_pauses() {
    use tidegate_batch_processor::Backoff;
    let (called, calls) = mpsc::channel();
    let hour = Duration::from_secs(3600);
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .capacity(1)
        .retry(Backoff::fixed(hour).jitter(0.0).max_attempts(3))
        .build_on_thread(move |_: Vec<u8>| {
            called.send(()).unwrap();
            Err::<Vec<u8>, _>(())
        })
        .unwrap();
    batcher.try_push(1).unwrap();
    calls.recv().unwrap();
    batcher.push(2).wait().unwrap();
    thread::scope(|s| {
        let pusher = s.spawn(|| batcher.push(3).wait());
        drop(driver);
        assert!(pusher.join().unwrap().unwrap_err().is_closed());
    });
    assert_eq!((batcher.stats().done, batcher.stats().waiting), (2, 0));
}
