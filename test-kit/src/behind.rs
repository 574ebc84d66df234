//! A clock that lags behind its own timer.

use std::future::{Ready, ready};

use tidegate_core::{Clock, Timer, Timestamp};

/// A clock that stands still, while its timer does not: each sleep is over at once.
#[derive(Debug, Clone)]
pub struct Behind;

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        Timestamp::ORIGIN
    }
}

impl Timer for Behind {
    type Sleep = Ready<()>;

    fn sleep_until(&self, _time: Timestamp) -> Ready<()> {
        ready(())
    }
}
