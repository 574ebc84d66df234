//! What is measured: the workloads of all patterns.

use crate::{
    batch_processor, circuit_breaker, concurrent_map, pipeline, queue, rate_limiter, semaphore,
    tower, worker_pool, workload::Workload,
};

/// All workloads, pattern by pattern.
pub const WORKLOADS: &[&[Workload]] = &[
    semaphore::WORKLOADS,
    rate_limiter::WORKLOADS,
    circuit_breaker::WORKLOADS,
    concurrent_map::WORKLOADS,
    queue::WORKLOADS,
    worker_pool::WORKLOADS,
    batch_processor::WORKLOADS,
    pipeline::WORKLOADS,
    tower::WORKLOADS,
];

/// Returns the workloads whose names contain `filter`. If some contain it as whole words, only
/// these are returned: `map` is in `semaphore`, too.
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
