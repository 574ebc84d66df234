//! A limiter per key.

mod acquire;
mod bucket;
mod common_quota;
mod gate;
mod limiter;
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
    overflow::Overflow,
    owned::{EnterKeyOwned, OwnedKeyAdmission, OwnedKeyGate},
    refused::KeyRefused,
};
