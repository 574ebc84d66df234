//! A handler that gives items of a batch with equal keys one result.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::{collections::BTreeMap, vec::Vec};

use pin_project_lite::pin_project;

use crate::{
    handler::Handler,
    unwind::{DropEach, Foreign, drop_each, shielded},
};

/// A handler that passes on to another handler only the first of several items with equal keys: see
/// [`Handler::dedupe_by_key`].
pub struct Deduped<H, F> {
    handler: H,
    key: F,
}

impl<H, F> Deduped<H, F> {
    pub(crate) const fn new(handler: H, key: F) -> Self {
        Self { handler, key }
    }
}

impl<T, K, H, F> Handler<T> for Deduped<H, F>
where
    H: Handler<T>,
    H::Output: Clone,
    F: FnMut(&T) -> K,
    K: Ord,
{
    type Output = H::Output;
    type Error = H::Error;
    type Run = RunDeduped<H::Run>;

    fn start(&mut self, items: Vec<T>) -> Self::Run {
        let sent = items.len();
        // Items and keys are foreign. If foreign code panics below, each of those that are held is
        // still dropped, on its own.
        let mut items = DropEach::new(items.into_iter());
        let mut unique = DropEach::new(Vec::with_capacity(sent));
        let mut firsts = DropEach::new(BTreeMap::new());
        let mut places = Vec::with_capacity(sent);
        while let Some(item) = items.next().map(Foreign::new) {
            let key = DropEach::new(Some((self.key)(&item)));
            let place = *firsts.entry(key).or_insert(unique.len());
            places.push(place);
            if place == unique.len() {
                unique.push(item.into_inner());
            } else {
                shielded(|| drop(item));
            }
        }
        let equals = (unique.len() < sent).then_some(Equals { places, unique: unique.len() });
        RunDeduped { run: self.handler.start(unique.into_inner()), equals }
    }

    fn is_transient(&self, error: &H::Error) -> bool {
        self.handler.is_transient(error)
    }
}

impl<H: fmt::Debug, F> fmt::Debug for Deduped<H, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deduped").field(&self.handler).finish()
    }
}

pin_project! {
    /// Future of the work on a batch without its duplicates.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct RunDeduped<Run> {
        #[pin]
        run: Run,
        // `None` if no two keys were equal: then the wrapped handler gives one result per item.
        equals: Option<Equals>,
    }
}

/// Which items of a batch had equal keys.
struct Equals {
    /// For each item of the batch, the index of its result among those of the wrapped handler.
    places: Vec<usize>,
    /// How many items the wrapped handler got.
    unique: usize,
}

impl Equals {
    /// Returns a result for each item. A wrong number of results stays wrong, so that the batch
    /// fails: surplus results are appended, and items whose result is missing get none.
    fn spread<R: Clone>(&self, results: Vec<R>) -> Vec<R> {
        let (results, mut spread) = (DropEach::new(results), DropEach::new(Vec::new()));
        spread.extend(self.places.iter().filter_map(|place| results.get(*place).cloned()));
        let mut results = DropEach::new(results.into_inner().into_iter());
        drop_each(results.by_ref().take(self.unique));
        spread.extend(results.by_ref());
        spread.into_inner()
    }
}

impl<R, E, Run> Future for RunDeduped<Run>
where
    R: Clone,
    Run: Future<Output = Result<Vec<R>, E>>,
{
    type Output = Result<Vec<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let results = ready!(this.run.poll(cx));
        Poll::Ready(match this.equals {
            Some(equals) => results.map(|results| equals.spread(results)),
            None => results,
        })
    }
}

impl<Run> fmt::Debug for RunDeduped<Run> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunDeduped").finish_non_exhaustive()
    }
}
