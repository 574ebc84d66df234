#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// `set` stands first, so that the constructors of `ConcurrentSet` come first on its page.
mod set;

mod error;
mod flight;
mod flights;
mod growing;
mod hasher;
mod keyed;
mod lazy;
mod map;
#[cfg(feature = "rayon")]
mod parallel;
mod report;
mod reserve;
#[cfg(feature = "serde")]
mod serde;
mod sharded_table;
// `shared_values` stands after `keyed`, so that the constructors of `Keyed` come first on its page.
mod shared_values;

pub use equivalent::Equivalent;

pub use self::{
    error::{Occupied, SwapError},
    flight::Flight,
    hasher::{DefaultHashBuilder, DefaultHasher},
    keyed::{Keyed, Occupancy, TooManyKeys},
    map::{ConcurrentMap, IntoEntries, MapEntry, Op},
    set::{ConcurrentSet, IntoElements},
};

/// The futures of [`ConcurrentMap::get_or_try_insert_async`] and of [`Flight`].
pub mod future {
    pub use crate::flight::Run;
    #[cfg(target_has_atomic = "ptr")]
    pub use crate::flight::RunOwned;
    pub use crate::map::GetOrTryInsert;
}
