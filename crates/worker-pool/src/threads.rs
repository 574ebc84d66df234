//! The threads of a pool's own, if it has any.

pub(crate) use self::imp::Threads;

#[cfg(feature = "std")]
mod imp {
    use core::mem;
    use std::{
        io,
        thread::{self, JoinHandle},
    };

    use alloc::{format, vec::Vec};

    use tidegate_core::lock::Lock;

    use crate::worker::{Seat, work_alone};

    #[derive(Debug, Default)]
    pub(crate) struct Threads {
        // INVARIANT: those that nobody has joined or let go.
        handles: Lock<Vec<JoinHandle<()>>>,
    }

    impl Threads {
        /// Starts the thread of a worker.
        pub(crate) fn spawn(&self, mut seat: Seat) -> io::Result<()> {
            // Before the thread runs, so that a new pool has room at once.
            seat.ask();
            let number = self.handles.with(|handles| handles.len());
            let handle = thread::Builder::new()
                .name(format!("tidegate-worker-{number}"))
                .spawn(move || work_alone(seat))?;
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
