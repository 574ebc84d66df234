//! Batch processor: four items fill a batch, and the last two go when their delay has passed.

use alloc::vec::Vec;
use core::{cell::RefCell, convert::Infallible};

use cortex_m_semihosting::hprintln;
use tidegate::{Batcher, ManualClock, primitive::Arc};

use crate::{clock::MS, executor::Executor};

pub fn run(clock: &ManualClock) {
    let sizes = Arc::new(critical_section::Mutex::new(RefCell::new(Vec::new())));
    let seen = sizes.clone();
    let process = move |items: Vec<u32>| {
        critical_section::with(|cs| seen.borrow_ref_mut(cs).push(items.len()));
        Ok::<_, Infallible>(items.iter().map(|n| n * 2).collect::<Vec<_>>())
    };
    let builder = Batcher::builder().clock(clock.clone()).max_items(4).max_delay(5 * MS);
    let (batcher, driver) = builder.build(process).expect("in range");
    let mut executor = Executor::default();
    executor.spawn(driver);
    executor.spawn(async {
        let replies: Vec<_> =
            (0..6_u32).map(|n| batcher.try_submit(n).expect("there is room")).collect();
        for (n, reply) in (0..).zip(replies) {
            assert_eq!(reply.await.expect("processed"), n * 2);
        }
        batcher.close();
    });
    executor.run();
    let sizes = critical_section::with(|cs| sizes.borrow_ref(cs).clone());
    assert_eq!(sizes, [4, 2]);
    hprintln!("batch processor: batches of {:?}", sizes);
}
