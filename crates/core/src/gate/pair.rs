//! Two gates in a row are a gate.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Ending, Gate, Guarded, Outcome, Pass, SettleBy};
use crate::unwind;

/// Which gate of a pair refused, and why.
///
/// Not exhaustive: a later version may refuse a row for a reason of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairRefused<A, B> {
    /// The first gate. The second was not asked, or its pass was given back because the first would
    /// no longer let the caller in when the wait at the second was over.
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
    type Refused = PairRefused<A::Refused, B::Refused>;

    fn pause(&mut self) {
        self.0.pause();
        self.1.pause();
    }

    fn renew(&mut self) -> Result<(), Self::Refused> {
        self.0.renew().map_err(PairRefused::First)?;
        self.1.renew().map_err(PairRefused::Second)
    }

    fn settle(self, outcome: Outcome) {
        // The second pass is settled when it is dropped, so also if the first one panics.
        let second = Guarded::new(self.1, Ending::Settle(outcome));
        self.0.settle(outcome);
        second.end();
    }

    fn give_back(self) {
        let second = Guarded::new(self.1, Ending::GiveBack);
        self.0.give_back();
        second.end();
    }
}

/// Each pass is settled by the rule of its own gate.
impl<R: ?Sized, A: SettleBy<R>, B: SettleBy<R>> SettleBy<R> for (A, B) {
    fn outcome(&self, result: &R) -> Outcome {
        match (self.0.outcome(result), self.1.outcome(result)) {
            (Outcome::Failure, _) | (_, Outcome::Failure) => Outcome::Failure,
            (Outcome::Ignored, _) | (_, Outcome::Ignored) => Outcome::Ignored,
            (Outcome::Success, Outcome::Success) => Outcome::Success,
        }
    }

    fn settle_by(self, result: &R) {
        let second = SettledOnDrop { pass: Some(self.1), result };
        self.0.settle_by(result);
        second.end();
    }
}

/// A pass that its drop settles by a result, also while a panic unwinds.
struct SettledOnDrop<'r, R: ?Sized, P: SettleBy<R>> {
    // `None` only once it is settled.
    pass: Option<P>,
    result: &'r R,
}

impl<R: ?Sized, P: SettleBy<R>> SettledOnDrop<'_, R, P> {
    fn end(mut self) {
        if let Some(pass) = self.pass.take() {
            pass.settle_by(self.result);
        }
    }
}

impl<R: ?Sized, P: SettleBy<R>> Drop for SettledOnDrop<'_, R, P> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            // The first pass's rule has panicked. That panic goes on, also if the rule of this pass
            // panics.
            unwind::in_drop(|| pass.settle_by(self.result));
        }
    }
}

impl<A: Gate, B: Gate> Gate for (A, B) {
    type Pass = (A::Pass, B::Pass);
    type Refused = PairRefused<A::Refused, B::Refused>;
    type Enter = EnterPair<A, B>;

    fn try_enter(self) -> Result<Self::Pass, Self::Refused> {
        let first = self.0.try_enter().map_err(PairRefused::First)?;
        let first = Guarded::new(first, Ending::GiveBack);
        let second = self.1.try_enter().map_err(PairRefused::Second)?;
        Ok((first.into_pass(), second))
    }

    fn enter(self) -> Self::Enter {
        EnterPair { stage: Stage::First { enter: self.0.enter(), second: self.1 } }
    }
}

pin_project! {
    /// Future of the [`enter`](Gate::enter) of a pair of gates.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct EnterPair<A, B>
    where
        A: Gate,
        B: Gate,
    {
        #[pin]
        stage: Stage<A::Enter, A::Pass, B, B::Enter>,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `First` | the first gate has not answered | its answer |
    /// | `Second` | the first pass is held, the second gate has not answered | its answer |
    /// | `Done` | inside both, or refused | nothing |
    #[project = StageNow]
    #[project_replace = StageLeft]
    enum Stage<E, P: Pass, G, F> {
        First { #[pin] enter: E, second: G },
        Second { first: Guarded<P>, waited: bool, #[pin] enter: F },
        Done,
    }
}

impl<A: Gate, B: Gate> Future for EnterPair<A, B> {
    type Output = Result<(A::Pass, B::Pass), PairRefused<A::Refused, B::Refused>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        if let StageNow::First { enter, .. } = stage.as_mut().project() {
            let first = match ready!(enter.poll(cx)) {
                Ok(pass) => Guarded::new(pass, Ending::GiveBack),
                Err(refused) => {
                    stage.set(Stage::Done);
                    return Poll::Ready(Err(PairRefused::First(refused)));
                }
            };
            let StageLeft::First { second, .. } = stage.as_mut().project_replace(Stage::Done)
            else {
                unreachable!("it is at the first gate")
            };
            stage.set(Stage::Second { first, waited: false, enter: second.enter() });
        }
        let StageNow::Second { first, waited, enter } = stage.as_mut().project() else {
            panic!("polled after it was ready");
        };
        let Poll::Ready(second) = enter.poll(cx) else {
            if !*waited {
                *waited = true;
                first.pause();
            }
            return Poll::Pending;
        };
        let second = second.map(|pass| Guarded::new(pass, Ending::GiveBack));
        let StageLeft::Second { mut first, waited, .. } =
            stage.as_mut().project_replace(Stage::Done)
        else {
            unreachable!("it is at the second gate")
        };
        // If the second gate refuses, the first pass is given back here, however long this future
        // lives on.
        let second = second.map_err(PairRefused::Second)?;
        if waited {
            first.renew().map_err(PairRefused::First)?;
        }
        Poll::Ready(Ok((first.into_pass(), second.into_pass())))
    }
}

impl<A: Gate, B: Gate> fmt::Debug for EnterPair<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::First { .. } => "at the first",
            Stage::Second { .. } => "at the second",
            Stage::Done => "done",
        };
        f.debug_struct("EnterPair").field("stage", &stage).finish_non_exhaustive()
    }
}
