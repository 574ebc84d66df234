//! Single flight: concurrent callers of one absent key share one computation.
//!
//! ```text
//! enter      get_or_try_insert_async(key, future): nothing happens before the first poll
//! fast path  get(key) ── there: a clone; the future is never polled
//!             │ absent
//! join       the flight of the key's hash, whose turnstile admits one at a time, in order
//!             │
//! check      get(key) ── there: a clone; the leader completes the flight
//!             │ absent
//!             ├─ inside: lead.  poll the future, with no lock held
//!             │                  ├─ Ok ─▶ insert, unless a value is there
//!             │                  │        ─▶ complete: no entry, turnstile closed
//!             │                  ├─ Err ─▶ fail: the same, with key and error in the flight
//!             │                  └─ a panic, a drop ─▶ leave the turnstile
//!             ├─ waiting.       woken when the flight is over (all)
//!             │                  or the leader leaves (the next) ─▶ check
//!             └─ closed: failed, with this key and this type of error ─▶ a clone of that
//!                        else (the value was removed, or was another key's) ─▶ join
//! leave      with a clone of the value, or with an error
//! ```
//!
//! No caller misses the end of a flight: the value is in the map before the flight's entry is
//! removed, and the error in the flight before its turnstile is closed. A caller that joins before
//! the entry is removed is woken, or finds the turnstile closed. A caller that joins later begins
//! another flight, and finds the value, if one was inserted, when it checks again.
//!
//! A flight is found by its hash alone, so different keys of one hash share a flight. They never
//! share a value, which the map finds by its key, nor an error, which is shared together with its
//! key.

use core::{
    any::Any,
    fmt,
    future::{Future, IntoFuture},
    hash::{BuildHasher, Hash},
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use pin_project_lite::pin_project;
use tidegate_core::unwind::{Foreign, contain};

use super::ConcurrentMap;
use crate::flights::{self, Flights};

/// What a computation has failed with, for the waiters.
pub(super) struct Failure<K> {
    /// The key that was computed: keys of one hash share a flight, but no error.
    key: K,
    error: Box<dyn Any + Send + Sync>,
}

type Member<'a, K> = flights::Member<&'a Flights<Failure<K>>, Failure<K>>;

/// The panic message of a poll after the last one, which has returned the result or panicked.
const HELD: &str = "polled after it was ready";

impl<K: Hash + Eq, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Returns a clone of the value of `key`, computed by `future` if there is none. If several
    /// callers ask for an absent key at the same time, one of them computes the value, and the
    /// others wait for its result.
    ///
    /// Use it for what is slow or may fail: a fetch, a query. `future` runs with no lock held and
    /// may use the map. It is not polled at all if the value is there, or if another caller's
    /// future computes it. For a value that is computed quickly and without waiting use
    /// [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// Tasks await the returned future, and threads [wait](tidegate_core::Wait) for it; both may do
    /// so for one key. A key that is there costs a [`get`](Self::get); an absent one is looked up
    /// three times, and has one small allocation while it is computed.
    ///
    /// # Which caller computes
    ///
    /// The first caller to be polled *leads*: its own future is polled. The result is for all
    /// callers that wait by then: a value wakes all of them, and so does an error, of which each
    /// gets a clone. If five callers wait for a request that fails after 30 s, all five have failed
    /// after 30 s. A later caller computes again: errors are not kept. If the leader's future
    /// panics, or is dropped with the returned one, there is no result: the next waiter leads, and
    /// polls its own future.
    ///
    /// An error is shared among callers of equal keys whose errors are of one type. A waiter with
    /// another type of error starts anew when the leader has failed. Put what concerns one caller
    /// alone, such as its time limit, around the returned future, and not into `future`. An error
    /// that cannot be cloned goes into an `Arc`.
    ///
    /// The leader's value is inserted unless another method has inserted one meanwhile; in that
    /// case the other value stays, all callers get it, and the leader's is dropped. A waiter finds
    /// such a value when the leader has ended, or when it is polled for another reason. A value
    /// that is removed before a waiter has checked is computed again, by a new leader.
    ///
    /// Keys whose 64-bit hashes are equal wait for one another, but never get each other's value.
    ///
    /// # Deadlocks
    ///
    /// A leader that is neither polled nor dropped blocks its key for all callers of this method.
    /// So does a `future` that calls this method for the very key it computes (or one of the same
    /// hash), directly or in a circle of several: it waits for itself. A time limit on `future` or
    /// on the returned future ([`or_timeout`](tidegate_core::Wait::or_timeout)) ends that.
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future drops `future` and then, if it led, hands the lead to the next
    /// waiter. If a waiter is dropped that was woken to lead, the next one is woken.
    ///
    /// # Errors
    ///
    /// The error of `future`, if this call led; else the error of the leader's future, if that
    /// failed while this call waited for it.
    ///
    /// # Panics
    ///
    /// Panics of `future` are passed on. If the clone of an error panics, so does the call that
    /// clones. The leader clones first: if its clone panics, no other caller gets the error, and
    /// the next waiter leads.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use tidegate_concurrent_map::ConcurrentMap;
    /// use tidegate_core::Wait;
    ///
    /// let pages = ConcurrentMap::new();
    /// let fetch = |url: &'static str| pages.get_or_try_insert_async(url, async move {
    ///     if url.starts_with('/') { Ok(url.len()) } else { Err("not a path") }
    /// });
    /// thread::scope(|s| {
    ///     s.spawn(|| assert_eq!(fetch("/a").wait(), Ok(2)));
    ///     s.spawn(|| assert_eq!(fetch("/a").wait(), Ok(2)));
    /// });
    /// assert_eq!(fetch("b").wait(), Err("not a path"));
    /// assert_eq!(pages.keys(), ["/a"]);
    /// ```
    ///
    /// A future that cannot fail says so by the type of its error:
    ///
    /// ```
    /// # use tidegate_concurrent_map::ConcurrentMap;
    /// # use tidegate_core::Wait;
    /// use std::convert::Infallible;
    ///
    /// let squares = ConcurrentMap::new();
    /// let nine = async { Ok::<_, Infallible>(3 * 3) };
    /// let Ok(nine) = squares.get_or_try_insert_async(3, nine).wait();
    /// assert_eq!((nine, squares.get(&3)), (9, Some(9)));
    /// ```
    #[inline]
    pub fn get_or_try_insert_async<F, E>(
        &self,
        key: K,
        future: F,
    ) -> GetOrTryInsert<'_, K, V, S, F::IntoFuture>
    where
        F: IntoFuture<Output = Result<V, E>>,
        V: Clone,
        E: Clone + Send + Sync + 'static,
    {
        let (key, future) = (Some(key), Some(future.into_future()));
        GetOrTryInsert { map: self, key, future, stage: Stage::Fresh }
    }
}

pin_project! {
    /// Future of [`ConcurrentMap::get_or_try_insert_async`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct GetOrTryInsert<'a, K, V, S, F> {
        map: &'a ConcurrentMap<K, V, S>,
        // `None` once it was inserted, or shared with an error.
        key: Option<K>,
        // `None` once it has ended. Stands before `stage`, so that it is dropped before the lead is
        // handed over.
        #[pin]
        future: Option<F>,
        stage: Stage<'a, K>,
    }
}

enum Stage<'a, K> {
    Fresh,
    Waiting(Member<'a, K>),
    Leads(Member<'a, K>),
    Done,
}

impl<K, V, S, F, E> Future for GetOrTryInsert<'_, K, V, S, F>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
    F: Future<Output = Result<V, E>>,
    E: Clone + Send + Sync + 'static,
{
    type Output = Result<V, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Fresh = self.stage {
            if let Some(value) = self.map.get(self.key.as_ref().expect(HELD)) {
                *self.project().stage = Stage::Done;
                return Poll::Ready(Ok(value));
            }
        }
        self.poll_slow(cx)
    }
}

impl<K, V, S, F, E> GetOrTryInsert<'_, K, V, S, F>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
    F: Future<Output = Result<V, E>>,
    E: Clone + Send + Sync + 'static,
{
    /// Goes on after the first check, which has found no value.
    #[cold]
    fn poll_slow(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V, E>> {
        let mut this = self.project();
        let map: &ConcurrentMap<K, V, S> = this.map;
        loop {
            // While foreign code runs, the member is in a local variable: a panic drops it, which
            // hands the lead over.
            match mem::replace(this.stage, Stage::Done) {
                Stage::Fresh => {
                    let hash = map.hash(this.key.as_ref().expect(HELD));
                    *this.stage = Stage::Waiting(Member::join(&map.flights, hash));
                }
                Stage::Waiting(mut member) => {
                    let turn = member.poll_lead(cx);
                    let key = this.key.as_ref().expect(HELD);
                    if let Some(value) = map.get(key) {
                        let value = Foreign::new(value);
                        if turn == Poll::Ready(Ok(())) {
                            member.complete();
                        }
                        return Poll::Ready(Ok(value.into_inner()));
                    }
                    *this.stage = match turn {
                        Poll::Ready(Ok(())) => Stage::Leads(member),
                        Poll::Ready(Err(_closed)) => {
                            match member.outcome().and_then(|failure| error_of(&failure, key)) {
                                Some(error) => return Poll::Ready(Err(error)),
                                None => Stage::Fresh,
                            }
                        }
                        Poll::Pending => {
                            *this.stage = Stage::Waiting(member);
                            return Poll::Pending;
                        }
                    };
                }
                Stage::Leads(member) => {
                    let future = this.future.as_mut().as_pin_mut().expect(HELD);
                    let Poll::Ready(computed) = future.poll(cx) else {
                        *this.stage = Stage::Leads(member);
                        return Poll::Pending;
                    };
                    // The future has ended, and a panic of its destructor must not lose the result.
                    contain(|| this.future.as_mut().set(None));
                    return Poll::Ready(end_flight(map, member, this.key, computed));
                }
                Stage::Done => panic!("{HELD}"),
            }
        }
    }
}

/// Ends a flight with what its leader has computed: inserts the value, or shares the error.
fn end_flight<K: Hash + Eq, V: Clone, S: BuildHasher, E: Clone + Send + Sync + 'static>(
    map: &ConcurrentMap<K, V, S>,
    leader: Member<'_, K>,
    key: &mut Option<K>,
    computed: Result<V, E>,
) -> Result<V, E> {
    match computed {
        Ok(value) => {
            let key = key.take().expect(HELD);
            let value = Foreign::new(map.get_or_insert_with(key, || value));
            leader.complete();
            Ok(value.into_inner())
        }
        Err(error) => {
            // The error is shared with the waiters. Without waiters, or if the clone panics, the
            // flight is left when `leader` is dropped.
            let error = Foreign::new(error);
            if leader.has_waiters() {
                let shared = Box::new(E::clone(&error));
                let key = key.take().expect(HELD);
                leader.share(Failure { key, error: shared });
            }
            Err(error.into_inner())
        }
    }
}

/// Returns a clone of the failure's error; `None` if it is about another key or of another type.
fn error_of<K: Eq, E: Clone + 'static>(failure: &Failure<K>, key: &K) -> Option<E> {
    let error = failure.error.downcast_ref::<E>()?;
    (failure.key == *key).then(|| error.clone())
}

impl<K, V, S, F> fmt::Debug for GetOrTryInsert<'_, K, V, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, leads) =
            (matches!(self.stage, Stage::Waiting(_)), matches!(self.stage, Stage::Leads(_)));
        f.debug_struct("GetOrTryInsert")
            .field("waiting", &waiting)
            .field("leads", &leads)
            .finish_non_exhaustive()
    }
}
