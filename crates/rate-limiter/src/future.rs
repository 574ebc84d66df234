//! The futures that the limiters' methods return.

pub use crate::{
    acquire::Acquire,
    gate::{Enter, Entering},
    keyed::{AcquireKey, EnterKeyOwned, EnterLookup},
    owned::EnterOwned,
};
