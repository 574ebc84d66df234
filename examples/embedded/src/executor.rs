//! A tiny executor: it polls tasks that were woken, or else lets the core sleep until an interrupt.

use alloc::{boxed::Box, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
};

// Not from `core` and `alloc`, whose atomics have no swap on a Cortex-M0, and which lack `Arc`.
use tidegate::primitive::{
    Arc, OnWake, Wakeable,
    atomic::{AtomicBool, Ordering},
};

/// Set from the interrupt that wakes a task, as well as from tasks.
struct Flag(AtomicBool);

impl OnWake for Flag {
    fn on_wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Task<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    woken: Arc<Wakeable<Flag>>,
}

/// Runs tasks until all are over.
#[derive(Default)]
pub struct Executor<'a> {
    tasks: Vec<Task<'a>>,
}

impl<'a> Executor<'a> {
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'a) {
        let woken = Arc::new(Wakeable(Flag(AtomicBool::new(true))));
        self.tasks.push(Task { future: Box::pin(future), woken });
    }

    pub fn run(mut self) {
        while !self.tasks.is_empty() {
            let mut is_idle = true;
            self.tasks.retain_mut(|task| {
                if !task.woken.0.0.swap(false, Ordering::Acquire) {
                    return true;
                }
                is_idle = false;
                let waker = Waker::from(task.woken.clone());
                task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            if is_idle {
                // The tick comes anyway: a wake-up before the sleep is one tick late at most.
                cortex_m::asm::wfi();
            }
        }
    }
}
