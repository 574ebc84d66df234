//! What a pass does while its caller waits for a later gate.

use tidegate_core::{Clock, Timestamp};

use super::Machine;
use crate::{Observer, Pass, Refused, word::Word};

impl<C: Clock, O: Observer> Machine<C, O> {
    /// Takes the call that entered with `ticket` out of all that is timed, until it is renewed. Reads no clock.
    pub(crate) fn pause(&self, ticket: &mut Word, started: Timestamp) {
        if ticket.admits_plainly() || ticket.is_paused() {
            return;
        }
        self.stop_timing(*ticket, started);
        *ticket = ticket.paused();
    }

    /// Looks again whether the call that entered with `ticket` may be made, and begins to time it.
    pub(crate) fn renew(&self, ticket: &mut Word, started: &mut Timestamp) -> Result<(), Refused> {
        if self.load().generation() != ticket.generation() {
            // What it entered is over: nothing of it counts any more, and its place has been freed.
            let pass = self.admit().map_err(|blocked| self.refuse(blocked))?;
            (*ticket, *started) = Pass::into_parts(pass);
            return Ok(());
        }
        if ticket.admits_plainly() {
            return Ok(());
        }
        let probe_timeout = self.settings.probe_timeout.filter(|_| !ticket.admits_all());
        if !ticket.is_timed() && probe_timeout.is_none() {
            return Ok(());
        }
        // Foreign code: if it panics, the pass is as it was.
        let now = self.clock.fresh_now();
        if !ticket.is_paused() {
            self.stop_timing(*ticket, *started);
        }
        *started = now;
        match &self.in_flight {
            Some(in_flight) if ticket.admits_all() => {
                let (stripe, start) = in_flight.enter(ticket.generation(), now);
                (*ticket, *started) = (ticket.with_stripe(stripe), start);
            }
            _ => *ticket = ticket.ticket(),
        }
        if probe_timeout.is_some() {
            self.schedule.with(|schedule| {
                if self.load().generation() == ticket.generation() {
                    schedule.probes.add(now);
                }
            });
        }
        Ok(())
    }

    fn stop_timing(&self, ticket: Word, started: Timestamp) {
        if ticket.admits_all() {
            if let Some(in_flight) = &self.in_flight {
                in_flight.leave(ticket.generation(), ticket.stripe(), started);
            }
        } else if self.settings.probe_timeout.is_some() {
            self.schedule.with(|schedule| {
                if self.load().generation() == ticket.generation() {
                    schedule.probes.remove(started);
                }
            });
        }
    }
}
