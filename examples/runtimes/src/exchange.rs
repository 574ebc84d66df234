//! The service that is called: tide gauges behind a telephone exchange.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tidegate::{SystemClock, Timer};

/// How long a call takes.
const CALL: Duration = Duration::from_millis(1);

/// The exchange through which all gauges are called. It fails from its 10th to its 14th call.
#[derive(Debug, Default)]
pub struct Exchange {
    calls: AtomicU32,
}

impl Exchange {
    /// Calls a gauge, which says where it is and how high the water stands.
    ///
    /// # Errors
    ///
    /// While the exchange is out of order.
    pub async fn call(&self, gauge: u32) -> Result<String, &'static str> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        SystemClock.sleep(CALL).await;
        if (10..15).contains(&call) {
            return Err("out of order");
        }
        let coast = ["north", "east", "south", "west"][gauge as usize % 4];
        Ok(format!("{coast} {}", 300 + gauge * 7 % 100))
    }

    /// Returns how many calls there were.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// What a gauge has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Where it is.
    pub coast: String,
    /// How high the water stands, in centimetres.
    pub level: u64,
}

impl Reading {
    /// Parses an answer.
    ///
    /// # Errors
    ///
    /// If it is not a coast and a number.
    pub fn parse(answer: &str) -> Result<Self, String> {
        let (coast, level) = answer.split_once(' ').ok_or("an answer has two words")?;
        let level = level.parse().map_err(|error| format!("{level:?}: {error}"))?;
        Ok(Self { coast: coast.to_owned(), level })
    }
}
