//! The settings of a state machine.

use core::time::Duration;

use alloc::format;

use tidegate_core::{BuildError, primitive::Arc};

use crate::{hook::Hook, open_for::OpenFor, rule::TripRule, stats::Snapshot, word::COUNT_MAX};

/// The settings that a state machine obeys; they are checked before it is built.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) rule: TripRule,
    pub(crate) predicate: Option<Arc<Hook<Snapshot, bool>>>,
    pub(crate) open_for: OpenFor,
    pub(crate) probes: u32,
    pub(crate) close_after: u32,
    pub(crate) probe_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rule: TripRule::default(),
            predicate: None,
            open_for: OpenFor::default(),
            probes: 1,
            close_after: 1,
            probe_timeout: None,
        }
    }
}

impl Settings {
    /// Returns an error for the first setting that is out of range.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let Settings { rule, open_for, probes, close_after, probe_timeout, .. } = self;
        rule.check()?;
        open_for.check()?;
        for (setting, count) in [("probes", *probes), ("close_after", *close_after)] {
            if !(1..=COUNT_MAX).contains(&count) {
                return Err(BuildError::new(setting, count, format!("in 1..={COUNT_MAX}")));
            }
        }
        if *probe_timeout == Some(Duration::ZERO) {
            return Err(BuildError::new("probe_timeout", Duration::ZERO, "above zero"));
        }
        Ok(())
    }
}
