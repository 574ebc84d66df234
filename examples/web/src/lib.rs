//! A web service that stays up: what guards it, the upstream that troubles it, the load that is too
//! much for it, and the page that shows all three.
//!
//! The README draws the path of a request.
#![forbid(unsafe_code)]

pub mod access_log;
pub mod answer;
pub mod api;
pub mod client;
pub mod control;
pub mod drill;
pub mod events;
pub mod guard;
pub mod load;
pub mod parts;
pub mod retry;
pub mod server;
pub mod settings;
pub mod upstream;

pub mod web;
