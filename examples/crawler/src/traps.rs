//! Sites without end: calendars, sessions, links that lead deeper into themselves.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use tidegate::ConcurrentMap;
use url::Url;

use crate::address::MAX_LENGTH;

/// How far a crawl goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Links from a start.
    pub depth: NonZeroU32,
    /// Addresses that differ only in numbers of their path and values of their query.
    pub alike: NonZeroU32,
}

impl Default for Bounds {
    fn default() -> Self {
        let number = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self { depth: number(1000), alike: number(10_000) }
    }
}

/// How many parts a path may have, and how often the same part may be in it.
const MAX_PARTS: usize = 64;
const MAX_REPEATS: usize = 5;

/// How many bytes of an address are shown: it is ASCII, so no character is cut.
const SHOWN: usize = 200;

/// What was left out, by the reason: how many links, and the first one.
pub type LeftOut = BTreeMap<String, (u64, String)>;

/// Recognizes traps by their addresses.
#[derive(Debug)]
pub(crate) struct Traps {
    bounds: Bounds,
    /// How many addresses there are of each shape.
    shapes: ConcurrentMap<String, u32>,
    left_out: ConcurrentMap<String, (u64, String)>,
}

impl Traps {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, shapes: ConcurrentMap::new(), left_out: ConcurrentMap::new() }
    }

    /// Counts an address of an earlier run.
    pub(crate) fn count(&self, url: &Url) {
        if let Some(shape) = shape(url) {
            self.add(shape);
        }
    }

    /// Counts an address met for the first time, `depth` links from a start, unless it is a trap.
    pub(crate) fn admit(&self, url: &Url, depth: u32) -> bool {
        let reason = self.trap(url, depth);
        if let Some(reason) = &reason {
            // The report has one line for the address.
            let (start, end) = (url.as_str().get(..SHOWN), url.as_str().get(SHOWN..));
            let mark = if end.is_some_and(|end| !end.is_empty()) { "…" } else { "" };
            let first = (1, start.unwrap_or(url.as_str()).to_owned() + mark);
            self.left_out.upsert(reason.clone(), || first, |(links, _)| *links += 1);
        }
        reason.is_none()
    }

    pub(crate) fn left_out(&self) -> LeftOut {
        self.left_out.snapshot().into_iter().collect()
    }

    fn trap(&self, url: &Url, depth: u32) -> Option<String> {
        let Bounds { depth: deepest, alike } = self.bounds;
        if depth > deepest.get() {
            return Some(format!("more than {deepest} links from a start (--max-depth)"));
        }
        if url.as_str().len() > MAX_LENGTH {
            return Some(format!("an address of more than {MAX_LENGTH} bytes"));
        }
        let parts = || url.path().split('/').filter(|part| !part.is_empty());
        let repeats = |part| parts().filter(|other| *other == part).count();
        let count = parts().count();
        if count > MAX_PARTS {
            return Some(format!("a path of more than {MAX_PARTS} parts"));
        }
        // A path of fewer parts cannot have one of them so often.
        if count > MAX_REPEATS && parts().any(|part| repeats(part) > MAX_REPEATS) {
            return Some("a path that repeats itself".to_owned());
        }
        let shape = shape(url)?;
        let is_too_many = self.add(shape) > alike.get();
        is_too_many.then(|| format!("more than {alike} addresses that are alike (--max-alike)"))
    }

    /// Counts an address of this shape, and returns how many there are.
    fn add(&self, shape: String) -> u32 {
        let mut count = 1;
        self.shapes.upsert(
            shape,
            || 1,
            |sum| {
                *sum = sum.saturating_add(1);
                count = *sum;
            },
        );
        count
    }
}

/// Returns the address with a `0` for each number in its path and without the values in its query;
/// `None` if it has neither numbers nor a query, as then no other is like it.
fn shape(url: &Url) -> Option<String> {
    let is_digit = |c: char| c.is_ascii_digit();
    if url.query().is_none() && !url.path().contains(is_digit) {
        return None;
    }
    let mut shape = url.origin().ascii_serialization();
    for run in url.path().split_inclusive(|c| !is_digit(c)) {
        let rest = run.trim_start_matches(is_digit);
        shape.push_str(if rest.len() < run.len() { "0" } else { "" });
        shape.push_str(rest);
    }
    for field in url.query().unwrap_or_default().split('&') {
        shape.push('&');
        shape.push_str(field.split('=').next().unwrap_or_default());
    }
    Some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> Url {
        Url::parse("http://a.test/").unwrap().join(path).unwrap()
    }

    fn reasons(paths: impl Iterator<Item = String>, depth: u32) -> Vec<String> {
        let two = NonZeroU32::new(2).unwrap();
        let traps = Traps::new(Bounds { depth: two, alike: two });
        paths.for_each(|path| _ = traps.admit(&url(&path), depth));
        traps
            .left_out()
            .into_iter()
            .map(|(reason, (n, first))| format!("{n} {first} {reason}"))
            .collect()
    }

    #[test]
    fn addresses_that_are_alike_have_one_shape() {
        let table = [
            ("/x", None),
            ("/x/2024/05.html", Some("http://a.test/x/0/0.html&")),
            ("/x?a=1&b=2", Some("http://a.test/x&a&b")),
            ("/x9y8?a", Some("http://a.test/x0y0&a")),
        ];
        for (path, expected) in table {
            assert_eq!(shape(&url(path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn every_trap_has_its_reason_and_its_first_address() {
        let calendar = reasons((1..=5).map(|month| format!("/cal?month={month}")), 1);
        assert_eq!(
            calendar,
            ["3 http://a.test/cal?month=3 more than 2 addresses that are alike (--max-alike)"]
        );
        let deep = reasons(["/x".to_owned()].into_iter(), 3);
        assert_eq!(deep, ["1 http://a.test/x more than 2 links from a start (--max-depth)"]);
        let table = [
            ("/a/b".repeat(6), "a path that repeats itself"),
            (
                (0..65).map(|n| format!("/{}", "x".repeat(n + 1))).collect(),
                "a path of more than 64 parts",
            ),
            (format!("/{}", "y".repeat(MAX_LENGTH)), "an address of more than 4096 bytes"),
        ];
        for (path, expected) in table {
            let reasons = reasons([path].into_iter(), 1);
            assert!(reasons[0].ends_with(expected), "{reasons:?}");
        }
        assert_eq!(reasons(["/a/a/a/a/a/b".to_owned()].into_iter(), 1), Vec::<String>::new());
    }
}
