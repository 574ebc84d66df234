//! A clock that cannot be read.

use std::future::Pending;

use tidegate_core::{Clock, Timer, Timestamp};

use crate::panics::quiet_panic;

/// A clock that panics whenever it is read or asked for a sleep.
#[derive(Debug, Clone)]
pub struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        quiet_panic("a clock")
    }
}

impl Timer for BrokenClock {
    type Sleep = Pending<()>;

    fn sleep_until(&self, _time: Timestamp) -> Pending<()> {
        quiet_panic("a clock")
    }
}
