//! Two gates in a row are a gate.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Gate, Outcome, Pass};

/// Which gate of a pair refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairRefused<A, B> {
    /// The first gate; the second was not asked.
    First(A),
    /// The second gate; the pass of the first was given back.
    Second(B),
}

impl<A: fmt::Display, B: fmt::Display> fmt::Display for PairRefused<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(error) => error.fmt(f),
            Self::Second(error) => error.fmt(f),
        }
    }
}

impl<A: core::error::Error, B: core::error::Error> core::error::Error for PairRefused<A, B> {}

impl<A: Pass, B: Pass> Pass for (A, B) {
    fn settle(self, outcome: Outcome) {
        self.0.settle(outcome);
        self.1.settle(outcome);
    }

    fn give_back(self) {
        self.0.give_back();
        self.1.give_back();
    }
}

impl<A: Gate, B: Gate> Gate for (A, B) {
    type Pass<'a>
        = (A::Pass<'a>, B::Pass<'a>)
    where
        Self: 'a;
    type Refused = PairRefused<A::Refused, B::Refused>;
    type Enter<'a>
        = EnterPair<'a, A, B>
    where
        Self: 'a;

    fn try_enter(&self) -> Result<Self::Pass<'_>, Self::Refused> {
        let mut first = Unused { pass: Some(self.0.try_enter().map_err(PairRefused::First)?) };
        let second = self.1.try_enter().map_err(PairRefused::Second)?;
        Ok((first.take(), second))
    }

    fn enter(&self) -> Self::Enter<'_> {
        EnterPair { second_gate: &self.1, stage: Stage::First { enter: self.0.enter() } }
    }
}

/// A pass that is given back unless it is taken out.
struct Unused<P: Pass> {
    pass: Option<P>,
}

impl<P: Pass> Unused<P> {
    fn take(&mut self) -> P {
        self.pass.take().expect("taken once")
    }
}

impl<P: Pass> Drop for Unused<P> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            pass.give_back();
        }
    }
}

pin_project! {
    /// Future of the [`enter`](Gate::enter) of a pair of gates.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterPair<'a, A, B>
    where
        A: Gate,
        A: 'a,
        B: Gate,
        B: 'a,
    {
        second_gate: &'a B,
        #[pin]
        stage: Stage<A::Enter<'a>, A::Pass<'a>, B::Enter<'a>>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<E, P: Pass, F> {
        First { #[pin] enter: E },
        Second { first: Unused<P>, #[pin] enter: F },
    }
}

impl<'a, A: Gate + 'a, B: Gate + 'a> Future for EnterPair<'a, A, B> {
    type Output = Result<(A::Pass<'a>, B::Pass<'a>), PairRefused<A::Refused, B::Refused>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProjection::First { enter } => {
                    let pass = ready!(enter.poll(cx)).map_err(PairRefused::First)?;
                    let first = Unused { pass: Some(pass) };
                    this.stage.set(Stage::Second { first, enter: this.second_gate.enter() });
                }
                StageProjection::Second { first, enter } => {
                    let second = ready!(enter.poll(cx));
                    let mut first = Unused { pass: first.pass.take() };
                    // Refused, the first pass is given back here and now, however long this future lives on.
                    let second = second.map_err(PairRefused::Second)?;
                    return Poll::Ready(Ok((first.take(), second)));
                }
            }
        }
    }
}

impl<'a, A: Gate + 'a, B: Gate + 'a> fmt::Debug for EnterPair<'a, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_second = matches!(self.stage, Stage::Second { .. });
        f.debug_struct("EnterPair").field("at_second", &at_second).finish_non_exhaustive()
    }
}
