//! Tricky pages: one situation a row, with what is expected and the standard that says so.
#![allow(clippy::std_instead_of_core, reason = "a test of an ordinary program on std")]

mod contents;
mod hostile;
mod server;
mod situations;

use situations::{Situation, situations};

#[test]
fn a_tricky_site_is_crawled_as_a_browser_and_the_standards_would() {
    let situations = situations();
    assert!(situations.len() >= 40, "{}", situations.len());
    let wrong: Vec<_> = situations.iter().filter_map(fault).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), situations.len(), wrong.join("\n"));
}

/// Returns what is not as expected.
fn fault(situation: &Situation) -> Option<String> {
    let Situation { what, standard, answers, start, pages, without, unasked } = situation;
    let crawled = server::crawled(answers.clone(), start);
    let is_page = |page: &&str| match page.split_once('=') {
        Some((path, text)) => crawled.pages.get(path).is_some_and(|found| found == text),
        None => crawled.pages.contains_key(*page),
    };
    let is_without = |row: &&str| {
        let (path, reason) = row.split_once(": ").unwrap_or((row, ""));
        crawled.without.get(path).is_some_and(|found| found == reason)
    };
    let is_right = pages.iter().all(is_page)
        && pages.len() == crawled.pages.len()
        && without.iter().all(is_without)
        && !unasked.iter().any(|path| crawled.asked.contains(*path));
    let shown = || format!("{what} ({standard}):\n  {:?}\n  {:?}", crawled.pages, crawled.without);
    (!is_right).then(shown)
}
