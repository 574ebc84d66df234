//! What the crawl keeps of an address.

/// An address to crawl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The address: absolute, without fragment.
    pub url: String,
    /// How many links it is from a start.
    pub depth: u32,
    /// How many redirects in a row led to it.
    pub hops: u32,
}

impl Target {
    /// An address `depth` links from a start.
    pub fn new(url: impl Into<String>, depth: u32) -> Self {
        Self { url: url.into(), depth, hops: 0 }
    }
}

/// What became of an address, and the links it led to.
#[derive(Debug, Clone)]
pub struct Record {
    /// The address, as it was in the frontier.
    pub target: Target,
    /// What became of it.
    pub outcome: Outcome,
    /// The addresses that it leads to; those already known are left alone.
    pub found: Vec<Target>,
}

/// What became of an address.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is a page.
    Stored(Body),
    /// There is no page. The reason is a short name, the same for all addresses of its kind.
    Accounted(String),
    /// There is no page for now, as the host is not well: a later crawl tries again.
    Deferred(String),
}

/// A page to keep.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// The title.
    pub title: String,
    /// The description in the head.
    pub description: String,
    /// The text.
    pub text: String,
    /// The HTTP status.
    pub status: u16,
    /// Bytes of the body, decompressed.
    pub bytes: u64,
    /// Whether some bytes did not fit its encoding.
    pub lossy: bool,
}
