//! The future of a gate that never waits.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::Gate;

/// Future of the [`enter`](Gate::enter) of a gate that never waits: enters or is refused when first
/// polled.
///
/// # Cancel safety
///
/// If it is dropped before it is polled, it leaves no trace.
///
/// # Panics
///
/// The future panics if it is polled after it was ready.
///
/// # Examples
///
/// ```
/// use core::cell::Cell;
/// use tidegate_core::{
///     Closed, Gate, Outcome, Pass, Wait,
///     gate::TryEnter,
/// };
///
/// /// So many calls, and no more.
/// struct Budget(Cell<u32>);
/// struct Spent;
///
/// impl Gate for &Budget {
///     type Pass = Spent;
///     type Refused = Closed;
///     type Enter = TryEnter<Self>;
///
///     fn try_enter(self) -> Result<Spent, Closed> {
///         self.0.set(self.0.get().checked_sub(1).ok_or(Closed)?);
///         Ok(Spent)
///     }
///
///     fn enter(self) -> Self::Enter {
///         TryEnter::new(self)
///     }
/// }
///
/// impl Pass for Spent {
///     type Refused = Closed;
///
///     fn settle(self, _: Outcome) {}
/// }
///
/// let budget = Budget(Cell::new(1));
/// drop((&budget).enter());
/// assert!((&budget).enter().wait().is_ok());
/// assert!((&budget).enter().wait().is_err());
/// ```
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct TryEnter<G> {
    // `None` once the future was ready.
    gate: Option<G>,
}

impl<G> TryEnter<G> {
    /// Creates a future that calls `gate`'s [`try_enter`](Gate::try_enter).
    pub const fn new(gate: G) -> Self {
        Self { gate: Some(gate) }
    }
}

// The gate is never pinned.
impl<G> Unpin for TryEnter<G> {}

impl<G: Gate> Future for TryEnter<G> {
    type Output = Result<G::Pass, G::Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.gate.take().expect("polled after it was ready").try_enter())
    }
}

impl<G> fmt::Debug for TryEnter<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryEnter").field("is_ready", &self.gate.is_none()).finish()
    }
}
