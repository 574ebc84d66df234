//! Firmware with the patterns, under a tiny executor and a clock that the SysTick interrupt turns: all seven on a Cortex-M3,
//! and the five that need no compare-and-swap on a Cortex-M0.
//!
//! ```text
//! SysTick, each millisecond ─▶ the clock advances ─▶ wakers are called, from within the interrupt
//! main ─▶ executor: polls what was woken, else sleeps until the next interrupt
//! ```
#![no_std]
#![no_main]

extern crate alloc;

mod executor;
mod patterns;
#[cfg(target_has_atomic = "ptr")]
mod queues;

use core::{cell::RefCell, panic::PanicInfo, time::Duration};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::{debug, hprintln};
use embedded_alloc::LlffHeap as Heap;
use tidegate::{Clock, ManualClock, Timestamp};

/// One function for each pattern, which asserts what it finds and prints a line.
const PATTERNS: [fn(&ManualClock); 5] = [
    patterns::semaphore,
    patterns::rate_limiter,
    patterns::circuit_breaker,
    patterns::concurrent_map,
    patterns::batch_processor,
];

#[cfg(target_has_atomic = "ptr")]
const WITH_QUEUES: [fn(&ManualClock); 2] = [queues::worker_pool, queues::pipeline];
#[cfg(not(target_has_atomic = "ptr"))]
const WITH_QUEUES: [fn(&ManualClock); 0] = [];

#[global_allocator]
static HEAP: Heap = Heap::empty();
const HEAP_SIZE: usize = 40 * 1024;

/// Turned by the interrupt. `None` until there is a heap.
static CLOCK: critical_section::Mutex<RefCell<Option<ManualClock>>> =
    critical_section::Mutex::new(RefCell::new(None));

/// So many cycles a millisecond: QEMU's core runs at 12 MHz.
const CYCLES: u32 = 12_000;
const MS: Duration = Duration::from_millis(1);

#[exception]
fn SysTick() {
    let clock = critical_section::with(|cs| CLOCK.borrow_ref(cs).clone());
    if let Some(clock) = clock {
        clock.advance(MS);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; HEAP_SIZE] = [0; HEAP_SIZE];
    // SAFETY: once, before the first allocation; nobody else has this memory.
    unsafe { HEAP.init(MEMORY.as_mut_ptr() as usize, HEAP_SIZE) };
    let clock = ManualClock::new();
    critical_section::with(|cs| *CLOCK.borrow_ref_mut(cs) = Some(clock.clone()));
    let mut systick = cortex_m::Peripherals::take().expect("taken once").SYST;
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(CYCLES - 1);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();

    PATTERNS.iter().chain(&WITH_QUEUES).for_each(|pattern| pattern(&clock));
    let wanted = if cfg!(feature = "wrong") { Timestamp::ORIGIN } else { clock.now() };
    assert!(wanted > Timestamp::ORIGIN, "the clock was turned by interrupts");
    hprintln!("{} patterns: ok", PATTERNS.len() + WITH_QUEUES.len());
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}
