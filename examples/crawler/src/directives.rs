//! What a page asks of robots, beyond robots.txt: `<meta name="robots">` and `X-Robots-Tag`.

use crate::fetch::USER_AGENT;

/// What a page asks of robots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// Not to keep it.
    pub noindex: bool,
    /// Not to follow its links.
    pub nofollow: bool,
}

impl Directives {
    /// Adds the directives of a `<meta>` with this name; if several differ, the stricter one holds.
    pub(crate) fn add_meta(&mut self, name: &str, content: &str) {
        let name = name.trim();
        if name.eq_ignore_ascii_case("robots") || name.eq_ignore_ascii_case(USER_AGENT) {
            content.split(',').for_each(|word| self.add(word));
        }
    }

    /// Adds the directives of an `X-Robots-Tag`. It may name the robot meant: `otherbot: noindex`.
    pub(crate) fn add_header(&mut self, value: &str) {
        let mut is_for_us = true;
        for part in value.split(',') {
            let (name, word) = part.split_once(':').unwrap_or(("", part));
            let name = name.trim();
            if !name.is_empty() && !VALUED.iter().any(|word| name.eq_ignore_ascii_case(word)) {
                is_for_us = name.eq_ignore_ascii_case(USER_AGENT) || name == "*";
            }
            if is_for_us {
                self.add(word);
            }
        }
    }

    fn add(&mut self, word: &str) {
        let word = word.trim();
        let is_none = word.eq_ignore_ascii_case("none");
        self.noindex |= is_none || word.eq_ignore_ascii_case("noindex");
        self.nofollow |= is_none || word.eq_ignore_ascii_case("nofollow");
    }

    /// Returns the directives of both.
    pub(crate) fn and(self, other: Directives) -> Directives {
        let nofollow = self.nofollow || other.nofollow;
        Directives { noindex: self.noindex || other.noindex, nofollow }
    }
}

/// Directives that have a value after a colon. Any other word before a colon is a robot's name.
const VALUED: [&str; 4] =
    ["unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(directives: Directives) -> &'static str {
        match (directives.noindex, directives.nofollow) {
            (false, false) => "all",
            (true, false) => "noindex",
            (false, true) => "nofollow",
            (true, true) => "none",
        }
    }

    #[test]
    fn a_meta_is_for_all_robots_or_for_us() {
        let table = [
            ("robots", "noindex", "noindex"),
            ("Robots", " NOFOLLOW , noarchive", "nofollow"),
            ("tidegate-crawler", "none", "none"),
            ("googlebot", "none", "all"),
            ("robots", "index, follow", "all"),
            ("robots", "noindexing", "all"),
        ];
        for (name, content, expected) in table {
            let mut directives = Directives::default();
            directives.add_meta(name, content);
            assert_eq!(words(directives), expected, "{name}: {content}");
        }
    }

    #[test]
    fn a_header_says_whom_it_means() {
        let table = [
            ("noindex", "noindex"),
            ("googlebot: nofollow, otherbot: noindex, nofollow", "all"),
            ("otherbot: noindex, tidegate-crawler: nofollow", "nofollow"),
            ("unavailable_after: 25 Jun 2010 15:00:00 GMT, noindex", "noindex"),
            ("max-snippet: 20, NONE", "none"),
        ];
        for (value, expected) in table {
            let mut directives = Directives::default();
            directives.add_header(value);
            assert_eq!(words(directives), expected, "{value}");
        }
    }
}
