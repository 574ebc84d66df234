//! Foreign code panics wherever the driver runs it: the driver lives on, and no caller hangs.

use std::{
    cmp::Ordering,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    thread,
};

use tidegate_batch_processor::{Async, Batcher, Blocking, Builder, Handler, OnError, OnFull, Wait};

/// A value that panics when it is dropped, if it is bad.
#[derive(Clone)]
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 && !thread::panicking() {
            resume_unwind(Box::new("quiet"));
        }
    }
}

/// Drives `handler` through a bad batch of two, and then through a good one, whose result must
/// come.
#[track_caller]
fn survives<T: Send + 'static, H>(builder: Builder<T>, handler: H, items: [T; 4])
where
    H: Handler<T> + Send + 'static,
    H::Output: Send,
    H::Error: Send + Sync,
    H::Run: Send,
{
    let (batcher, driver) = builder.max_items(2).build_with(handler).unwrap();
    let driver = thread::spawn(|| driver.wait());
    let replies = items.map(|item| batcher.try_submit(item).unwrap_or_else(|_| unreachable!()));
    let [_, _, good, also] = replies.map(Wait::wait);
    assert!(good.is_ok() && also.is_ok());
    drop(batcher);
    driver.join().unwrap();
}

#[test]
fn results_that_panic_when_they_are_dropped_keep_the_driver() {
    // Too many results, each of which panics when it is dropped.
    let handler = Blocking::new(|items: Vec<bool>| {
        let bombs = items.iter().map(|bad| Bomb(*bad));
        Ok::<_, ()>(bombs.clone().chain(bombs.filter(|bomb| bomb.0)).collect())
    });
    survives(Batcher::builder(), handler, [true, true, false, false]);
}

#[test]
fn results_that_nobody_takes_and_that_panic_keep_the_driver() {
    let handler = |items: Vec<bool>| Ok::<_, ()>(items.into_iter().map(Bomb).collect());
    let (batcher, driver) = Batcher::builder().max_items(2).build_on_thread(handler).unwrap();
    (0..2).for_each(|_| batcher.try_push(true).unwrap());
    (0..2).for_each(|_| drop(batcher.try_submit(true)));
    let good = [false, false].map(|item| batcher.try_submit(item).unwrap());
    assert!(good.map(Wait::wait).iter().all(Result::is_ok));
    drop(batcher);
    driver.join();
}

struct Job(Vec<bool>, #[allow(dead_code, reason = "it is there to be dropped")] Bomb);

impl Future for Job {
    type Output = Result<Vec<bool>, ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(self.0.clone()))
    }
}

#[test]
fn a_handler_future_that_panics_when_it_is_dropped_keeps_its_results() {
    for in_flight in [1, 2] {
        let handler = Async::new(|items: Vec<bool>| Job(items.clone(), Bomb(items[0])));
        let builder = Batcher::builder().max_items(2).max_in_flight(in_flight);
        survives(builder, handler, [true, true, false, false]);
    }
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_keeps_the_driver() {
    let handler = Blocking::new(|items: Vec<bool>| {
        if items[0] {
            panic_any(Bomb(true));
        }
        Ok::<_, ()>(items)
    });
    survives(Batcher::builder(), handler, [true, true, false, false]);
}

#[test]
fn items_that_panic_when_they_are_dropped_keep_the_driver_and_the_pushers() {
    let handler = Blocking::new(|mut items: Vec<Bomb>| {
        let bad = items[0].0;
        items.iter_mut().for_each(|item| item.0 = false);
        if bad { Err(()) } else { Ok(vec![(); items.len()]) }
    });
    // The driver drops the items that it has kept for the calls of the halves.
    let items = || [true, true, false, false].map(Bomb);
    survives(Batcher::builder().on_error(OnError::Bisect), handler, items());
    let builder = Batcher::builder().max_items(2).capacity(2).on_full(OnFull::DropOldest);
    let (batcher, driver) = builder.build(|items: Vec<Bomb>| Ok::<_, ()>(items)).unwrap();
    for item in items() {
        assert!(batcher.try_push(item).is_ok());
    }
    assert_eq!(batcher.stats().dropped, 2);
    drop(driver);
}

/// A key whose comparisons panic, as many times as the counter says.
#[derive(Clone)]
struct Key(u32, Arc<AtomicUsize>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            resume_unwind(Box::new("quiet"));
        }
        self.0.cmp(&other.0)
    }
}

#[test]
fn keys_that_panic_when_they_are_compared_keep_the_driver_and_their_order() {
    for panics in [1, 2] {
        let fuse = Arc::new(AtomicUsize::new(0));
        let item = |key, n| (Key(key, fuse.clone()), n);
        let handler = |items: Vec<(Key, u32)>| {
            assert!(items.iter().all(|item| item.0.0 == items[0].0.0), "of one key");
            Ok::<_, ()>(items.into_iter().map(|(_, n)| n).collect())
        };
        let (batcher, driver) = Batcher::builder().max_items(1).keyed().build(handler).unwrap();
        let mut driver = test_kit::Task::new(driver);
        let replies = [1, 2, 3].map(|key| batcher.try_submit(item(key, key)).ok().unwrap());
        fuse.store(panics, SeqCst);
        assert!(driver.run().is_pending());
        assert_eq!(replies.map(|reply| reply.wait().unwrap()), [1, 2, 3]);
        // A pusher's own search for its key panics.
        fuse.store(panics, SeqCst);
        let _own = [4, 5]
            .map(|key| catch_unwind(AssertUnwindSafe(|| batcher.try_push(item(key, key)).is_ok())));
        fuse.store(0, SeqCst);
        let again = [4, 3, 2, 1].map(|key| batcher.try_submit(item(key, 10 * key)).ok().unwrap());
        assert!(driver.run().is_pending());
        assert_eq!(again.map(|reply| reply.wait().unwrap()), [40, 30, 20, 10]);
        assert_eq!(batcher.stats().waiting, 0);
    }
}
