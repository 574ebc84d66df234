//! Title, text and links out of HTML, in one pass over its tokens and without a tree.

use std::convert::Infallible;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

/// What was found, as it was written.
#[derive(Debug, Default)]
pub(crate) struct Extract {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) text: String,
    /// `href` of every `a` and `area`, without the fragment; empty ones left out.
    pub(crate) hrefs: Vec<String>,
    /// The first `<base href>`.
    pub(crate) base: Option<String>,
    /// Where `<meta http-equiv="refresh">` leads without delay.
    pub(crate) refresh: Option<String>,
}

impl Extract {
    pub(crate) fn read(html: &str) -> Extract {
        let mut reader = Reader::default();
        let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
            reader.event(&event);
            None::<Infallible>
        });
        // Scripts, styles and titles have rules of their own for where they end.
        emitter.naively_switch_states(true);
        let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
        reader.extract
    }
}

/// Elements whose text is not the page's.
const HIDDEN: [&[u8]; 9] = [
    b"nav",
    b"script",
    b"style",
    b"noscript",
    b"template",
    b"svg",
    b"button",
    b"select",
    b"iframe",
];

/// Elements that do not end a word: `Mute<b>x</b>` is one.
const INLINE: [&[u8]; 17] = [
    b"a", b"abbr", b"b", b"code", b"del", b"em", b"font", b"i", b"ins", b"kbd", b"mark", b"s",
    b"small", b"span", b"strong", b"u", b"wbr",
];

/// Where the reader stands between two tokens.
#[derive(Debug, Default)]
struct Reader {
    extract: Extract,
    tag: Tag,
    /// The attribute whose value comes next.
    attribute: Attribute,
    meta: Meta,
    /// The hidden element that we are in, and how often it is open. What else opens and closes in
    /// there does not matter.
    hidden: Option<(&'static [u8], u32)>,
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
    Link,
    Base,
    Meta,
    /// A hidden element was just opened by this tag.
    Hidden,
}

/// Where we are with the first `<main>`: if there is one, the text is what is in it.
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
    Name,
    HttpEquiv,
    Content,
}

/// The attributes of a `<meta>`, which come in any order.
#[derive(Debug, Default)]
struct Meta {
    name: String,
    http_equiv: String,
    content: String,
}

impl Reader {
    fn event(&mut self, event: &CallbackEvent<'_>) {
        match *event {
            CallbackEvent::OpenStartTag { name } => self.open(name),
            CallbackEvent::AttributeName { name } => self.attribute = attribute(self.tag, name),
            CallbackEvent::AttributeValue { value } => self.value(text(value)),
            CallbackEvent::CloseStartTag { self_closing } => self.opened(self_closing),
            CallbackEvent::EndTag { name } => self.close(name),
            CallbackEvent::String { value } => self.words(text(value)),
            _ => {}
        }
    }

    fn open(&mut self, name: &[u8]) {
        self.gap |= !INLINE.contains(&name);
        self.tag = match name {
            b"a" | b"area" => Tag::Link,
            b"base" => Tag::Base,
            b"meta" => Tag::Meta,
            _ => Tag::Other,
        };
        match &mut self.hidden {
            Some((hidden, depth)) if *hidden == name => {
                *depth += 1;
                self.tag = Tag::Hidden;
            }
            Some(_) => {}
            None => {
                if name == b"main" && self.main == Main::Before {
                    self.main = Main::Inside;
                    self.extract.text.clear();
                }
                self.in_title = name == b"title" && self.extract.title.is_empty();
                self.hidden = HIDDEN.into_iter().find(|hidden| *hidden == name).map(|h| (h, 1));
                if self.hidden.is_some() {
                    self.tag = Tag::Hidden;
                }
            }
        }
    }

    fn value(&mut self, value: &str) {
        match self.attribute {
            Attribute::Other => {}
            Attribute::Href => self.href(value),
            Attribute::Name => value.clone_into(&mut self.meta.name),
            Attribute::HttpEquiv => value.clone_into(&mut self.meta.http_equiv),
            Attribute::Content => value.clone_into(&mut self.meta.content),
        }
        self.attribute = Attribute::Other;
    }

    fn href(&mut self, value: &str) {
        let href = value.split('#').next().unwrap_or_default().trim();
        if href.is_empty() {
            return;
        }
        match self.tag {
            Tag::Base => _ = self.extract.base.get_or_insert_with(|| href.to_owned()),
            _ => self.extract.hrefs.push(href.to_owned()),
        }
    }

    fn opened(&mut self, self_closing: bool) {
        match core::mem::take(&mut self.tag) {
            Tag::Meta => self.meta(),
            Tag::Hidden if self_closing && self.hidden.is_some_and(|(name, _)| name == b"svg") => {
                self.close(b"svg");
            }
            _ => {}
        }
    }

    fn meta(&mut self) {
        let meta = core::mem::take(&mut self.meta);
        if meta.name.eq_ignore_ascii_case("description") && self.extract.description.is_empty() {
            self.extract.description = meta.content;
        } else if meta.http_equiv.eq_ignore_ascii_case("refresh") {
            self.extract.refresh = refresh(&meta.content).map(str::to_owned);
        }
    }

    fn close(&mut self, name: &[u8]) {
        self.gap |= !INLINE.contains(&name);
        self.in_title = false;
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
        if self.hidden.is_some() {
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
            if self.gap && !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
            self.gap = true;
        }
        self.gap = words.ends_with(char::is_whitespace);
    }
}

/// The tokenizer cuts its UTF-8 input at tags and quotes only, so this never replaces.
fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

fn attribute(tag: Tag, name: &[u8]) -> Attribute {
    match (tag, name) {
        (Tag::Link | Tag::Base, b"href") => Attribute::Href,
        (Tag::Meta, b"name") => Attribute::Name,
        (Tag::Meta, b"http-equiv") => Attribute::HttpEquiv,
        (Tag::Meta, b"content") => Attribute::Content,
        _ => Attribute::Other,
    }
}

/// The address in `0; url='address'`; `None` with a delay, which is a page that renews itself.
fn refresh(content: &str) -> Option<&str> {
    let (delay, rest) = content.split_once([';', ','])?;
    let (key, address) = rest.split_once('=')?;
    let is_signpost = delay.trim() == "0" && key.trim().eq_ignore_ascii_case("url");
    is_signpost.then(|| address.trim().trim_matches(['\'', '"']))
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
}
