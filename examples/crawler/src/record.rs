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
    /// Where it leads; those already known are left alone.
    pub found: Vec<Target>,
}

/// What became of an address.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is a page.
    Stored(Body),
    /// There is no page, for this reason: a short name, the same for all of its kind.
    Accounted(String),
    /// There was no asking, for this reason of the host's: a later crawl has to see.
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
    /// Bytes of the body as it came.
    pub bytes: u64,
    /// Whether it was not UTF-8.
    pub lossy: bool,
}
