//! The parts of the crawler: everything that fetches, reads, stores and shows pages.
//!
//! [`args`] says what to do, and [`site`] and [`server`] provide something to crawl. [`fetch`] and
//! [`page`] get and read one page, [`store`] keeps it, and [`search`] finds it again. [`progress`]
//! and [`report`] tell how it went. [`mod@crawl`], [`visit`] and [`harvest`] show tidegate's
//! patterns at work.
#![forbid(unsafe_code)]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "an ordinary program on std"
)]

mod address;
pub mod args;
pub mod backoff;
pub mod bundle;
mod charset;
pub mod crawl;
mod decode;
pub mod directives;
pub mod faults;
pub mod fetch;
mod foreign;
pub mod frontier;
pub mod harvest;
pub mod head;
pub mod hosts;
mod html;
mod origin;
pub mod page;
pub mod progress;
pub mod record;
mod refresh;
pub mod report;
mod resume;
pub mod robots;
mod rules;
pub mod search;
pub mod server;
pub mod site;
pub mod store;
mod store_error;
mod table;
mod tally;
pub mod traps;
pub mod visit;
pub mod words;
