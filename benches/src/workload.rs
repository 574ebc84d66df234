//! What a workload is, and a contender.

use std::{fmt, time::Duration};

/// A loop that all of its contenders go through.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The pattern, a slash, and what is done: `semaphore/try and release`.
    pub name: &'static str,

    /// What one operation is.
    pub unit: &'static str,

    /// Builds the contenders. Only a workload that is measured costs anything.
    pub contenders: fn() -> Vec<Contender>,
}

/// One implementation in one workload.
pub struct Contender {
    /// Unique within the workload; without a slash.
    pub name: &'static str,

    /// Contenders of the same class promise the same, such as an order or a clock.
    pub class: &'static str,

    /// Whether it is one of tidegate's.
    pub ours: bool,

    /// Performs the given number of operations and returns how long they took. The loop is in here,
    /// so that nobody pays for the dispatch.
    pub run: Run,

    /// The least number of operations at which the result is what the workload's name says.
    /// `--quick` takes fewer.
    pub least: u64,
}

/// See [`Contender::run`].
pub type Run = Box<dyn FnMut(u64) -> Duration>;

/// The class of what is shown for comparison and is no rival: another primitive, or a bare clock.
pub const REFERENCE: &str = "reference";

/// Creates one of tidegate's contenders.
pub fn ours(
    name: &'static str,
    class: &'static str,
    run: impl FnMut(u64) -> Duration + 'static,
) -> Contender {
    Contender { name, class, ours: true, run: Box::new(run), least: 1 }
}

/// Creates a contender that is not tidegate's.
pub fn rival(
    name: &'static str,
    class: &'static str,
    run: impl FnMut(u64) -> Duration + 'static,
) -> Contender {
    Contender { name, class, ours: false, run: Box::new(run), least: 1 }
}

impl Contender {
    /// Sets [`least`](Self::least).
    pub fn at_least(self, least: u64) -> Self {
        Self { least, ..self }
    }
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender")
            .field("name", &self.name)
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}
