//! The line of those who wait for one cell's tokens.

use tidegate_core::{Event, Turnstile, const_fn};

/// Who waits, in order.
#[derive(Debug)]
pub(crate) struct Line {
    /// Whoever is inside is the head.
    pub(crate) turnstile: Turnstile,
    /// Tokens came back, or the quota changed.
    pub(crate) changed: Event,
}

impl Line {
    const_fn! {
        fn new() -> Self {
            Self { turnstile: Turnstile::new(), changed: Event::new() }
        }
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
