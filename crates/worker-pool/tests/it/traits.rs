//! What users expect of public types: the traits they have, and what `{:?}` shows of them.

use std::panic::{RefUnwindSafe, UnwindSafe};

use tidegate_worker_pool::{
    JobGroup, JobHandle, KeyedPool, OnFull, PauseGuard, PerWorker, Stats, StillRunning,
    ThreadCount, Wait, Worker, WorkerPool,
    future::{Idle, Shutdown},
};

/// A list for the compiler: a value of these may be looked at after a panic passed by, for none of
/// them is left half done.
#[test]
fn what_a_panic_passes_by_may_be_used_on() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<WorkerPool>();
    safe::<Worker>();
    safe::<JobHandle<Box<dyn FnMut() + Send>>>();
    safe::<JobGroup<u8>>();
    safe::<KeyedPool<String>>();
    safe::<PerWorker<Vec<u8>>>();
    safe::<PauseGuard>();
    safe::<Shutdown>();
    safe::<Idle>();
    safe::<Stats>();
    safe::<StillRunning>();
    safe::<ThreadCount>();
    safe::<OnFull>();
}

#[test]
fn what_is_shared_is_clone_and_what_is_one_of_a_kind_is_not() {
    struct Is<T>(std::marker::PhantomData<T>);
    trait No {
        const CLONE: bool = false;
    }
    impl<T> No for T {}
    impl<T: Clone> Is<T> {
        #[allow(dead_code, reason = "found before the trait's where there is a clone")]
        const CLONE: bool = true;
    }
    assert_eq!(
        [Is::<WorkerPool>::CLONE, Is::<KeyedPool<u8>>::CLONE, Is::<Stats>::CLONE],
        [true; 3]
    );
    assert_eq!([Is::<JobHandle<u8>>::CLONE, Is::<JobGroup<u8>>::CLONE], [false; 2]);
    assert_eq!([Is::<PauseGuard>::CLONE, Is::<Worker>::CLONE, Is::<Idle>::CLONE], [false; 3]);
}

#[test]
fn a_pool_shows_what_it_has_to_do() {
    let pool = WorkerPool::detached(4);
    let job = pool.submit(|| ()).wait();
    assert_eq!(
        format!("{pool:?}"),
        "WorkerPool { capacity: 4, waiting: 1, in_flight: 0, workers: 0, is_paused: false, \
         is_closed: false, .. }",
    );
    assert_eq!(format!("{job:?}"), "JobHandle { is_finished: false }");
    assert_eq!(format!("{:?}", pool.run(|| ())), "RunJob { is_accepted: false }");
    let mut group = JobGroup::from_iter([job]);
    assert_eq!(format!("{group:?}"), "JobGroup { len: 1 }");
    assert_eq!(format!("{:?}", group.join_next()), "JoinNext { len: 1 }");
}
