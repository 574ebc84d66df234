//! What users expect of public types: the traits they have, and what `{:?}` shows of them.

use std::{
    fmt::Debug,
    num::NonZeroUsize,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};

use test_kit::{poll, quiet_panic, ready};
use tidegate_worker_pool::{
    ExecuteError, JobGroup, JobHandle, JoinError, KeyedPool, ManualClock, OnFull, PauseGuard,
    PerWorker, Stats, StillRunning, ThreadCount, TrySubmitError, Wait, Worker, WorkerPool,
    future::{Idle, Shutdown},
};

/// A list for the compiler: values of these types may be used after a panic was caught, as it
/// leaves none of them half changed.
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

#[test]
fn everything_else_shows_how_far_it_is_or_its_name() {
    let pool = WorkerPool::builder().queue(1).detached();
    assert_eq!(format!("{:?}", WorkerPool::builder().queue(7)), "Builder { queue: 7, .. }");
    let keyed = pool.keyed(NonZeroUsize::MIN);
    assert_eq!(format!("{keyed:?}"), "KeyedPool { len: 0, .. }");
    let job = keyed.try_submit('a', || Ok::<u8, u8>(7)).unwrap();
    assert_eq!(format!("{keyed:?}"), "KeyedPool { len: 1, .. }");
    assert_eq!(format!("{:?}", keyed.submit('a', || ())), "SubmitKeyed { .. }");
    assert_eq!(format!("{:?}", pool.pause()), "PauseGuard { .. }");
    assert_eq!(format!("{:?}", PerWorker::new(|| 0)), "PerWorker { .. }");
    assert_eq!(format!("{:?}", pool.worker()), "Worker { .. }");
    WorkerPool::detached(1).scope(|scope| {
        assert_eq!(format!("{scope:?}"), "Scope { unfinished: 0, .. }");
        scope.execute(|| ());
        assert_eq!(format!("{scope:?}"), "Scope { unfinished: 1, .. }");
    });
    let join = JobGroup::from_iter([job]).try_join();
    assert_eq!(format!("{join:?}"), "TryJoin { jobs: 1, .. }");
    let join = JobGroup::<()>::new().join();
    assert_eq!(format!("{join:?}"), "Join { ended: 0, .. }");
    let ends = pool.shutdown().or_timeout(&ManualClock::new(), Duration::MAX);
    assert_eq!(format!("{ends:?}"), "ShutdownWithin { .. }");
    assert_eq!(format!("{:?}", pool.shutdown_now()), "[UnstartedJob { .. }]");
}

#[test]
fn a_future_shows_whether_it_waits() {
    fn check<F: Future + Unpin + Debug>(name: &str, mut future: F) {
        for is_waiting in [false, true] {
            let shown = format!("{name} {{ waiter: Waiter {{ registered: {is_waiting} }}, .. }}");
            assert_eq!(format!("{future:?}"), shown);
            assert!(poll(&mut future).is_pending());
        }
    }
    let pool = WorkerPool::detached(1);
    let _full = pool.try_submit(|| ()).unwrap();
    check("Submit", pool.submit(|| ()));
    check("Execute", pool.execute(|| ()));
    check("Idle", pool.idle());
    check("Shutdown", pool.shutdown());
}

#[test]
fn an_error_is_what_its_predicates_say_and_nothing_else() {
    let pool = WorkerPool::builder().queue(1).on_full(OnFull::Reject).detached();
    let panics = pool.try_submit(|| quiet_panic("quiet")).unwrap();
    assert!(poll(&mut pool.worker()).is_pending());
    let panicked = ready::<JobHandle<()>>(panics).unwrap_err();
    let all =
        [panicked, JoinError::Cancelled, JoinError::Closed, JoinError::Full, JoinError::Expired];
    let said = all.each_ref().map(|error| {
        [
            error.is_panic(),
            error.is_cancelled(),
            error.is_closed(),
            error.is_full(),
            error.is_expired(),
        ]
    });
    for (row, said) in said.into_iter().enumerate() {
        assert!(said.into_iter().enumerate().all(|(column, is)| is == (row == column)), "{row}");
    }
    let texts = [
        "job panicked: quiet",
        "job cancelled",
        "worker pool closed",
        "worker pool full",
        "job waited too long",
    ];
    assert_eq!(all.each_ref().map(ToString::to_string), texts);
    assert_eq!(format!("{:?}", all[0]), "Panicked(Panic(\"quiet\"))");

    let execute = [ExecuteError::Full, ExecuteError::Closed];
    let said = execute.map(|error| (error.is_full(), error.is_closed(), error.to_string()));
    assert_eq!(said, refusals());
    let submit = [TrySubmitError::Full(()), TrySubmitError::Closed(())];
    let said = submit.map(|error| (error.is_full(), error.is_closed(), error.to_string()));
    assert_eq!(said, refusals());
    assert_eq!(submit.map(|error| format!("{error:?}")), ["Full(..)", "Closed(..)"]);
}

/// What both errors of a refusal say: whether it was full, whether it is closed, and their text.
fn refusals() -> [(bool, bool, String); 2] {
    let [full, closed] = ["worker pool full", "worker pool closed"].map(String::from);
    [(true, false, full), (false, true, closed)]
}
