//! The code that processes a batch.

use core::{
    fmt,
    future::{Future, Ready, ready},
};

use alloc::vec::Vec;

use crate::dedupe::Deduped;

/// Processes batches. The builder's `build` methods make a handler of your function.
///
/// Implement it for a handler with a name or a state of its own; see
/// [`Builder::build_with`](crate::Builder::build_with).
///
/// # Examples
///
/// ```
/// use core::{convert::Infallible, future::{Ready, ready}};
/// use tidegate_batch_processor::{Batcher, Handler, Wait};
///
/// /// Numbers items in the order in which they come.
/// struct Numbering(u64);
///
/// impl Handler<char> for Numbering {
///     type Output = u64;
///     type Error = Infallible;
///     type Run = Ready<Result<Vec<u64>, Infallible>>;
///
///     fn start(&mut self, items: Vec<char>) -> Self::Run {
///         let first = self.0;
///         self.0 += items.len() as u64;
///         ready(Ok((first..self.0).collect()))
///     }
/// }
///
/// let (batcher, driver) = Batcher::builder().max_items(1).build_with(Numbering(7))?;
/// let thread = std::thread::spawn(|| driver.wait());
/// assert_eq!(batcher.submit('a').wait().unwrap(), 7);
/// assert_eq!(batcher.submit('b').wait().unwrap(), 8);
/// # drop(batcher);
/// # thread.join().unwrap();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
pub trait Handler<T> {
    /// The result of one item: a `Result` if single items can fail.
    type Output;

    /// The error of a batch that fails as a whole.
    type Error;

    /// The future of the work on one batch.
    type Run: Future<Output = Result<Vec<Self::Output>, Self::Error>>;

    /// Starts the work on a batch of at least one item. The future must return one result for each
    /// item, in the order of the items.
    fn start(&mut self, items: Vec<T>) -> Self::Run;

    /// Returns whether a batch that failed with `error` may succeed later: only then does
    /// [`Builder::retry`](crate::Builder::retry) try it again. By default it returns true.
    fn is_transient(&self, error: &Self::Error) -> bool {
        let _ = error;
        true
    }

    /// Lets items of a batch with equal keys share one result: the handler gets the first of these
    /// items, the others are dropped, and each of their callers gets a clone of the result.
    ///
    /// Nothing is remembered from one batch to the next. Dropped items still count for the size of
    /// their batch. It costs the sorting of the keys and, in a batch with equal keys, a clone of
    /// the result for each item.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, Blocking, Handler, Wait};
    ///
    /// let mut asked = 0;
    /// let load = move |ids: Vec<u32>| {
    ///     asked += ids.len();
    ///     Ok::<_, ()>(ids.iter().map(|id| format!("user {id}, {asked} asked for")).collect())
    /// };
    /// let (batcher, driver) = Batcher::builder()
    ///     .max_items(3)
    ///     .build_with(Blocking::new(load).dedupe_by_key(|id: &u32| *id))?;
    /// let driver = std::thread::spawn(|| driver.wait());
    /// let replies = [7, 8, 7].map(|id| batcher.try_submit(id).unwrap());
    /// let users = replies.map(|reply| reply.wait().unwrap());
    /// assert_eq!(users[0], "user 7, 2 asked for");
    /// assert_eq!(users[2], users[0]);
    /// # drop(batcher);
    /// # driver.join().unwrap();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    fn dedupe_by_key<K, F>(self, key: F) -> Deduped<Self, F>
    where
        Self: Sized,
        Self::Output: Clone,
        F: FnMut(&T) -> K,
        K: Ord,
    {
        Deduped::new(self, key)
    }
}

/// A handler that calls a function, which returns the results.
#[derive(Clone, Copy)]
pub struct Blocking<F>(F);

impl<F> Blocking<F> {
    /// Creates the handler. The function runs in the driver's poll and may block if the driver has
    /// a thread of its own.
    pub const fn new(function: F) -> Self {
        Self(function)
    }
}

impl<T, R, E, F> Handler<T> for Blocking<F>
where
    F: FnMut(Vec<T>) -> Result<Vec<R>, E>,
{
    type Output = R;
    type Error = E;
    type Run = Ready<Result<Vec<R>, E>>;

    fn start(&mut self, items: Vec<T>) -> Self::Run {
        ready((self.0)(items))
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking(..)")
    }
}

/// A handler that calls a function, which returns a future of the results.
#[derive(Clone, Copy)]
pub struct Async<F>(F);

impl<F> Async<F> {
    /// Creates the handler. The driver polls the function's future.
    pub const fn new(function: F) -> Self {
        Self(function)
    }
}

impl<T, R, E, F, Fut> Handler<T> for Async<F>
where
    F: FnMut(Vec<T>) -> Fut,
    Fut: Future<Output = Result<Vec<R>, E>>,
{
    type Output = R;
    type Error = E;
    type Run = Fut;

    fn start(&mut self, items: Vec<T>) -> Fut {
        (self.0)(items)
    }
}

impl<F> fmt::Debug for Async<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Async(..)")
    }
}
