//! The futures that the limiters' methods return.

pub use crate::{
    acquire::Acquire,
    gate::Enter,
    keyed::{AcquireKey, EnterKeyOwned},
    owned::EnterOwned,
};
