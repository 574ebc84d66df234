//! The largest number for each setting: either it works, and memory is taken only for what is used,
//! or an error names the range.

use std::{num::NonZeroUsize, time::Duration};

use tidegate_worker_pool::{JobGroup, StartError, SystemClock, Wait, WorkerPool};

fn use_it(pool: &WorkerPool) {
    let jobs: JobGroup<_> = (0..100).map(|n| pool.submit(move || n).wait()).collect();
    let results = jobs.join().wait().into_iter().map(Result::unwrap);
    assert!(results.eq(0..100));
}

#[test]
fn the_largest_queue_is_bounded_by_what_is_used() {
    for capacity in [usize::MAX, usize::MAX - 1, usize::MAX / 2] {
        let pool = WorkerPool::builder().threads(2).queue(capacity).build().unwrap();
        assert_eq!(pool.capacity(), capacity);
        use_it(&pool);
        let waiting: Vec<_> = {
            let _paused = pool.pause();
            (0..5000).map(|n| pool.try_submit(move || n).unwrap()).collect()
        };
        assert!(waiting.into_iter().map(|job| job.wait().unwrap()).eq(0..5000));
    }
}

#[test]
fn the_largest_key_queue_is_bounded_by_what_is_used() {
    let pool = WorkerPool::builder().threads(2).queue(usize::MAX).build().unwrap();
    let keyed = pool.keyed(NonZeroUsize::MAX);
    let jobs: JobGroup<_> = (0..5000).map(|n| keyed.submit(n % 3, move || n).wait()).collect();
    assert!(jobs.join().wait().into_iter().map(Result::unwrap).eq(0..5000));
}

#[test]
fn too_many_threads_are_an_error_that_says_how_many_there_may_be() {
    let says = |error: StartError| {
        assert!(matches!(error, StartError::Setting(_)));
        error.to_string()
    };
    let too_many = usize::MAX;
    for threads in [too_many.into(), NonZeroUsize::MAX.into(), (1..=too_many).into(), 65_536.into()]
    {
        let threads: tidegate_worker_pool::ThreadCount = threads;
        let wanted = format!("threads is {threads}, but must be a range within 1..=65535");
        assert_eq!(says(WorkerPool::builder().threads(threads).build().unwrap_err()), wanted);
        let pool = WorkerPool::detached(1);
        assert_eq!(says(pool.resize(threads).unwrap_err()), wanted);
        assert_eq!(pool.stats().workers, 0, "nothing has changed");
    }
}

#[test]
fn the_most_threads_are_started_when_there_is_something_to_do() {
    let pool = WorkerPool::builder().threads(1..=65_535).build().unwrap();
    use_it(&pool);
    assert!(pool.stats().workers < 200);
}

#[test]
fn the_largest_stack_is_an_error_of_the_system_and_no_abort() {
    for bytes in [usize::MAX, usize::MAX / 2] {
        let built = WorkerPool::builder().threads(1).stack_size(bytes).build();
        assert!(built.is_err());
    }
}

#[test]
fn the_longest_times_are_for_ever() {
    let pool = WorkerPool::builder()
        .threads(1..=2)
        .keep_alive(Duration::MAX)
        .job_timeout(SystemClock, Duration::MAX)
        .max_queue_age(SystemClock, Duration::MAX)
        .build()
        .unwrap();
    use_it(&pool);
    assert_eq!(pool.submit_future(async { 7 }).wait().wait().unwrap(), 7);
    assert!(pool.shutdown().wait_timeout(Duration::MAX).is_ok());
}
