//! The threads of a pool's own, if it has any.

pub(crate) use self::imp::Threads;
#[cfg(feature = "std")]
pub(crate) use self::imp::{Post, ThreadSettings};

#[cfg(feature = "std")]
mod imp {
    use core::{
        mem,
        panic::{RefUnwindSafe, UnwindSafe},
        time::Duration,
    };
    use std::io;

    use alloc::{boxed::Box, format, string::String, vec::Vec};

    use tidegate_core::{
        lock::Lock,
        primitive::{
            Arc,
            atomic::{AtomicUsize, Ordering, fence},
            thread::{self, JoinHandle, ThreadId},
        },
    };

    use crate::{
        headcount::{Headcount, ThreadCount},
        panic::{catch, contain},
        shared::Shared,
        worker::{Seat, work_alone},
    };

    /// Told the number of a thread.
    type Hook = Box<dyn Fn(usize) + Send + Sync>;

    /// How long a spare thread waits that does not have to stay.
    const KEEP_ALIVE: Duration = Duration::from_secs(10);

    /// After so many jobs begun is the system asked again for a thread that it has refused.
    const PATIENCE: usize = 1024;

    /// How threads are started, and when they end.
    pub(crate) struct ThreadSettings {
        pub(crate) name: Option<Box<dyn Fn(usize) -> String + Send + Sync>>,
        pub(crate) stack_size: Option<usize>,
        pub(crate) on_start: Option<Hook>,
        pub(crate) on_stop: Option<Hook>,
        pub(crate) keep_alive: Duration,
    }

    impl Default for ThreadSettings {
        fn default() -> Self {
            Self {
                name: None,
                stack_size: None,
                on_start: None,
                on_stop: None,
                keep_alive: KEEP_ALIVE,
            }
        }
    }

    impl ThreadSettings {
        fn name_of(&self, number: usize) -> String {
            match &self.name {
                Some(name) => name(number),
                None => format!("tidegate-worker-{number}"),
            }
        }

        fn tell(hook: &Option<Hook>, number: usize) {
            if let Some(hook) = hook {
                contain(|| hook(number));
            }
        }
    }

    pub(crate) struct Threads {
        settings: ThreadSettings,
        headcount: Headcount,
        started: AtomicUsize,
        /// Jobs that will begin before the system is asked again for a thread.
        patience: AtomicUsize,
        // INVARIANT: `None` once they were let go: nobody will join any.
        list: Lock<Option<List>>,
    }

    #[derive(Default)]
    struct List {
        handles: Vec<JoinHandle<()>>,
        /// Those of them that have nothing left to do.
        ended: Vec<ThreadId>,
    }

    impl Threads {
        pub(crate) fn new(settings: ThreadSettings) -> Arc<Self> {
            Arc::new(Self {
                settings,
                headcount: Headcount::none(),
                started: AtomicUsize::new(0),
                patience: AtomicUsize::new(0),
                list: Lock::new(Some(List::default())),
            })
        }

        /// Sets how many there may be, and starts those that are missing.
        pub(crate) fn resize(
            self: &Arc<Self>,
            count: ThreadCount,
            shared: &Arc<Shared>,
        ) -> io::Result<()> {
            self.headcount.set(count)?;
            if shared.intake.is_drained() {
                return Ok(());
            }
            // Those that sleep and are too many find that out.
            contain(|| shared.intake.notify_workers());
            while self.headcount.add_up_to_min() {
                self.start(shared)?;
            }
            // Every thread may be in a job that is long: then none of them would see that there may be more.
            if self.headcount.add_spare() { self.start(shared) } else { Ok(()) }
        }

        /// Adds a thread if there may be one more, and nobody is left to begin the next job. If the system refuses, those that
        /// are there do what there is to do.
        #[cold]
        fn grow(self: &Arc<Self>, shared: &Arc<Shared>) {
            // ORDERING: the fence pairs with the one at the end of `Intake::watch`: of two threads that begin a job, one after it
            // slept and one after it watched, at least one sees that the other does so no more.
            fence(Ordering::SeqCst);
            if shared.intake.is_watched() || shared.intake.is_drained() {
                return;
            }
            // ORDERING: Relaxed: how often it is asked need not be exact.
            let patience = self.patience.load(Ordering::Relaxed);
            if patience > 0 {
                self.patience.store(patience - 1, Ordering::Relaxed);
                return;
            }
            if self.headcount.add_spare() && self.start(shared).is_err() {
                self.patience.store(PATIENCE, Ordering::Relaxed);
                shared.counters.refuse_thread();
            }
        }

        /// Starts a thread that is counted.
        fn start(self: &Arc<Self>, shared: &Arc<Shared>) -> io::Result<()> {
            let number = self.started.fetch_add(1, Ordering::Relaxed);
            // A name is foreign code, and one with a null byte is a panic.
            let started = catch(|| self.spawn(number, Seat::new(shared)));
            let started =
                started.unwrap_or_else(|_| Err(io::Error::other("a thread's name panicked")));
            if started.is_err() {
                self.headcount.remove_spare();
            }
            started
        }

        fn spawn(self: &Arc<Self>, number: usize, mut seat: Seat) -> io::Result<()> {
            // Before the thread runs, so that a new pool has room at once.
            seat.ask();
            let mut thread = thread::Builder::new().name(self.settings.name_of(number));
            if let Some(bytes) = self.settings.stack_size {
                thread = thread.stack_size(bytes);
            }
            let threads = self.clone();
            let handle = thread.spawn(move || {
                ThreadSettings::tell(&threads.settings.on_start, number);
                work_alone(seat, Some(Post { threads: &threads, is_spare: true }));
                ThreadSettings::tell(&threads.settings.on_stop, number);
                threads.note_end(thread::current().id());
            })?;
            self.list.with(|list| {
                let Some(List { handles, ended }) = list else { return };
                handles.retain(|handle| !ended.contains(&handle.thread().id()));
                ended.clear();
                handles.push(handle);
            });
            Ok(())
        }

        fn note_end(&self, thread: ThreadId) {
            self.list.with(|list| {
                if let Some(list) = list {
                    list.ended.push(thread);
                }
            });
        }

        /// Waits until every thread has ended; on one of them, lets them go instead.
        pub(crate) fn join(&self) {
            // A thread may have added another one before it ended.
            loop {
                let handles =
                    self.list.with(|list| list.as_mut().map(mem::take)).unwrap_or_default().handles;
                if handles.is_empty() {
                    return;
                }
                if handles.iter().any(|handle| handle.thread().id() == thread::current().id()) {
                    return self.let_go();
                }
                for handle in handles {
                    // An error would be a panic that has left the worker, and was printed there.
                    drop(handle.join());
                }
            }
        }

        /// Lets the threads end by themselves: nobody will wait for them.
        pub(crate) fn let_go(&self) {
            drop(self.list.with(Option::take));
        }
    }

    // As for what the pool shares: its hooks are foreign, and their panics are contained.
    impl UnwindSafe for Threads {}
    impl RefUnwindSafe for Threads {}

    /// A thread's place among those of its pool.
    pub(crate) struct Post<'a> {
        threads: &'a Arc<Threads>,
        // INVARIANT: counted as spare.
        is_spare: bool,
    }

    impl Post<'_> {
        /// Called with a job in hand: somebody else has to begin the next one.
        #[inline]
        pub(crate) fn begin(&mut self, shared: &Arc<Shared>) {
            if self.is_spare {
                self.is_spare = false;
                self.threads.headcount.leave_spare();
            }
            if self.threads.headcount.wants_more() {
                self.threads.grow(shared);
            }
        }

        /// Called before it goes to sleep. Returns how long it should sleep at most.
        pub(crate) fn rest(&mut self) -> Option<Duration> {
            if !self.is_spare {
                self.is_spare = true;
                self.threads.headcount.enter_spare();
            }
            let keep_alive = self.threads.settings.keep_alive;
            (keep_alive != Duration::MAX && self.threads.headcount.may_shrink())
                .then_some(keep_alive)
        }

        /// Returns whether it should end, having slept as long as it should.
        pub(crate) fn retires(&self) -> bool {
            self.threads.headcount.retire()
        }

        /// Returns whether it should end, being one too many.
        #[inline]
        pub(crate) fn yields(&self) -> bool {
            self.threads.headcount.yield_place(self.is_spare)
        }
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    use tidegate_core::primitive::Arc;

    /// There are no threads without std.
    pub(crate) struct Threads;

    impl Threads {
        pub(crate) fn new() -> Arc<Self> {
            Arc::new(Self)
        }

        pub(crate) fn join(&self) {}
        pub(crate) fn let_go(&self) {}
    }
}
