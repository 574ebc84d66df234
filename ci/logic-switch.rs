//! The switch between mutants that are compiled in all at once: `ci/logic.py` makes a crate of it.
//!
//! `LOGIC_MUTANT=7` turns one on; `LOGIC_REACHED=FILE` none, and writes down which are asked for, each once, as four bytes. It allocates
//! nothing, as some tests count allocations.
#![no_std]
// A function that is const, too, has mutants: where the compiler runs it, they are off.
#![feature(core_intrinsics, const_eval_select)]
#![allow(internal_features)]

use core::{
    ffi::{CStr, c_char, c_int},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn write(file: c_int, bytes: *const u8, count: usize) -> isize;
    fn close(file: c_int) -> c_int;
}

const UNKNOWN: u32 = u32::MAX;
const NONE: u32 = u32::MAX - 1;
const RECORD: u32 = u32::MAX - 2;

static CHOSEN: AtomicU32 = AtomicU32::new(UNKNOWN);
static REACHED: [AtomicBool; 1 << 14] = [const { AtomicBool::new(false) }; 1 << 14];

/// Returns whether this mutant is the one that is made.
pub const fn on(mutant: u32) -> bool {
    const fn never(_: u32) -> bool {
        false
    }
    core::intrinsics::const_eval_select((mutant,), never, asked)
}

fn asked(mutant: u32) -> bool {
    let mut chosen = CHOSEN.load(Relaxed);
    if chosen == UNKNOWN {
        chosen = choice();
        CHOSEN.store(chosen, Relaxed);
    }
    if chosen == RECORD && !REACHED[mutant as usize].swap(true, Relaxed) {
        record(mutant);
    }
    chosen == mutant
}

fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` ends with a zero; so does what is returned, and it stays, as no test changes these variables.
    unsafe {
        let value = getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
}

#[cold]
fn choice() -> u32 {
    if variable(c"LOGIC_REACHED").is_some() {
        return RECORD;
    }
    let Some(number) = variable(c"LOGIC_MUTANT") else { return NONE };
    number.to_bytes().iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

#[cold]
fn record(mutant: u32) {
    const APPEND: c_int = 0o2101; // O_WRONLY, O_CREAT and O_APPEND of Linux
    let Some(path) = variable(c"LOGIC_REACHED") else { return };
    let bytes = mutant.to_le_bytes();
    // SAFETY: the path ends with a zero, and the bytes are as many as is said.
    unsafe {
        let file = open(path.as_ptr(), APPEND, 0o644);
        write(file, bytes.as_ptr(), bytes.len());
        close(file);
    }
}
