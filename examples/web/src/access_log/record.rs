//! What is noted of a request.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

/// What is noted of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it came.
    pub came: SystemTime,
    /// The client, as the guard sees it.
    pub client: Option<IpAddr>,
    /// The method and the path.
    pub request: String,
    /// The status of the answer; 499 if the client has left before it.
    pub status: u16,
    /// What the answer was made from; empty if the guard or an error answered.
    pub source: String,
    /// How long it took.
    pub took: Duration,
}
