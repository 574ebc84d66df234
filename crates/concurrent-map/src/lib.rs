#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod hasher;
mod keyed;
mod lazy;
mod reentry;
mod shard;
mod striped;

pub use equivalent::Equivalent;

pub use self::{
    hasher::{DefaultHashBuilder, DefaultHasher},
    keyed::{Keyed, TooManyKeys},
};
