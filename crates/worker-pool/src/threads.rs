//! The threads of a pool's own, if it has any.

#[cfg(feature = "std")]
pub(crate) use self::imp::ThreadSettings;
pub(crate) use self::imp::Threads;

#[cfg(feature = "std")]
mod imp {
    use core::mem;
    use std::{
        io,
        thread::{self, JoinHandle},
    };

    use alloc::{boxed::Box, format, string::String, vec::Vec};

    use tidegate_core::{lock::Lock, primitive::Arc};

    use crate::{
        panic::contain,
        worker::{Seat, work_alone},
    };

    /// Told the number of a thread.
    type Hook = Box<dyn Fn(usize) + Send + Sync>;

    /// How threads are started.
    #[derive(Default)]
    pub(crate) struct ThreadSettings {
        pub(crate) name: Option<Box<dyn Fn(usize) -> String + Send + Sync>>,
        pub(crate) stack_size: Option<usize>,
        pub(crate) on_start: Option<Hook>,
        pub(crate) on_stop: Option<Hook>,
    }

    impl ThreadSettings {
        fn name_of(&self, number: usize) -> String {
            match &self.name {
                Some(name) => name(number),
                None => format!("tidegate-worker-{number}"),
            }
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Threads {
        // INVARIANT: those that nobody has joined or let go.
        handles: Lock<Vec<JoinHandle<()>>>,
    }

    impl Threads {
        /// Starts the thread of a worker.
        pub(crate) fn spawn(
            &self,
            number: usize,
            settings: &Arc<ThreadSettings>,
            mut seat: Seat,
        ) -> io::Result<()> {
            // Before the thread runs, so that a new pool has room at once.
            seat.ask();
            let mut thread = thread::Builder::new().name(settings.name_of(number));
            if let Some(bytes) = settings.stack_size {
                thread = thread.stack_size(bytes);
            }
            let settings = settings.clone();
            let handle = thread.spawn(move || {
                let tell = |hook: &Option<Hook>| {
                    if let Some(hook) = hook {
                        contain(|| hook(number));
                    }
                };
                tell(&settings.on_start);
                work_alone(seat);
                tell(&settings.on_stop);
            })?;
            self.handles.with(|handles| handles.push(handle));
            Ok(())
        }

        /// Waits until every thread has ended; on one of them, lets them go instead.
        pub(crate) fn join(&self) {
            let handles = self.take();
            if handles.iter().any(|handle| handle.thread().id() == thread::current().id()) {
                return;
            }
            for handle in handles {
                // An error would be a panic that has left the worker, and was printed there.
                drop(handle.join());
            }
        }

        /// Lets the threads end by themselves: nobody will wait for them.
        pub(crate) fn let_go(&self) {
            drop(self.take());
        }

        fn take(&self) -> Vec<JoinHandle<()>> {
            self.handles.with(mem::take)
        }
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    /// There are no threads without std.
    #[derive(Debug, Default)]
    pub(crate) struct Threads;

    impl Threads {
        pub(crate) fn join(&self) {}
        pub(crate) fn let_go(&self) {}
    }
}
