//! Values that jobs borrow for as long as they run.

use core::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{Shards, lock::Lock};

use crate::unwind::{DropEach, Foreign, contain};

/// Values for the jobs on each worker: something that is expensive to create and that no two jobs
/// may use at once, such as a parser, a buffer, a connection, or a partial sum.
///
/// A job borrows a value that a job on its thread has used before, or creates one if none is unused
/// there. So there are at most as many values as threads, if no job nests calls. Taking a value out
/// and putting it back takes a lock for an instant, which few other threads use; threads that share
/// a lock share the values, too.
///
/// # Panics
///
/// If a job panics while it uses a value, that value is dropped.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tidegate_worker_pool::{PerWorker, Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().build()?;
/// let sums = Arc::new(PerWorker::new(|| 0_u64));
/// for n in 1..=100 {
///     let sums = sums.clone();
///     pool.execute(move || sums.with(|sum| *sum += n)).wait().unwrap();
/// }
/// pool.shutdown().wait();
/// let sums = Arc::into_inner(sums).unwrap();
/// assert_eq!(sums.into_values().sum::<u64>(), 5050);
/// # Ok::<(), tidegate_worker_pool::StartError>(())
/// ```
pub struct PerWorker<T> {
    make: Box<dyn Fn() -> T + Send + Sync>,
    unused: Shards<Lock<DropEach<Vec<T>>>>,
}

// If a job panics, its value is dropped: no other job finds it half changed.
impl<T> UnwindSafe for PerWorker<T> {}
impl<T> RefUnwindSafe for PerWorker<T> {}

impl<T> PerWorker<T> {
    /// Creates a `PerWorker` without values; `make` creates each value when it is needed.
    pub fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make), unused: Shards::per_thread(|_| Lock::default()) }
    }

    /// Calls `job` with a value that no other job has.
    ///
    /// A nested call gets another value.
    pub fn with<R>(&self, job: impl FnOnce(&mut T) -> R) -> R {
        let unused = self.unused.by_thread();
        let value = unused.with(|values| values.pop()).unwrap_or_else(|| (self.make)());
        // If the job panics, this drops the value, and contains a panic of its destructor.
        let mut value = Foreign::new(value);
        let result = job(&mut value);
        unused.with(|values| values.push(value.into_inner()));
        result
    }

    /// Returns the values that were created and not dropped by a panic, in no particular order.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        let Self { make, unused } = self;
        // What `make` has captured is foreign: a panic of its destructor must not cost a value.
        contain(|| drop(make));
        let mut all = Vec::new();
        unused.iter().for_each(|values| values.with(|values| all.append(values)));
        let count = all.len();
        let mut values = DropEach::new(all.into_iter());
        (0..count).map(move |_| values.next().expect("they were counted"))
    }
}

impl<T> fmt::Debug for PerWorker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerWorker").finish_non_exhaustive()
    }
}
