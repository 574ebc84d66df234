//! The rules of one robots.txt that are for us (RFC 9309).

use url::{Position, Url};

use crate::address::{is_unreserved, percent_decoded, push_encoded};

/// The rules of one robots.txt for one agent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// As [`comparable`] writes it, with `*` for any characters, and a last `$` for the end.
    pattern: String,
}

impl Rules {
    /// Returns the rules for `agent`, or those for everybody if it is not named. Any bytes are
    /// accepted: a line that is no rule is ignored.
    pub(crate) fn parse(text: &[u8], agent: &str) -> Rules {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let mut groups = Groups { agent, ..Groups::default() };
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            groups.line(line);
        }
        Rules { rules: groups.ours.unwrap_or(groups.everybodys) }
    }

    /// The longest rule that matches decides; of two equally long ones, the one that allows.
    pub(crate) fn allow(&self, url: &Url) -> bool {
        let path = &url[Position::BeforePath..Position::AfterQuery];
        if self.rules.is_empty() || path == "/robots.txt" {
            return true;
        }
        let path = comparable(path.as_bytes(), Side::Address);
        let matching = self.rules.iter().filter(|rule| is_match(&rule.pattern, &path));
        let strongest = matching.max_by_key(|rule| (rule.pattern.len(), rule.allow));
        strongest.is_none_or(|rule| rule.allow)
    }
}

/// The groups of a file, while it is read. A group is one or more agents and the rules after them.
#[derive(Debug, Default)]
struct Groups<'a> {
    agent: &'a str,
    /// `Some` as soon as a group names us, even one without rules.
    ours: Option<Vec<Rule>>,
    everybodys: Vec<Rule>,
    is_ours: bool,
    is_everybodys: bool,
    /// Whether the group has rules: then the next agent starts a new group.
    has_rules: bool,
}

impl Groups<'_> {
    fn line(&mut self, line: &[u8]) {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let line = line.trim_ascii();
        // Some files lack the colon.
        let colon = line.iter().position(|byte| *byte == b':');
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let Some(end) = colon.or_else(|| line.iter().position(is_blank)) else { return };
        let (key, value) = (line[..end].trim_ascii(), line[end + 1..].trim_ascii());
        if colon.is_none() && value.iter().any(is_blank) {
            return;
        }
        let key = key.to_ascii_lowercase();
        match key.as_slice() {
            b"user-agent" | b"useragent" | b"user agent" => self.agent(value),
            b"allow" => self.rule(true, value),
            // Usual typing errors, which Google's parser accepts, too.
            b"disallow" | b"dissallow" | b"dissalow" | b"disalow" | b"diasllow" | b"disallaw" => {
                self.rule(false, value);
            }
            _ => {}
        }
    }

    fn agent(&mut self, agent: &[u8]) {
        if core::mem::take(&mut self.has_rules) {
            (self.is_ours, self.is_everybodys) = (false, false);
        }
        if agent.starts_with(b"*") {
            self.is_everybodys = true;
        }
        let is_name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
        let name = agent.split(|byte| !is_name(byte)).next().unwrap_or_default();
        if name.eq_ignore_ascii_case(self.agent.as_bytes()) {
            self.is_ours = true;
            self.ours.get_or_insert_default();
        }
    }

    fn rule(&mut self, allow: bool, pattern: &[u8]) {
        self.has_rules = true;
        // An empty rule is ignored.
        if pattern.is_empty() {
            return;
        }
        let rule = Rule { allow, pattern: comparable(pattern, Side::Pattern) };
        if self.is_everybodys {
            self.everybodys.push(rule.clone());
        }
        if self.is_ours {
            self.ours.get_or_insert_default().push(rule);
        }
    }
}

/// What [`comparable`] rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The path and query of an address.
    Address,
    /// A rule, with `*` and, at its end, `$`.
    Pattern,
}

/// Returns one spelling of all that RFC 9309, 2.2.2, calls the same: unreserved characters are not
/// encoded, and everything outside of ASCII is. `*` and `$` are encoded where they are ordinary
/// characters (2.2.3). In a query `/` and `:` mean the same encoded or not, as in the RFC's
/// examples.
fn comparable(text: &[u8], side: Side) -> String {
    let mut same = String::with_capacity(text.len());
    let (mut at, mut in_query) = (0, false);
    while let Some(&byte) = text.get(at) {
        let encoded = (byte == b'%').then(|| percent_decoded(&text[at + 1..])).flatten();
        at += if encoded.is_some() { 3 } else { 1 };
        let is_sign = side == Side::Pattern && (byte == b'*' || byte == b'$' && at == text.len());
        let is_itself = |byte| match byte {
            b'*' | b'$' => is_sign,
            b'/' | b':' => encoded.is_none() || in_query,
            byte => is_unreserved(byte) || encoded.is_none() && is_reserved(byte),
        };
        match encoded.unwrap_or(byte) {
            byte if is_itself(byte) => same.push(char::from(byte)),
            byte => push_encoded(byte, &mut same),
        }
        in_query |= byte == b'?';
    }
    same
}

fn is_reserved(byte: u8) -> bool {
    b"!&'()+,;=?#[]@".contains(&byte)
}

/// Whether the path begins as the pattern says. Each part between stars is taken where it first
/// fits, which is never worse than a later place, so one pass over the path is enough.
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
        Rules::parse(text.as_bytes(), "us").allow(&url)
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
    fn what_is_encoded_and_what_is_not_are_compared_as_the_rfc_says() {
        // The rule, the path, and whether the rule matches the path.
        let table = [
            ("/caf\u{E9}", "/caf%c3%A9", true),
            ("/%7b", "/%7B", true),
            ("/%7Ejoe", "/~joe/x", true),
            ("/~joe", "/%7ejoe/x", true),
            ("/private", "/%70rivate", true),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
            ("/foo?baz=https://foo.bar", "/foo?baz=https%3A%2F%2Ffoo.bar", true),
            ("/foo?baz=https%3a%2f%2ffoo.bar", "/foo?baz=https://foo.bar", true),
            ("/a%2Fb", "/a/b", false),
            ("/a/b", "/a%2Fb", false),
            ("/a%2Fb", "/a%2fb", true),
            ("/%2A.html", "/*.html", true),
            ("/%2A.html", "/x.html", false),
            ("/a%24", "/a$", true),
            ("/a%24", "/a", false),
            ("/a$b", "/a$b", true),
            ("/100%", "/100%25", true),
            ("/a b", "/a%20b", true),
            ("/a%26b", "/a&b", false),
        ];
        for (pattern, path, expected) in table {
            let text = format!("user-agent: *\ndisallow: {pattern}\n");
            assert_eq!(!allows(&text, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn what_people_write_is_read() {
        let all = [
            "\u{FEFF}user-agent: *\ndisallow: /",
            "User-Agent:*\r\nDisallow:/ # all\r\n",
            "useragent: *\rdisalow: /\r",
            "user-agent *\ndisallow /\n",
            "allow: /\nuser-agent: them\nuser-agent: *\nsitemap: x\ncrawl-delay: 1\ndisallow: /",
        ];
        all.iter().for_each(|text| assert!(!allows(text, "/x"), "{text}"));
        let none =
            ["disallow: /\n", "user-agent *\ndisallow / me\n", "user-agent: *\nDisallow:\n", ""];
        none.iter().for_each(|text| assert!(allows(text, "/x"), "{text}"));
    }
}
