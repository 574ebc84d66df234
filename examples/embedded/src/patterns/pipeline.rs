//! Pipeline: six items through a stage that works on two at once.

use core::num::NonZeroUsize;

use cortex_m_semihosting::hprintln;
use tidegate::{ManualClock, Pipeline, Timer};

use crate::{clock::MS, executor::Executor};

pub fn run(clock: &ManualClock) {
    let two = NonZeroUsize::new(2).expect("not zero");
    let work = |n: u32| async move {
        clock.sleep(MS).await;
        n * n
    };
    let flow = Pipeline::from_iter(1..=6).map_async("square", two, work);
    let mut executor = Executor::default();
    executor.spawn(async {
        let squares = flow.collect().await.expect("nothing fails");
        assert_eq!(squares, [1, 4, 9, 16, 25, 36]);
    });
    executor.run();
    hprintln!("pipeline: six items, two at once");
}
