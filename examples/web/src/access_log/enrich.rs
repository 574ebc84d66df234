//! What follows from a record.

use std::{net::IpAddr, time::Duration};

use super::record::Record;

/// A record, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enriched {
    /// The record.
    pub record: Record,
    /// The kind of network that the client is in.
    pub network: &'static str,
    /// How it ended, in a word.
    pub result: &'static str,
    /// How long it took, roughly.
    pub speed: &'static str,
}

impl From<Record> for Enriched {
    fn from(record: Record) -> Self {
        let network = record.client.map_or("unknown", network);
        let result = match (record.status, record.source.as_str()) {
            (200..400, "fallback") => "fallback",
            (200..400, _) => "answered",
            (429, _) => "limited",
            (503, "shed") => "shed",
            (499, _) => "left",
            (400..500, _) => "bad request",
            _ => "failed",
        };
        Self { network, result, speed: speed(record.took), record }
    }
}

fn network(client: IpAddr) -> &'static str {
    match client {
        _ if client.is_loopback() => "loopback",
        IpAddr::V4(v4) if v4.is_private() => "private",
        IpAddr::V4(v4) if v4.is_documentation() => "documentation",
        IpAddr::V4(_) => "public",
        IpAddr::V6(_) => "public, IPv6",
    }
}

fn speed(took: Duration) -> &'static str {
    match took.as_millis() {
        ..10 => "at once",
        10..100 => "fast",
        100..1000 => "slow",
        _ => "very slow",
    }
}
