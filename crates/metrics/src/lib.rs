#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

extern crate alloc;

mod bound;
#[cfg(feature = "metrics")]
mod facade;
mod named_sample;
mod openmetrics;
#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "prometheus")]
mod prometheus;
mod registry;

pub use tidegate_core::report::{Histogram, Kind, Metric, Report, Sample, Sink, Value};

pub use self::{
    named_sample::NamedSample,
    openmetrics::CONTENT_TYPE,
    registry::{NameTaken, Registry},
};
