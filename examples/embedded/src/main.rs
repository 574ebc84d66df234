//! Firmware with the patterns, under a tiny executor and a clock that the SysTick interrupt turns:
//! all seven on a Cortex-M3, and on a Cortex-M0 the five that need no compare-and-swap.
//!
//! ```text
//! SysTick, each millisecond ─▶ the clock advances ─▶ wakers are called, from within the interrupt
//! main ─▶ each pattern ─▶ executor: polls what was woken, else sleeps until the next interrupt
//! ```
#![no_std]
#![no_main]

extern crate alloc;

mod clock;
mod executor;
mod patterns;

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use embedded_alloc::LlffHeap as Heap;
use tidegate::{Clock, Timestamp};

#[global_allocator]
static HEAP: Heap = Heap::empty();
const HEAP_SIZE: usize = 40 * 1024;

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; HEAP_SIZE] = [0; HEAP_SIZE];
    // SAFETY: this runs once, before the first allocation; nobody else has this memory.
    unsafe { HEAP.init(MEMORY.as_mut_ptr() as usize, HEAP_SIZE) };
    let clock = clock::start(cortex_m::Peripherals::take().expect("taken once").SYST);

    for run in patterns::ALL {
        run(&clock);
    }

    let wanted = if cfg!(feature = "wrong") { Timestamp::ORIGIN } else { clock.now() };
    assert!(wanted > Timestamp::ORIGIN, "the clock was turned by interrupts");
    hprintln!("{} patterns: ok", patterns::ALL.len());
    exit(debug::EXIT_SUCCESS)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(debug::EXIT_FAILURE)
}

/// Ends QEMU with this status.
fn exit(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    loop {
        cortex_m::asm::wfi();
    }
}
