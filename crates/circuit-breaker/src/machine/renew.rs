//! What a wait at a later gate means for a pass: its time stops, and after it the pass is checked
//! again.

use tidegate_core::{Clock, Timestamp};

use super::Machine;
use crate::{error::Refused, observer::Observer, word::Word};

impl<C: Clock, O: Observer> Machine<C, O> {
    /// Stops timing the call that entered with `stamp` until its pass is renewed: meanwhile it
    /// becomes neither slow nor overdue. Reads no clock.
    pub(crate) fn pause(&self, stamp: &mut Word, started: Timestamp) {
        if stamp.admits_untimed() || stamp.is_paused() {
            return;
        }
        self.stop_timing(*stamp, started);
        *stamp = stamp.paused();
    }

    /// Checks again whether the call that entered with `stamp` may be made. If calls are timed, or
    /// it is a probe with a timeout, its time begins anew. If the generation has changed, the call
    /// enters anew, or is refused.
    pub(crate) fn renew(&self, stamp: &mut Word, started: &mut Timestamp) -> Result<(), Refused> {
        if self.load().generation() != stamp.generation() {
            // The generation that it entered is over: its outcome would count as late, and a
            // probe's slot is free already.
            let entered = self.admit().map_err(|blocked| self.refuse(blocked))?;
            (*stamp, *started) = entered.into_parts();
            return Ok(());
        }
        if stamp.admits_untimed() {
            return Ok(());
        }
        let config = self.config();
        let probe_timeout = config.settings.probe_timeout.filter(|_| !stamp.admits_all());
        if !stamp.is_timed() && probe_timeout.is_none() {
            return Ok(());
        }
        // The clock is foreign code: if it panics, the pass is as it was.
        let now = self.clock.fresh_now();
        if !stamp.is_paused() {
            self.stop_timing(*stamp, *started);
        }
        *started = now;
        match &config.in_flight {
            Some(in_flight) if stamp.admits_all() => {
                let (shard, start) = in_flight.enter(stamp.generation(), now);
                (*stamp, *started) = (stamp.with_shard(shard), start);
            }
            _ => *stamp = stamp.stamp(),
        }
        if probe_timeout.is_some() {
            self.schedule.with(|schedule| {
                if self.load().generation() == stamp.generation() {
                    schedule.probes.add(now);
                }
            });
        }
        Ok(())
    }

    fn stop_timing(&self, stamp: Word, started: Timestamp) {
        if stamp.admits_all() {
            if let Some(in_flight) = &self.config().in_flight {
                in_flight.leave(stamp.generation(), stamp.shard(), started);
            }
        } else if self.config().settings.probe_timeout.is_some() {
            self.schedule.with(|schedule| {
                if self.load().generation() == stamp.generation() {
                    schedule.probes.remove(started);
                }
            });
        }
    }
}
