#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod error;
mod growing;
mod hasher;
mod keyed;
mod lazy;
mod map;
#[cfg(feature = "rayon")]
mod parallel;
mod room;
#[cfg(feature = "serde")]
mod serde;
mod set;
mod striped;

pub use equivalent::Equivalent;

pub use self::{
    error::{Occupied, SwapError},
    hasher::{DefaultHashBuilder, DefaultHasher},
    keyed::{Keyed, Occupancy, TooManyKeys},
    map::{ConcurrentMap, GetOrTryInsert, IntoEntries, MapEntry, Op},
    set::{ConcurrentSet, IntoElements},
};
