//! The system clock's two ways to wait: by the waiting thread itself, or by the process's timer thread.

use core::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};
use std::{
    panic::catch_unwind,
    thread::{self, Thread},
    time::Instant,
};

use crate::{
    primitive::ProcessCell,
    time::{
        Clock, SystemClock, Timer, Timestamp,
        timers::{Entry, Timers},
    },
    wait::driver,
};

#[inline]
fn origin() -> Instant {
    static ORIGIN: ProcessCell<Instant> = ProcessCell::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Returns the instant of a system timestamp, `None` for one that does not come.
fn instant_of(time: Timestamp) -> Option<Instant> {
    if time == Timestamp::NEVER {
        return None;
    }
    origin().checked_add(time.since(Timestamp::ORIGIN))
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        let (now, origin) = (Instant::now(), origin());
        let elapsed = now.saturating_duration_since(origin);
        // In 64 bits all the way: the process does not get 584 years old.
        let nanos =
            elapsed.as_secs().wrapping_mul(1_000_000_000) + u64::from(elapsed.subsec_nanos());
        Timestamp::from_nanos(nanos)
    }
}

impl Timer for SystemClock {
    type Sleep = SystemSleep;

    fn sleep_until(&self, time: Timestamp) -> SystemSleep {
        SystemSleep { time, entry: None }
    }
}

/// Future of [`SystemClock`]'s [`Timer::sleep_until`].
///
/// # Panics
///
/// Polling panics if the process's timer thread is needed and cannot be started.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct SystemSleep {
    time: Timestamp,
    entry: Option<Entry>,
}

impl Future for SystemSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if SystemClock.now() >= self.time {
            self.entry = None;
            return Poll::Ready(());
        }
        // Nobody can be woken through the probe, and the driver that probes polls again with its own waker.
        if driver::is_probe(cx.waker()) || self.time == Timestamp::NEVER {
            return Poll::Pending;
        }
        // A thread that waits keeps its own time; everybody else shares the timer thread.
        let own = driver::timers_of(cx.waker());
        let timers = own.as_ref().unwrap_or_else(|| &TimerThread::get().timers);
        match &self.entry {
            Some(entry) if entry.belongs_to(timers) => {
                // Whoever took the entry out found its time come, and may have woken an older waker.
                if !entry.refresh(cx.waker()) {
                    self.entry = None;
                    return Poll::Ready(());
                }
            }
            _ => {
                let (entry, is_first) = timers.register(self.time, cx.waker());
                self.entry = Some(entry);
                if own.is_none() && is_first {
                    TimerThread::get().thread.unpark();
                }
            }
        }
        Poll::Pending
    }
}

/// The one helper thread of the process: sleeps until the first waker is due and wakes it.
struct TimerThread {
    timers: Timers,
    thread: Thread,
}

impl TimerThread {
    fn get() -> &'static Self {
        static THREAD: ProcessCell<TimerThread> = ProcessCell::new();
        THREAD.get_or_init(|| {
            let timers = Timers::new();
            let served = timers.clone();
            let thread = thread::Builder::new()
                .name("tidegate-timer".into())
                .spawn(move || Self::serve(&served))
                .expect("the timer thread can be started");
            Self { timers, thread: thread.thread().clone() }
        })
    }

    fn serve(timers: &Timers) {
        loop {
            while let Some((_, waker)) = timers.pop_due(SystemClock.now()) {
                // The thread outlives a panicking waker; its panic message has been printed by the hook.
                drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
            }
            match timers.next() {
                None => thread::park(),
                Some(time) => thread::park_timeout(time.since(SystemClock.now())),
            }
        }
    }
}

/// Wakes what is due among a driver's timers, and returns when the next one will be.
///
/// A sleep that came due after the driver's last poll has to unpark it: nobody else would.
pub(crate) fn driven(timers: &Timers) -> Option<Instant> {
    while let Some((_, waker)) = timers.pop_due(SystemClock.now()) {
        waker.wake();
    }
    timers.next().and_then(instant_of)
}
