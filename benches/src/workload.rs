//! What is measured: workloads and their contenders.

use std::{fmt, time::Duration};

use crate::{circuit_breaker, concurrent_map, queue, rate_limiter, semaphore, worker_pool};

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

    /// Those of the same class promise the same: an order, or a clock.
    pub class: &'static str,

    /// Whether it is one of tidegate's.
    pub ours: bool,

    /// Performs the given number of operations and returns how long they took. The loop is in here, so that nobody pays
    /// for the dispatch.
    pub run: Run,

    /// How many operations there must be at least for the figure to be what the workload's name says. Not kept to where
    /// the figures mean little.
    pub least: u64,
}

/// See [`Contender::run`].
pub type Run = Box<dyn FnMut(u64) -> Duration>;

/// The class of what is shown for comparison, and is no rival: another primitive, or a bare clock.
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

/// All workloads, pattern by pattern.
pub const WORKLOADS: &[&[Workload]] = &[
    semaphore::WORKLOADS,
    rate_limiter::WORKLOADS,
    circuit_breaker::WORKLOADS,
    concurrent_map::WORKLOADS,
    queue::WORKLOADS,
    worker_pool::WORKLOADS,
];

/// Returns the workloads whose names contain `filter`: as whole words, if it is so in any (`map` is in `semaphore`, too).
pub fn matching(filter: &str) -> impl Iterator<Item = Workload> {
    let all = || WORKLOADS.iter().copied().flatten().copied();
    let is_words = all().any(|workload| has_words(workload.name, filter));
    all().filter(move |Workload { name, .. }| match is_words {
        true => has_words(name, filter),
        false => name.contains(filter),
    })
}

/// Whether `words` stand in `name`, with no letter or digit before or after them.
fn has_words(name: &str, words: &str) -> bool {
    !words.is_empty()
        && name.match_indices(words).any(|(start, _)| {
            let (before, after) = (&name[..start], &name[start + words.len()..]);
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
        })
}

/// Returns the workloads of one pattern.
pub fn of_pattern(pattern: &str) -> impl Iterator<Item = Workload> {
    matching("").filter(move |workload| {
        workload.name.split_once('/').is_some_and(|(name, _)| name == pattern)
    })
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_filter_is_words_if_it_can_be() {
        let patterns = |filter| -> HashSet<&str> {
            matching(filter).filter_map(|workload| workload.name.split('/').next()).collect()
        };
        assert_eq!(patterns("map"), HashSet::from(["concurrent-map"]));
        assert_eq!(patterns("ema"), HashSet::from(["semaphore"]));
        assert_eq!(patterns("").len(), WORKLOADS.len());
        assert_eq!(patterns("nothing of this name").len(), 0);
    }

    #[test]
    fn a_name_leads_to_one_contender() {
        let mut seen = HashSet::new();
        for workload in matching("") {
            assert!(seen.insert(workload.name.to_owned()), "{} twice", workload.name);
            for contender in (workload.contenders)() {
                let name = format!("{}/{}", workload.name, contender.name);
                assert_eq!(name.matches('/').count(), 2, "{name}");
                assert!(seen.insert(name), "{} twice in {}", contender.name, workload.name);
                // The report writes a name in 29 columns, with asterisks around it if it is ours.
                assert!(
                    contender.name.len() + if contender.ours { 4 } else { 0 } <= 29,
                    "{}",
                    contender.name
                );
                assert!(contender.class.len() <= 9, "{}", contender.class);
            }
        }
    }
}
