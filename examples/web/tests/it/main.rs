//! The service, as its clients and its operators see it.

mod clients;
mod guard;
mod operators;
mod retry;
mod service;
mod settings;
mod shutdown;
