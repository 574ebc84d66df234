//! A page that leads on by itself: `<meta http-equiv="refresh">` and the header `Refresh`.

/// Where a page leads by itself, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// Whether the page does so at once: then there is nothing to keep of it.
    pub(crate) at_once: bool,
    /// The address as it was written; empty if the page refreshes itself.
    pub(crate) to: String,
}

/// Takes the shared declarative refresh steps of the HTML standard on `content` or the header.
pub(crate) fn refresh(content: &str) -> Option<Refresh> {
    let content = content.trim_start_matches(is_space);
    let after = content.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &content[..content.len() - after.len()];
    if digits.is_empty() && !after.starts_with('.') {
        return None;
    }
    let at_once = digits.bytes().all(|digit| digit == b'0');
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if after.is_empty() {
        return Some(Refresh { at_once, to: String::new() });
    }
    if !after.starts_with(|c| is_space(c) || matches!(c, ';' | ',')) {
        return None;
    }
    let after = after.trim_start_matches(is_space);
    let after = after.strip_prefix([';', ',']).unwrap_or(after).trim_start_matches(is_space);
    Some(Refresh { at_once, to: target(after).to_owned() })
}

/// Returns the address in `address`, in `url=address`, or in `url='address' and whatever`.
fn target(text: &str) -> &str {
    let key = text.get(..3).filter(|key| key.eq_ignore_ascii_case("url"));
    let value = key.and_then(|_| text[3..].trim_start_matches(is_space).strip_prefix('='));
    let target = value.map_or(text, |value| value.trim_start_matches(is_space));
    match target.chars().next() {
        Some(quote @ ('"' | '\'')) => target[1..].split(quote).next().unwrap_or_default(),
        _ => target,
    }
}

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0C' | '\r' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_read_as_the_standard_says() {
        let table = [
            ("0; url=/x", Some((true, "/x"))),
            ("0;URL='/x'", Some((true, "/x"))),
            (" 0 , url = \"/x\" y", Some((true, "/x"))),
            ("0.9;/x", Some((true, "/x"))),
            (".5;url=/x", Some((true, "/x"))),
            ("00 /x", Some((true, "/x"))),
            ("5;url=/x", Some((false, "/x"))),
            ("0;urls=/x", Some((true, "urls=/x"))),
            ("0; u", Some((true, "u"))),
            ("0;url='/x", Some((true, "/x"))),
            ("300", Some((false, ""))),
            ("0", Some((true, ""))),
            ("0;", Some((true, ""))),
            ("0x;url=/x", None),
            ("url=/x", None),
            ("; url=/x", None),
            ("-1;url=/x", None),
            ("", None),
        ];
        for (content, expected) in table {
            let expected = expected.map(|(at_once, to)| Refresh { at_once, to: to.to_owned() });
            assert_eq!(refresh(content), expected, "{content}");
        }
    }
}
