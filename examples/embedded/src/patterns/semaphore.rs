//! Semaphore: three tasks share two permits.

use core::cell::Cell;

use cortex_m_semihosting::hprintln;
use tidegate::{ManualClock, Semaphore, Timer};

use crate::{clock::MS, executor::Executor};

pub fn run(clock: &ManualClock) {
    let semaphore = Semaphore::new(2);
    let (inside, most) = (Cell::new(0), Cell::new(0));
    let mut executor = Executor::default();
    for _ in 0..3 {
        executor.spawn(async {
            let _permit = semaphore.acquire(1).await.expect("open");
            inside.set(inside.get() + 1);
            most.set(most.get().max(inside.get()));
            clock.sleep(2 * MS).await;
            inside.set(inside.get() - 1);
        });
    }
    executor.run();
    assert_eq!((most.get(), semaphore.available_permits()), (2, 2));
    hprintln!("semaphore: two of three at once");
}
