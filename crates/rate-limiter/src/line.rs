//! The line of those who wait for one cell's tokens.

use core::time::Duration;

use tidegate_core::{
    Event, Timestamp, Turnstile, const_fn,
    primitive::atomic::{AtomicU64, Ordering},
};

/// Who waits, in order.
#[derive(Debug)]
pub(crate) struct Line {
    /// Whoever is inside is the head.
    pub(crate) turnstile: Turnstile,
    /// Tokens came back, or the quota changed.
    pub(crate) changed: Event,
    /// The same, for those who sleep beside the line.
    pub(crate) eased: Event,
    /// When the last of those wakes, in nanoseconds.
    last_due: AtomicU64,
}

/// How many sleep one behind the other. Those that come then begin anew with the first.
const ABREAST: u32 = 1024;

impl Line {
    const_fn! {
        fn new() -> Self {
            Self {
                turnstile: Turnstile::new(),
                changed: Event::new(),
                eased: Event::new(),
                last_due: AtomicU64::new(0),
            }
        }
    }

    /// Returns when to wake one who sleeps beside the line until a token is there, at `earliest`: `spacing` behind the last
    /// one. Those who do not come when they are due are behind nobody any more.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "stream", feature = "tokio-io")),
        allow(dead_code, reason = "only what these features wrap sleeps there")
    )]
    pub(crate) fn queue_up(&self, earliest: Timestamp, spacing: Duration) -> Timestamp {
        if earliest == Timestamp::NEVER {
            return earliest;
        }
        let due = |last: u64| {
            let last = Timestamp::from_nanos(last);
            let is_behind = last >= earliest && last.since(earliest) < spacing * ABREAST;
            if is_behind { last + spacing } else { earliest }
        };
        let next = |last| Some(due(last).as_nanos());
        // ORDERING: Relaxed: only the number counts, and that it differs.
        let last = self.last_due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map_or(earliest, due)
    }
}

#[cfg(not(feature = "std"))]
pub(crate) use self::at_once::LazyLine;
#[cfg(feature = "std")]
pub(crate) use self::when_needed::LazyLine;

/// Most keys of a keyed limiter are never waited for: the line is allocated by the first who waits.
#[cfg(feature = "std")]
mod when_needed {
    use alloc::boxed::Box;

    use tidegate_core::{const_fn, primitive::OnceLock};

    use super::Line;

    #[derive(Debug)]
    pub(crate) struct LazyLine {
        line: OnceLock<Box<Line>>,
    }

    impl LazyLine {
        const_fn! {
            pub(crate) fn new() -> Self {
                Self { line: OnceLock::new() }
            }
        }

        /// Returns the line, unless nobody has ever waited.
        pub(crate) fn get(&self) -> Option<&Line> {
            self.line.get().map(|line| &**line)
        }

        pub(crate) fn get_or_make(&self) -> &Line {
            self.line.get_or_init(|| Box::new(Line::new()))
        }
    }
}

/// Without std there is no cell that two threads can fill at once, so the line is made at the start.
#[cfg(not(feature = "std"))]
mod at_once {
    use super::Line;

    #[derive(Debug)]
    pub(crate) struct LazyLine {
        line: Line,
    }

    impl LazyLine {
        pub(crate) const fn new() -> Self {
            Self { line: Line::new() }
        }

        #[allow(clippy::unnecessary_wraps, reason = "the other one may be without a line")]
        pub(crate) fn get(&self) -> Option<&Line> {
            Some(&self.line)
        }

        pub(crate) fn get_or_make(&self) -> &Line {
            &self.line
        }
    }
}
