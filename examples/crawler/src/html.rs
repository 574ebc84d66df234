//! Reads title, text and links out of HTML, in one pass over its tokens and without a tree.
//!
//! Of the tree it follows only what matters here: whether a token is in a `<template>` or in SVG,
//! and whether the head has ended.

use std::convert::Infallible;

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Emitter, ForwardingEmitter, Span, State, Tokenizer, naive_next_state};

use crate::directives::Directives;
use crate::foreign::Foreign;
use crate::refresh::{Refresh, refresh};

/// What was found, as it was written.
#[derive(Debug, Default)]
pub(crate) struct Extract {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) text: String,
    /// `href` of every `a` and `area` without `rel="nofollow"`. Fragments are removed.
    pub(crate) hrefs: Vec<String>,
    /// The first `<base href>`.
    pub(crate) base: Option<String>,
    /// The first `<meta http-equiv="refresh">`.
    pub(crate) refresh: Option<Refresh>,
    /// Every `<meta name="robots">`, together.
    pub(crate) robots: Directives,
    /// Every `<link rel="canonical">` in the head.
    pub(crate) canonical: Vec<String>,
}

impl Extract {
    pub(crate) fn read(html: &str) -> Extract {
        let mut reader = Reader::default();
        let tags = Tags(CallbackEmitter::new(Events(&mut reader)));
        let Ok(()) = Tokenizer::new_with_emitter(html, tags).finish();
        reader.extract
    }
}

/// Elements whose text is not the page's.
const HIDDEN: [&[u8]; 9] = [
    b"nav",
    b"script",
    b"style",
    b"noscript",
    b"button",
    b"select",
    b"iframe",
    b"noframes",
    b"noembed",
];

/// Elements that do not end a word: `Mute<b>x</b>` is one.
const INLINE: [&[u8]; 17] = [
    b"a", b"abbr", b"b", b"code", b"del", b"em", b"font", b"i", b"ins", b"kbd", b"mark", b"s",
    b"small", b"span", b"strong", b"u", b"wbr",
];

/// Elements that may be in a head: the first other one ends it.
const HEAD: [&[u8]; 10] = [
    b"html",
    b"head",
    b"title",
    b"meta",
    b"link",
    b"base",
    b"script",
    b"style",
    b"noscript",
    b"template",
];

/// Passes the tokens on to the reader, which decides how the tokenizer goes on after a tag.
struct Tags<'r>(CallbackEmitter<Events<'r>>);

impl ForwardingEmitter for Tags<'_> {
    type Token = Infallible;

    fn inner(&mut self) -> &mut impl Emitter<Token = Infallible> {
        &mut self.0
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        _ = self.0.emit_current_tag();
        self.0.callback_mut().0.next_state.take()
    }

    /// Nobody asks whether a page is valid, and finding it out would take a tenth of the time.
    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        self.0.callback_mut().0.foreign.is_inside()
    }
}

struct Events<'r>(&'r mut Reader);

impl Callback<Infallible, ()> for Events<'_> {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Infallible> {
        self.0.event(&event);
        None
    }
}

/// Where the reader stands between two tokens.
#[derive(Debug, Default)]
struct Reader {
    extract: Extract,
    /// The name of the start tag that is being read.
    name: Vec<u8>,
    tag: Tag,
    /// The attribute whose value comes next.
    attribute: Attribute,
    attributes: Attributes,
    /// How the text after this tag is read.
    next_state: Option<State>,
    foreign: Foreign,
    /// How many templates are open. Nothing in them is a part of the page.
    templates: u32,
    /// The hidden element that we are in, and how many of its name are open. Other elements that
    /// open and close in it do not matter.
    hidden: Option<(&'static [u8], u32)>,
    is_head_over: bool,
    in_title: bool,
    main: Main,
    /// A space is due before the next word.
    gap: bool,
}

/// The start tag that is being read, if it is one with attributes for us.
#[derive(Debug, Default, Clone, Copy)]
enum Tag {
    #[default]
    Other,
    /// `<a>` or `<area>`.
    Link,
    Base,
    Meta,
    /// `<link>`.
    Relation,
    /// A tag of SVG or MathML.
    Foreign,
    /// `<a>` in SVG or MathML.
    ForeignLink,
}

/// Where we are with the first `<main>`. If there is one, only the text in it is kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Main {
    #[default]
    Before,
    Inside,
    After,
}

#[derive(Debug, Default, Clone, Copy)]
enum Attribute {
    #[default]
    Other,
    Href,
    Rel,
    Name,
    HttpEquiv,
    Content,
}

/// The attributes of one tag, in any order. Of two with the same name, the first counts.
#[derive(Debug, Default)]
struct Attributes {
    href: Option<String>,
    rel: Option<String>,
    name: Option<String>,
    http_equiv: Option<String>,
    content: Option<String>,
}

impl Attributes {
    fn slot(&mut self, attribute: Attribute) -> Option<&mut Option<String>> {
        match attribute {
            Attribute::Other => None,
            Attribute::Href => Some(&mut self.href),
            Attribute::Rel => Some(&mut self.rel),
            Attribute::Name => Some(&mut self.name),
            Attribute::HttpEquiv => Some(&mut self.http_equiv),
            Attribute::Content => Some(&mut self.content),
        }
    }

    fn has_relation(&self, relation: &str) -> bool {
        let relations = self.rel.as_deref().unwrap_or_default();
        relations.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(relation))
    }
}

impl Reader {
    fn event(&mut self, event: &CallbackEvent<'_>) {
        match *event {
            CallbackEvent::OpenStartTag { name } => self.open(name),
            CallbackEvent::AttributeName { name } => self.attribute(name),
            CallbackEvent::AttributeValue { value } => self.value(text(value)),
            CallbackEvent::CloseStartTag { self_closing } => self.opened(self_closing),
            CallbackEvent::EndTag { name } => self.close(name),
            CallbackEvent::String { value } => self.words(text(value)),
            _ => {}
        }
    }

    fn open(&mut self, name: &[u8]) {
        self.gap |= !INLINE.contains(&name);
        self.name.clear();
        self.name.extend_from_slice(name);
        self.tag = Tag::Other;
        if self.templates > 0 {
            self.templates += u32::from(name == b"template");
            return;
        }
        if !self.foreign.start(name) {
            self.is_head_over = true;
            self.tag = if name == b"a" { Tag::ForeignLink } else { Tag::Foreign };
            return;
        }
        self.is_head_over |= !HEAD.contains(&name);
        self.tag = match name {
            b"a" | b"area" => Tag::Link,
            b"base" => Tag::Base,
            b"meta" => Tag::Meta,
            b"link" => Tag::Relation,
            b"template" => {
                self.templates = 1;
                return;
            }
            _ => Tag::Other,
        };
        match &mut self.hidden {
            Some((hidden, depth)) => *depth += u32::from(*hidden == name),
            None => {
                if name == b"main" && self.main == Main::Before {
                    self.main = Main::Inside;
                    self.extract.text.clear();
                }
                self.in_title = name == b"title" && self.extract.title.is_empty();
                self.hidden = HIDDEN.into_iter().find(|hidden| *hidden == name).map(|h| (h, 1));
            }
        }
    }

    fn attribute(&mut self, name: &[u8]) {
        self.attribute = match (self.tag, name) {
            (Tag::Link | Tag::Base | Tag::Relation | Tag::ForeignLink, b"href") => Attribute::Href,
            (Tag::ForeignLink, b"xlink:href") => Attribute::Href,
            (Tag::Link | Tag::Relation, b"rel") => Attribute::Rel,
            (Tag::Meta, b"name") => Attribute::Name,
            (Tag::Meta, b"http-equiv") => Attribute::HttpEquiv,
            (Tag::Meta, b"content") => Attribute::Content,
            _ => Attribute::Other,
        };
        match self.attributes.slot(self.attribute) {
            // An attribute may have no value.
            Some(slot @ None) => *slot = Some(String::new()),
            _ => self.attribute = Attribute::Other,
        }
    }

    fn value(&mut self, value: &str) {
        let attribute = core::mem::take(&mut self.attribute);
        if let Some(Some(slot)) = self.attributes.slot(attribute) {
            value.clone_into(slot);
        }
    }

    fn opened(&mut self, self_closing: bool) {
        let tag = core::mem::take(&mut self.tag);
        if matches!(tag, Tag::Foreign | Tag::ForeignLink) {
            self.foreign.started(&self.name, self_closing);
        } else {
            self.next_state = match self.name.as_slice() {
                b"noframes" => Some(State::RawText),
                name => naive_next_state(name),
            };
        }
        if matches!(tag, Tag::Other | Tag::Foreign) {
            return;
        }
        let attributes = core::mem::take(&mut self.attributes);
        match tag {
            Tag::Base => _ = attributes.href.map(|href| self.extract.base.get_or_insert(href)),
            Tag::Meta => self.meta(&attributes),
            Tag::Relation if !self.is_head_over && attributes.has_relation("canonical") => {
                self.extract.canonical.extend(attributes.href);
            }
            Tag::Link | Tag::ForeignLink if !attributes.has_relation("nofollow") => {
                let href = attributes.href.map(|mut href| {
                    href.truncate(href.find('#').unwrap_or(href.len()));
                    href
                });
                self.extract.hrefs.extend(href);
            }
            _ => {}
        }
    }

    fn meta(&mut self, attributes: &Attributes) {
        let Some(content) = attributes.content.as_deref() else { return };
        if let Some(name) = attributes.name.as_deref() {
            if name.eq_ignore_ascii_case("description") && self.extract.description.is_empty() {
                content.clone_into(&mut self.extract.description);
            }
            self.extract.robots.add_meta(name, content);
        }
        let http_equiv = attributes.http_equiv.as_deref().unwrap_or_default();
        if http_equiv.eq_ignore_ascii_case("refresh") && self.extract.refresh.is_none() {
            self.extract.refresh = refresh(content);
        }
    }

    fn close(&mut self, name: &[u8]) {
        self.gap |= !INLINE.contains(&name);
        if self.templates > 0 {
            self.templates -= u32::from(name == b"template");
            return;
        }
        if !self.foreign.end(name) {
            return;
        }
        self.in_title = false;
        self.is_head_over |= name == b"head";
        if let Some((hidden, depth)) = &mut self.hidden
            && *hidden == name
        {
            *depth -= 1;
            if *depth == 0 {
                self.hidden = None;
            }
        } else if name == b"main" && self.hidden.is_none() && self.main == Main::Inside {
            self.main = Main::After;
        }
    }

    fn words(&mut self, words: &str) {
        if self.hidden.is_some() || self.templates > 0 || self.foreign.is_picture() {
            return;
        }
        if self.in_title {
            self.extract.title = words.split_whitespace().collect::<Vec<_>>().join(" ");
            return;
        }
        if self.main == Main::After {
            return;
        }
        let text = &mut self.extract.text;
        self.gap |= words.starts_with(char::is_whitespace);
        for word in words.split_whitespace() {
            self.is_head_over = true;
            if self.gap && !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
            self.gap = true;
        }
        self.gap = words.ends_with(char::is_whitespace);
    }
}

/// The tokenizer cuts its UTF-8 input at tags and quotes only, so each piece is UTF-8, too.
fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_single_spaces_where_the_eye_sees_them() {
        let html =
            "<h1>A  <b>Mute</b>x</h1>\n<p>one<br>two &amp; &lt;three&gt;</p><td>1</td><td>2</td>";
        assert_eq!(Extract::read(html).text, "A Mutex one two & <three> 1 2");
    }

    #[test]
    fn hidden_elements_have_no_text_but_their_links_count() {
        let html = "<body>x<nav><ul><nav>y</nav><a href=z>z</a></ul></nav>\
                    <script>if (a < b) '</nav>'</script><svg/><svg><title>t</title></svg>w";
        let extract = Extract::read(html);
        assert_eq!((extract.text.as_str(), extract.title.as_str()), ("x w", ""));
        assert_eq!(extract.hrefs, ["z"]);
    }

    #[test]
    fn the_text_is_what_is_in_main() {
        let html = "<body>Skip to content<main>the <b>text</b></main>Imprint<main>x</main>";
        assert_eq!(Extract::read(html).text, "the text");
        assert_eq!(Extract::read("<body>a<main>b").text, "b");
    }

    #[test]
    fn the_head_is_read_in_any_order() {
        let html =
            "<title>A\n title</title><title>B</title><meta content='about' name=Description>";
        let extract = Extract::read(html);
        assert_eq!((extract.title.as_str(), extract.description.as_str()), ("A title", "about"));
    }

    #[test]
    fn what_is_in_a_template_or_a_picture_is_not_the_pages() {
        let html = "<template><template></template><base href=x><a href=x>x</a><nav></template>\
                    <svg><title/><base href=x><style/><a href=s>s</a><![CDATA[<a href=x>]]></svg>\
                    <svg><p><base href=b>text<noframes><a href=x></noframes>";
        let extract = Extract::read(html);
        assert_eq!((extract.text.as_str(), extract.base.as_deref()), ("text", Some("b")));
        assert_eq!(extract.hrefs, ["s"]);
    }

    #[test]
    fn of_two_attributes_the_first_counts_even_if_it_is_empty() {
        let extract = Extract::read("<base href><base href=x><a href=1 href=2><meta name=x>");
        assert_eq!((extract.base.as_deref(), extract.hrefs), (Some(""), vec!["1".to_owned()]));
    }

    #[test]
    fn what_a_page_asks_of_robots_is_heard() {
        let html = "<link rel='x CANONICAL' href=c><meta name=robots content=noindex>\
                    <p><link rel=canonical href=late><meta name=robots content=nofollow>\
                    <a rel='external NoFollow' href=x>x</a><a rel=nofollower href=y>y</a>";
        let extract = Extract::read(html);
        assert_eq!(
            (extract.canonical, extract.hrefs),
            (vec!["c".to_owned()], vec!["y".to_owned()])
        );
        assert_eq!(extract.robots, Directives { noindex: true, nofollow: true });
    }
}
