//! The system clock's two ways to sleep: by the waiting thread itself, or by the process's timer
//! thread.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use std::thread::{self, Thread};

use alloc::boxed::Box;

use crate::{
    primitive::ProcessCell,
    time::{
        Clock, SystemClock, Timer, Timestamp,
        timers::{Entry, Timers},
    },
    unwind,
    wait::driver,
};

impl Timer for SystemClock {
    type Sleep = SystemSleep;

    fn sleep_until(&self, time: Timestamp) -> SystemSleep {
        SystemSleep { entry: Entry::new(time) }
    }
}

/// Future of [`SystemClock`]'s [`Timer::sleep_until`].
///
/// # Panics
///
/// Polling panics if the process's timer thread is needed and cannot be started.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct SystemSleep {
    entry: Entry,
}

impl fmt::Debug for SystemSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemSleep").field("until", &self.entry.time()).finish_non_exhaustive()
    }
}

impl Future for SystemSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let entry = &mut self.get_mut().entry;
        if SystemClock.now() >= entry.time() {
            entry.withdraw();
            return Poll::Ready(());
        }
        // The probe wakes no thread, and the driver that probes polls again with its own waker.
        if driver::is_probe(cx.waker()) || entry.time() == Timestamp::NEVER {
            return Poll::Pending;
        }
        // A thread that blocks in a wait times its sleeps itself; all other sleeps share the timer
        // thread.
        let own = driver::timers_of(cx.waker());
        let (timers, thread) = match &own {
            Some(own) => (own, None),
            None => {
                let shared = TimerThread::get();
                (&shared.timers, Some(&shared.thread))
            }
        };
        if entry.is_registered_with(timers) {
            // The thread that took the entry out found that its time had come, and may have called
            // an older waker.
            if !entry.refresh(cx.waker()) {
                entry.withdraw();
                return Poll::Ready(());
            }
        } else {
            let registered = entry.register(timers, cx.waker());
            if let Some(thread) = thread.filter(|_| registered.is_first) {
                thread.unpark();
            }
        }
        Poll::Pending
    }
}

/// The one helper thread of the process: sleeps until the first waker is due, and calls it.
struct TimerThread {
    /// The process in which the thread runs.
    process: u32,
    timers: Timers,
    thread: Thread,
    /// The timer thread of a process that was forked from this one.
    next: ProcessCell<Box<TimerThread>>,
}

/// The timer thread of the first process, in a chain of forks, that needed one.
static FIRST_THREAD: ProcessCell<TimerThread> = ProcessCell::new();

/// Makes sure that deadlines from before a fork are served in the child process, too, for a caller
/// that waits for one of them and polls no sleep.
pub(crate) fn keep_deadlines() {
    if FIRST_THREAD.get().is_some() {
        TimerThread::get();
    }
}

impl TimerThread {
    /// Returns the thread of this process, and starts it first if there is none.
    ///
    /// A forked child process has its parent's memory, and only one of the parent's threads: it
    /// needs another thread for the same timers. If the fork came while a thread held the timers'
    /// lock, they stay locked in the child, which then begins with new timers.
    fn get() -> &'static Self {
        let process = process();
        let mut found = FIRST_THREAD.get_or_init(|| Self::start(process, Timers::default()));
        while found.process != process {
            let timers = || found.timers.inherit();
            found = found.next.get_or_init(|| Box::new(Self::start(process, timers())));
        }
        found
    }

    fn start(process: u32, timers: Timers) -> Self {
        let served = timers.clone();
        let thread = thread::Builder::new()
            .name("tidegate-timer".into())
            .spawn(move || Self::serve(&served))
            .expect("the timer thread can be started");
        Self { process, timers, thread: thread.thread().clone(), next: ProcessCell::new() }
    }

    fn serve(timers: &Timers) {
        loop {
            while let Some(waker) = timers.pop_due(SystemClock.now()) {
                // The thread outlives a waker that panics, and a payload whose destructor panics.
                unwind::contain(|| waker.wake());
            }
            match timers.next() {
                None => thread::park(),
                Some(time) => thread::park_timeout(time.since(SystemClock.now())),
            }
        }
    }
}

/// Returns a number that differs between a process and those it was forked from.
#[cfg(unix)]
fn process() -> u32 {
    std::process::id()
}

/// Returns 0: there is no fork.
#[cfg(not(unix))]
const fn process() -> u32 {
    0
}
