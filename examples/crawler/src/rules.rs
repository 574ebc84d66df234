//! The rules of one robots.txt that are for us (RFC 9309).
//!
//! The file is parsed by a port of Google's parser, which knows the usual mistakes. Its matcher is
//! not used: it parses the file again for each page, and a hostile file keeps it busy for minutes.

use robotstxt::parser::escape_pattern;
use robotstxt::{RobotsParseHandler, parse_robotstxt};
use url::{Position, Url};

/// The rules of one robots.txt for one agent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// With `*` for any characters and `$` at the end for the end.
    pattern: String,
}

impl Rules {
    /// The rules for `agent`; those for everybody if it is not named.
    pub(crate) fn parse(text: &str, agent: &str) -> Rules {
        let mut groups = Groups { agent, ..Groups::default() };
        parse_robotstxt(text, &mut groups);
        Rules { rules: groups.ours.unwrap_or(groups.everybodys) }
    }

    /// The longest rule that matches decides; of two as long the one that allows.
    pub(crate) fn allow(&self, url: &Url) -> bool {
        let path = escape_pattern(&url[Position::BeforePath..Position::AfterQuery]);
        let matching = self.rules.iter().filter(|rule| is_match(&rule.pattern, &path));
        let strongest = matching.max_by_key(|rule| (rule.pattern.len(), rule.allow));
        strongest.is_none_or(|rule| rule.allow)
    }
}

/// The groups of a file, while it is read. A group is one or more agents and the rules after them.
#[derive(Debug, Default)]
struct Groups<'a> {
    agent: &'a str,
    /// There is an entry as soon as we are named, even without rules.
    ours: Option<Vec<Rule>>,
    everybodys: Vec<Rule>,
    is_ours: bool,
    is_everybodys: bool,
    /// The next agent starts a new group.
    has_rules: bool,
}

impl Groups<'_> {
    fn rule(&mut self, allow: bool, pattern: &str) {
        self.has_rules = true;
        // An empty rule says nothing.
        if pattern.is_empty() {
            return;
        }
        let rule = Rule { allow, pattern: pattern.to_owned() };
        if self.is_everybodys {
            self.everybodys.push(rule.clone());
        }
        if self.is_ours {
            self.ours.get_or_insert_default().push(rule);
        }
    }
}

impl RobotsParseHandler for Groups<'_> {
    fn handle_user_agent(&mut self, _: u32, agent: &str) {
        if core::mem::take(&mut self.has_rules) {
            (self.is_ours, self.is_everybodys) = (false, false);
        }
        let agent = agent.trim();
        if agent.starts_with('*') {
            self.is_everybodys = true;
        }
        let is_name = |c: char| c.is_ascii_alphabetic() || c == '-' || c == '_';
        let name = agent.split(|c| !is_name(c)).next().unwrap_or_default();
        if name.eq_ignore_ascii_case(self.agent) {
            self.is_ours = true;
            self.ours.get_or_insert_default();
        }
    }

    fn handle_allow(&mut self, _: u32, pattern: &str) {
        self.rule(true, pattern);
    }

    fn handle_disallow(&mut self, _: u32, pattern: &str) {
        self.rule(false, pattern);
    }

    fn handle_robots_start(&mut self) {}
    fn handle_robots_end(&mut self) {}
    fn handle_sitemap(&mut self, _: u32, _: &str) {}
    fn handle_unknown_action(&mut self, _: u32, _: &str, _: &str) {}
}

/// Whether the path begins with what the pattern says. Each part between stars is taken where it
/// first fits, which is never worse than a later place, so this is one pass over the path.
fn is_match(pattern: &str, path: &str) -> bool {
    let (pattern, to_the_end) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let (first, rest) = pattern.split_once('*').map_or((pattern, None), |(a, b)| (a, Some(b)));
    let Some(mut path) = path.strip_prefix(first) else { return false };
    let Some(rest) = rest else { return !to_the_end || path.is_empty() };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = path.find(part) else { return false };
        path = &path[at + part.len()..];
    }
    if to_the_end { path.ends_with(last) } else { path.contains(last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(text: &str, path: &str) -> bool {
        let url = Url::parse("http://a.test/").unwrap().join(path).unwrap();
        Rules::parse(text, "us").allow(&url)
    }

    #[test]
    fn the_longest_rule_decides() {
        let text = "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nAllow: /a/b/c\n";
        let paths = ["/", "/a", "/a/x", "/a/b", "/a/b/c"];
        assert_eq!(paths.map(|path| allows(text, path)), [true, false, false, true, true]);
    }

    #[test]
    fn our_group_replaces_everybodys() {
        let text = "user-agent: them\nuser-agent: US/2.0\ndisallow: /x\n\n\
                    user-agent: *\ndisallow: /y\n\nuser-agent: us\ndisallow: /z\n";
        assert_eq!(["/x", "/y", "/z"].map(|path| allows(text, path)), [false, true, false]);
        assert!(allows("user-agent: *\ndisallow: /\nuser-agent: us\ndisallow:\n", "/x"));
    }

    #[test]
    fn patterns_match_as_in_the_rfc() {
        let table = [
            ("/x", "/xyz", true),
            ("/x$", "/xyz", false),
            ("/x$", "/x", true),
            ("/*.gif", "/a/b.gif?c", true),
            ("/*.gif$", "/a.gif/b.gif", true),
            ("/*.gif$", "/a.gif?c", false),
            ("/a*b*c", "/a-c-b-c", true),
            ("/a*b*c", "/a-c-b", false),
            ("*/private", "/a/private/b", true),
            ("/a*a", "/a", false),
            ("*", "/", true),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(is_match(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn escaped_and_plain_letters_are_the_same() {
        let text = "user-agent: *\ndisallow: /caf\u{E9}\ndisallow: /%7b\n";
        assert_eq!(["/caf%c3%A9", "/%7B"].map(|path| allows(text, path)), [false, false]);
    }
}
