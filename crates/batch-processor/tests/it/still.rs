//! A clock that counts its readings.

use std::{
    future::{Pending, pending},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tidegate_batch_processor::{Clock, Timer, Timestamp};

/// A clock that stands still, and counts how often it is read.
#[derive(Clone, Default)]
pub(crate) struct Still(Arc<AtomicU32>);

impl Still {
    pub(crate) fn readings(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::SeqCst);
        Timestamp::ORIGIN
    }
}

impl Timer for Still {
    type Sleep = Pending<()>;

    fn sleep_until(&self, _time: Timestamp) -> Self::Sleep {
        pending()
    }
}
