//! A limiter per key.

mod acquire;
mod bucket;
mod gate;
mod limiter;
mod overflow;
mod owned;
mod refused;
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
