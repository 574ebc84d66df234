//! The stages that work on one item at a time, without waiting.

use core::task::{Context, Poll};

use tidegate_core::unwind::Foreign;

use crate::{
    debug::debug_by_name,
    error::BoxError,
    flow::{Counting, Flow, Item, Stage, StageId},
    pipeline::Pipeline,
};

/// What became of an item: a value for the next stage, nothing, or an error.
pub type Step<T> = Result<Option<T>, BoxError>;

/// A stage that works on one item at a time, without waiting. It holds no items.
pub struct Inline<S, F> {
    upstream: S,
    step: F,
    id: StageId,
}

debug_by_name!(Inline<S, F>);

impl<S, F, T> Stage for Inline<S, F>
where
    S: Stage,
    F: FnMut(S::Item) -> Step<T>,
{
    type Item = T;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> Poll<Option<Item<T>>> {
        loop {
            let Item { lineage, value } = match self.upstream.poll_next(cx, flow) {
                Poll::Ready(Some(item)) => item,
                nothing => {
                    flow.ledger.starved(self.id);
                    return nothing.map(|_| None);
                }
            };
            let (lineage, step) = flow.work(self.id, lineage, || (self.step)(value));
            match step {
                Ok(Some(value)) => return Poll::Ready(Some(Item { lineage, value })),
                Ok(None) => flow.ledger.skip(self.id, lineage),
                Err(error) => flow.ledger.fail(self.id, lineage, error),
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        self.upstream.drive(cx, flow);
    }
}

impl<'h, S: Stage, T> Pipeline<'h, S, T> {
    fn inline<F, U>(self, name: &'static str, step: F) -> Pipeline<'h, Inline<S, F>, T>
    where
        F: FnMut(S::Item) -> Step<U>,
    {
        let mut flow = self.then(name, 1, |upstream, id| Inline { upstream, step, id });
        flow.flow.ledger.meter(flow.stages.id).counting = Counting::Calls;
        flow
    }

    /// Adds a stage that turns each item into another.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let words = Pipeline::from_iter(["tide", "gate"]).map("measure", str::len);
    /// assert_eq!(words.collect().wait().unwrap(), [4, 4]);
    /// ```
    pub fn map<F, U>(
        self,
        name: &'static str,
        mut f: F,
    ) -> Pipeline<'h, Inline<S, impl FnMut(S::Item) -> Step<U>>, T>
    where
        F: FnMut(S::Item) -> U,
    {
        self.inline(name, move |item| Ok(Some(f(item))))
    }

    /// Adds a stage that turns each item into another by a function that can fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let run = Pipeline::from_iter(["1", "x"]).try_map("parse", str::parse::<i8>).run();
    /// let stopped = run.wait().unwrap_err();
    /// assert_eq!(stopped.error().unwrap().stage(), "parse");
    /// ```
    pub fn try_map<F, U, E>(
        self,
        name: &'static str,
        mut f: F,
    ) -> Pipeline<'h, Inline<S, impl FnMut(S::Item) -> Step<U>>, T>
    where
        F: FnMut(S::Item) -> Result<U, E>,
        E: Into<BoxError>,
    {
        self.inline(name, move |item| f(item).map(Some).map_err(Into::into))
    }

    /// Adds a stage that emits only those items for which `keep` returns true, and skips the
    /// others.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let odd = Pipeline::from_iter(0..6).filter("odd", |n| n % 2 == 1);
    /// assert_eq!(odd.collect().wait().unwrap(), [1, 3, 5]);
    /// ```
    pub fn filter<F>(
        self,
        name: &'static str,
        mut keep: F,
    ) -> Pipeline<'h, Inline<S, impl FnMut(S::Item) -> Step<S::Item>>, T>
    where
        F: FnMut(&S::Item) -> bool,
    {
        self.inline(name, move |item| {
            let item = Foreign::new(item);
            Ok(keep(&item).then(|| item.into_inner()))
        })
    }

    /// Adds a stage that calls a function with a reference to each item.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let mut sum = 0;
    /// Pipeline::from_iter(1..=4).inspect("add", |n| sum += n).run().wait().unwrap();
    /// assert_eq!(sum, 10);
    /// ```
    pub fn inspect<F>(
        self,
        name: &'static str,
        mut look: F,
    ) -> Pipeline<'h, Inline<S, impl FnMut(S::Item) -> Step<S::Item>>, T>
    where
        F: FnMut(&S::Item),
    {
        self.map(name, move |item| {
            let item = Foreign::new(item);
            look(&item);
            item.into_inner()
        })
    }

    /// Adds a stage that changes the items for which `applies` returns true, and emits the others
    /// as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_pipeline::{Pipeline, Wait};
    ///
    /// let numbers = Pipeline::from_iter([3, 8]);
    /// let halved = numbers.map_if("halve", |n| n % 2 == 0, |n| n / 2);
    /// assert_eq!(halved.collect().wait().unwrap(), [3, 4]);
    /// ```
    pub fn map_if<P, F>(
        self,
        name: &'static str,
        mut applies: P,
        mut f: F,
    ) -> Pipeline<'h, Inline<S, impl FnMut(S::Item) -> Step<S::Item>>, T>
    where
        P: FnMut(&S::Item) -> bool,
        F: FnMut(S::Item) -> S::Item,
    {
        self.map(name, move |item| {
            let item = Foreign::new(item);
            let applies = applies(&item);
            let item = item.into_inner();
            if applies { f(item) } else { item }
        })
    }
}
