#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

extern crate alloc;

mod admission;
mod batch;
mod coalesce;
mod error;
pub mod future;
#[cfg(feature = "tonic")]
pub mod grpc;
#[cfg(feature = "http")]
pub mod http;
mod keyed;
mod layer;
mod presets;
mod respond;
mod settle;
mod source;

pub use self::{
    admission::{AdmissionPolicy, Refusing, Waiting, WaitingAtMost},
    batch::{BatchPair, BatchService, CallBatches},
    coalesce::{CoalesceLayer, CoalesceService},
    error::{GateError, Refusal},
    keyed::{GateByKey, KeyOf, KeyedGate, KeyedRefused},
    layer::{GateLayer, GateService},
    respond::{RespondLayer, RespondService},
    settle::{AtHead, ByGate, ClassifyCall, Settle},
    source::GateSource,
};
pub use tidegate_circuit_breaker::{ByResult, Classifier};
