//! Laws of runs that are dropped before their end: what is in them is dropped piece by piece.

use std::{
    convert::Infallible,
    future::{Future, pending},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use tidegate_pipeline::Pipeline;

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Counts its drop, and panics: twice at once would end the process.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new("quiet"));
    }
}

/// Polls a run once, and drops it; returns how many bombs were dropped.
fn dropped<F: Future + Unpin>(run: impl FnOnce(Arc<AtomicUsize>) -> F) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let mut run = run(count.clone());
    assert!(Pin::new(&mut run).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(count.load(Ordering::SeqCst), 0);
    _ = catch_unwind(AssertUnwindSafe(|| drop(run)));
    count.load(Ordering::SeqCst)
}

#[test]
fn futures_of_a_run_that_panic_when_they_are_dropped_are_dropped_each() {
    let futures = |count: Arc<AtomicUsize>| {
        let hold = move |_: usize| {
            let bomb = Bomb(count.clone());
            async move {
                pending::<()>().await;
                drop(bomb);
                Ok::<_, Infallible>(())
            }
        };
        Pipeline::from_iter(0..9).map_async("hold", FOUR, hold).run()
    };
    assert_eq!(dropped(futures), 4);
}

#[test]
fn items_of_a_run_that_panic_when_they_are_dropped_are_dropped_each() {
    let items = |count: Arc<AtomicUsize>| {
        let make = move |n: usize| {
            let count = count.clone();
            async move {
                if n == 0 {
                    pending::<()>().await;
                }
                Ok::<_, Infallible>(Bomb(count))
            }
        };
        // In order: three wait for the first.
        Pipeline::from_iter(0..4).map_async("make", FOUR, make).for_each(drop)
    };
    assert_eq!(dropped(items), 3);
}
