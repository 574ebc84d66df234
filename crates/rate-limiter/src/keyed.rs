//! A limiter per key.

mod acquire;
mod bucket;
mod common_quota;
mod gate;
mod limiter;
mod lookup;
mod overflow;
mod owned;
mod refused;
mod set_quota;
mod slot;

pub use self::{
    acquire::AcquireKey,
    bucket::KeyBucket,
    gate::KeyGate,
    limiter::KeyedLimiter,
    lookup::{EnterLookup, LookupAdmission, LookupGate},
    overflow::Overflow,
    owned::{EnterKeyOwned, OwnedKeyAdmission, OwnedKeyGate},
    refused::KeyRefused,
};
