//! Where in a page HTML ends and SVG or MathML begins.
//!
//! In SVG and MathML, `<title>`, `<style>` and `<base>` are not those of HTML (HTML standard,
//! 13.2.6.5).

/// The open elements at which the language changes, from the outside in. Most pages have none.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    open: Vec<Open>,
}

/// An element at which the language changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `<svg>` or `<math>`, and how many of this name are open, one in the other.
    Root(&'static [u8], u32),
    /// An element of this name, in which HTML begins again.
    Html(&'static [u8]),
}

const ROOTS: [&[u8]; 2] = [b"svg", b"math"];
/// Elements of SVG and MathML that have HTML in them.
const WITH_HTML: [&[u8]; 9] =
    [b"foreignobject", b"desc", b"title", b"mi", b"mo", b"mn", b"ms", b"mtext", b"annotation-xml"];
/// Tags of HTML that end SVG and MathML wherever they are; sorted for the search.
const BREAKING_OUT: [&[u8]; 44] = [
    b"b",
    b"big",
    b"blockquote",
    b"body",
    b"br",
    b"center",
    b"code",
    b"dd",
    b"div",
    b"dl",
    b"dt",
    b"em",
    b"embed",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
    b"head",
    b"hr",
    b"i",
    b"img",
    b"li",
    b"listing",
    b"menu",
    b"meta",
    b"nobr",
    b"ol",
    b"p",
    b"pre",
    b"ruby",
    b"s",
    b"small",
    b"span",
    b"strike",
    b"strong",
    b"sub",
    b"sup",
    b"table",
    b"tt",
    b"u",
    b"ul",
    b"var",
];
/// Elements that may be around SVG but never in it, so their end tags end the SVG, too.
const AROUND: [&[u8]; 15] = [
    b"article", b"aside", b"button", b"figure", b"footer", b"form", b"header", b"html", b"label",
    b"main", b"nav", b"section", b"td", b"th", b"tr",
];

impl Foreign {
    /// Whether the next tag belongs to SVG or MathML, unless it is one of `BREAKING_OUT`.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.open.last(), Some(Open::Root(..)))
    }

    /// Whether what is read belongs to a picture, even if it is HTML inside of the picture.
    pub(crate) fn is_picture(&self) -> bool {
        self.open.iter().any(|open| matches!(open, Open::Root(b"svg", _)))
    }

    /// Takes a start tag, and returns whether it is a tag of HTML.
    pub(crate) fn start(&mut self, name: &[u8]) -> bool {
        if self.is_inside() && BREAKING_OUT.binary_search(&name).is_ok() {
            self.break_out();
        }
        !self.is_inside() && !ROOTS.contains(&name)
    }

    /// Takes the same start tag again, once its attributes have been read.
    pub(crate) fn started(&mut self, name: &[u8], self_closing: bool) {
        if self_closing {
            return;
        }
        let root = ROOTS.into_iter().find(|root| *root == name);
        match (self.open.last_mut(), root) {
            (Some(Open::Root(open, depth)), Some(root)) if *open == root => *depth += 1,
            (_, Some(root)) => self.open.push(Open::Root(root, 1)),
            (Some(Open::Root(..)), None) => {
                let inner = WITH_HTML.into_iter().find(|inner| *inner == name);
                self.open.extend(inner.map(Open::Html));
            }
            (_, None) => {}
        }
    }

    /// Takes an end tag, and returns whether it is a tag of HTML.
    pub(crate) fn end(&mut self, name: &[u8]) -> bool {
        match self.open.last_mut() {
            None => true,
            Some(Open::Html(open)) => {
                let is_its_end = *open == name;
                if is_its_end {
                    self.open.pop();
                }
                !is_its_end
            }
            Some(Open::Root(open, depth)) if *open == name => {
                *depth -= 1;
                if *depth == 0 {
                    self.open.pop();
                }
                false
            }
            // `<div><svg></div>`: the end tag of an element around the SVG ends the SVG, too.
            Some(Open::Root(..))
                if BREAKING_OUT.binary_search(&name).is_ok() || AROUND.contains(&name) =>
            {
                self.break_out();
                true
            }
            Some(Open::Root(..)) => false,
        }
    }

    fn break_out(&mut self) {
        while self.is_inside() {
            self.open.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(BREAKING_OUT.is_sorted());
    }

    #[test]
    fn html_begins_again_where_the_standard_says() {
        // Each step is a tag, and whether it is a tag of HTML.
        let tables: [&[(&str, bool)]; 6] = [
            &[("svg", false), ("title", false), ("a", true), ("/title", false), ("base", false)],
            &[
                ("svg", false),
                ("svg", false),
                ("/svg", false),
                ("base", false),
                ("/svg", false),
                ("base", true),
            ],
            &[("svg", false), ("meta", true), ("base", true)],
            &[("svg/", false), ("base", true)],
            &[("svg", false), ("main", false), ("/main", true), ("base", true)],
            &[
                ("div", true),
                ("math", false),
                ("mi", false),
                ("svg", false),
                ("/div", true),
                ("base", true),
            ],
        ];
        for steps in tables {
            let mut foreign = Foreign::default();
            for (tag, expected) in steps {
                let is_html = match tag.strip_prefix('/') {
                    Some(name) => foreign.end(name.as_bytes()),
                    None => {
                        let name = tag.trim_end_matches('/').as_bytes();
                        let is_html = foreign.start(name);
                        foreign.started(name, tag.ends_with('/'));
                        is_html
                    }
                };
                assert_eq!(is_html, *expected, "{tag} in {steps:?}");
            }
        }
    }
}
