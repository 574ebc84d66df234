//! Which events of the crate `tracing` a pool makes, and the hook for refusals.

use core::num::NonZeroUsize;
use std::{
    io,
    sync::{Arc, Mutex},
};

use test_kit::quiet_panic;
use tidegate_worker_pool::{Builder, ExecuteError, OnFull, Wait, WorkerPool};

/// What is written to it, in one text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the events of `run`, one on each line.
fn events(run: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// A pool without workers whose queue holds one job.
fn with_one_place() -> Builder {
    WorkerPool::builder().queue(1).on_full(OnFull::Reject)
}

#[test]
fn panics_and_refusals_are_events_and_the_hooks_of_before_still_run() {
    let hooks = Arc::new(Mutex::new(Vec::new()));
    let (panics, refusals) = (hooks.clone(), hooks.clone());
    let pool = with_one_place()
        .on_panic(move |_| panics.lock().unwrap().push("a panic".to_owned()))
        .on_refuse(move |why| refusals.lock().unwrap().push(why.to_string()))
        .tracing("thumbnails")
        .detached();
    let heard = events(|| {
        for job in [|| quiet_panic("no such picture"), || quiet_panic("another")] {
            let _ = pool.try_submit(job);
        }
        assert_eq!(pool.execute(|| ()).wait(), Err(ExecuteError::Full));
        pool.close();
        assert_eq!(pool.execute(|| ()).wait(), Err(ExecuteError::Closed));
        pool.worker().wait();
    });
    let refused = |reason| {
        format!(
            "WARN tidegate_worker_pool: a job was refused pool=\"thumbnails\" \
             reason={reason}"
        )
    };
    let panicked = "ERROR tidegate_worker_pool: a job panicked pool=\"thumbnails\" \
                    panic=\"no such picture\"";
    let [full, closed] = [ExecuteError::Full, ExecuteError::Closed].map(|why| why.to_string());
    assert_eq!(heard, [refused(&full), refused(&full), refused(&closed), panicked.to_owned()]);
    assert_eq!(*hooks.lock().unwrap(), [full.clone(), full, closed, "a panic".to_owned()]);
    assert_eq!(pool.stats().refused, 3);
}

#[test]
fn each_way_to_be_refused_calls_the_hook_once_and_its_panic_is_contained() {
    let refused = Arc::new(Mutex::new(0));
    let counts = refused.clone();
    let hook = move |_| {
        *counts.lock().unwrap() += 1;
        quiet_panic("a hook panicked")
    };
    let pool = with_one_place().on_refuse(hook).detached();
    let keyed = pool.keyed::<u8>(NonZeroUsize::MIN);
    let _first = pool.try_submit(|| ()).unwrap();
    assert!(pool.try_submit(|| ()).is_err());
    assert!(pool.submit(|| ()).wait().wait().unwrap_err().is_full());
    assert!(pool.execute(|| ()).wait().is_err());
    assert!(keyed.try_submit(1, || ()).is_err());
    pool.close();
    assert!(pool.try_submit(|| ()).is_err());
    assert!(keyed.submit(1, || ()).wait().wait().is_err());
    assert_eq!((*refused.lock().unwrap(), pool.stats().refused), (6, 6));
    pool.shutdown_now();
}
