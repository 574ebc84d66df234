//! Circuit breaker: two failures open it, and a success closes it again.

use cortex_m_semihosting::hprintln;
use tidegate::{
    Breaker, ManualClock,
    circuit_breaker::{OpenFor, TripRule},
};

use crate::{clock::MS, executor::Executor};

pub fn run(clock: &ManualClock) {
    let breaker = Breaker::builder()
        .clock(clock.clone())
        .trip_on(TripRule::consecutive(2))
        .open_for(OpenFor::fixed(10 * MS))
        .close_after(1)
        .build()
        .expect("in range");
    for _ in 0..2 {
        let _ = breaker.call(|| Err::<(), _>("no sensor"));
    }
    assert!(breaker.call(|| Ok::<_, &str>(1)).is_err(), "open");
    let mut executor = Executor::default();
    executor.spawn(async { breaker.enter().await.expect("after its time").success() });
    executor.run();
    assert_eq!((breaker.call(|| Ok::<_, &str>(1)), breaker.stats().trips), (Ok(Ok(1)), 1));
    hprintln!("circuit breaker: opened and closed");
}
