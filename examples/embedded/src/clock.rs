//! The clock that the SysTick interrupt turns, by a millisecond each time.

use core::{cell::RefCell, time::Duration};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use tidegate::ManualClock;

pub const MS: Duration = Duration::from_millis(1);

/// How many cycles make a millisecond: QEMU's core runs at 12 MHz.
const CYCLES: u32 = 12_000;

/// The clock that the interrupt turns. `None` until there is a heap.
static CLOCK: critical_section::Mutex<RefCell<Option<ManualClock>>> =
    critical_section::Mutex::new(RefCell::new(None));

/// Makes the clock, which needs the heap, and starts the timer that turns it.
pub fn start(mut systick: SYST) -> ManualClock {
    let clock = ManualClock::new();
    critical_section::with(|cs| *CLOCK.borrow_ref_mut(cs) = Some(clock.clone()));
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(CYCLES - 1);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();
    clock
}

#[exception]
fn SysTick() {
    let clock = critical_section::with(|cs| CLOCK.borrow_ref(cs).clone());
    if let Some(clock) = clock {
        clock.advance(MS);
    }
}
