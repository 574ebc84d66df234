//! A call that was let in.

use core::mem::ManuallyDrop;

use tidegate_core::{Clock, Outcome, Timestamp};

use super::Machine;
use crate::{observer::Observer, word::Word};

/// A call that the machine has let in, before a pass is made of its parts. If it is dropped before
/// that, for example by a panic of foreign code, the call counts as ignored.
pub(crate) struct Entered<'a, C: Clock, O: Observer> {
    machine: &'a Machine<C, O>,
    parts: (Word, Timestamp),
}

impl<'a, C: Clock, O: Observer> Entered<'a, C, O> {
    #[inline]
    pub(super) fn new(machine: &'a Machine<C, O>, stamp: Word, started: Timestamp) -> Self {
        Self { machine, parts: (stamp, started) }
    }

    #[inline]
    pub(crate) const fn machine(&self) -> &'a Machine<C, O> {
        self.machine
    }

    /// Returns the stamp, and when the call began, without settling it.
    #[inline]
    pub(crate) fn into_parts(self) -> (Word, Timestamp) {
        ManuallyDrop::new(self).parts
    }
}

impl<C: Clock, O: Observer> Drop for Entered<'_, C, O> {
    #[inline]
    fn drop(&mut self) {
        self.machine.settle(self.parts.0, self.parts.1, Outcome::Ignored);
    }
}
