//! Concurrent map: twenty numbers add up under four keys.

use cortex_m_semihosting::hprintln;
use tidegate::{ConcurrentMap, ManualClock};

pub fn run(_: &ManualClock) {
    let map = ConcurrentMap::new();
    for n in 0..20_u32 {
        map.upsert(n % 4, || n, |sum| *sum += n);
    }
    assert_eq!((map.len(), map.get(&1)), (4, Some(1 + 5 + 9 + 13 + 17)));
    hprintln!("concurrent map: four sums");
}
