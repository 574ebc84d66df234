//! The pages that come with the program.

/// The file under this path, with `/` between its parts.
pub fn file(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, bytes)| *bytes)
}

/// The paths of all files.
pub fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("../site/", $path)))),*]
    };
}

const FILES: &[(&str, &[u8])] = files![
    "diagram.svg"
    "index.html"
    "notes/back-pressure.html"
    "notes/cancellation.html"
    "notes/deadlock.html"
    "notes/fairness.html"
    "notes/latin1.html"
    "notes/memory-ordering.html"
    "notes/old.html"
    "notes/politeness.html"
    "patterns/batch-processor.html"
    "patterns/circuit-breaker.html"
    "patterns/concurrent-map.html"
    "patterns/index.html"
    "patterns/pipeline.html"
    "patterns/rate-limiter.html"
    "patterns/semaphore.html"
    "patterns/worker-pool.html"
    "private/draft.html"
    "robots.txt"
    "style.css"
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_site_is_bundled() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("site");
        let mut found = BTreeSet::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in directory.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        assert_eq!(paths().map(str::to_owned).collect::<BTreeSet<_>>(), found);
    }
}
