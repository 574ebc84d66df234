//! One computation for all callers that ask for the same key at the same time; its result is
//! shared, and not kept.
//!
//! ```text
//! enter    run(key, future): nothing happens before the first poll
//! join     the flight of the key's hash, whose turnstile admits one at a time, in order
//!           ├─ inside: lead.  poll the future, with no lock held
//!           │                  ├─ ready ─▶ share key and result, if others wait ─▶ closed
//!           │                  └─ a panic, a drop ─▶ leave the turnstile: the next leads
//!           ├─ waiting.       woken when the flight is over, or it is this caller's turn
//!           └─ closed: with this key ─▶ a clone of the result
//!                      with another key of the same hash ─▶ join
//! leave    with the result
//! ```

use core::{
    fmt,
    future::{Future, IntoFuture},
    hash::{BuildHasher, Hash},
    mem,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
#[cfg(target_has_atomic = "ptr")]
use tidegate_core::primitive::Arc;
use tidegate_core::unwind::{Foreign, contain};

use crate::{
    flights::{Flights, HasFlights, Member},
    hasher::DefaultHashBuilder,
};

/// Makes callers that ask for the same key at the same time share one computation: what Go calls a
/// single flight.
///
/// The result is not kept: a caller that comes after the computation has ended computes again. For
/// a result that is kept use
/// [`ConcurrentMap::get_or_try_insert_async`](crate::ConcurrentMap::get_or_try_insert_async).
///
/// A computation for which nobody else waits costs an allocation and two short locks.
///
/// # Which caller computes
///
/// The first caller to be polled *leads*: its own future is polled, with no lock held. Callers of
/// an equal key that come while it works wait, and each gets a clone of its result, errors
/// included. If the leader panics or is dropped, the next waiter leads, and polls its own future.
///
/// # Deadlocks
///
/// A leader that is neither polled nor dropped blocks its key, and every key of the same 64-bit
/// hash. So does a future that asks for such a key itself. A time limit on the returned future
/// ([`or_timeout`](tidegate_core::Wait::or_timeout)) ends that.
///
/// # Examples
///
/// ```
/// use std::{sync::atomic::{AtomicU32, Ordering}, thread, time::Duration};
/// use tidegate_concurrent_map::Flight;
/// use tidegate_core::{SystemClock, Timer, Wait};
///
/// let (flight, fetches) = (Flight::new(), AtomicU32::new(0));
/// let fetch = async || {
///     fetches.fetch_add(1, Ordering::Relaxed);
///     SystemClock.sleep(Duration::from_millis(200)).await;
///     Ok::<_, String>("a page")
/// };
/// thread::scope(|s| {
///     for _ in 0..8 {
///         s.spawn(|| assert_eq!(flight.run("/", fetch()).wait(), Ok("a page")));
///     }
/// });
/// assert!(fetches.into_inner() < 8);
/// ```
pub struct Flight<K, T, S = DefaultHashBuilder> {
    flights: Flights<Landed<K, T>>,
    hasher: S,
}

/// A result, with the key that was computed: keys of one hash share a flight, but no result.
struct Landed<K, T> {
    key: K,
    result: T,
}

impl<K, T> Flight<K, T> {
    /// Creates a flight without computations. Does not allocate.
    pub fn new() -> Self {
        Self::with_hasher(DefaultHashBuilder::default())
    }
}

impl<K, T, S> Flight<K, T, S> {
    /// Creates a flight without computations, with a hasher of the caller's choice.
    pub fn with_hasher(hasher: S) -> Self {
        Self { flights: Flights::new(), hasher }
    }
}

impl<K: Hash + Eq, T: Clone, S: BuildHasher> Flight<K, T, S> {
    /// Returns what `future` computes, or what the future of an earlier caller of an equal key
    /// computes, if that has not ended yet. Tasks await it, threads [wait](tidegate_core::Wait) for
    /// it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future drops `future` and then, if it led, hands the lead to the next
    /// waiter.
    ///
    /// # Panics
    ///
    /// Panics of `future` are passed on. If the clone of a result panics, so does the call that
    /// clones.
    pub fn run<F>(&self, key: K, future: F) -> Run<'_, K, T, S, F::IntoFuture>
    where
        F: IntoFuture<Output = T>,
    {
        Run { call: Call::new(self, key, future.into_future()) }
    }

    /// Does what [`run`](Self::run) does, by a future that keeps the flight alive and so can be
    /// spawned.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate_concurrent_map::Flight;
    /// use tidegate_core::Wait;
    ///
    /// let flight = Arc::new(Flight::new());
    /// let page = smol::spawn(flight.clone().run_owned("/", async { 7 }));
    /// assert_eq!(page.wait(), 7);
    /// ```
    #[cfg(target_has_atomic = "ptr")]
    pub fn run_owned<F>(self: Arc<Self>, key: K, future: F) -> RunOwned<K, T, S, F::IntoFuture>
    where
        F: IntoFuture<Output = T>,
    {
        RunOwned { call: Call::new(self, key, future.into_future()) }
    }
}

impl<K, T, S> HasFlights<Landed<K, T>> for &Flight<K, T, S> {
    fn flights(&self) -> &Flights<Landed<K, T>> {
        &self.flights
    }
}

#[cfg(target_has_atomic = "ptr")]
impl<K, T, S> HasFlights<Landed<K, T>> for Arc<Flight<K, T, S>> {
    fn flights(&self) -> &Flights<Landed<K, T>> {
        &self.flights
    }
}

impl<K, T, S: Default> Default for Flight<K, T, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, T, S> fmt::Debug for Flight<K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("in_flight", &self.flights.len()).finish_non_exhaustive()
    }
}

pin_project! {
    /// A call of `run` or `run_owned`: `R` is a reference or a handle of its flight.
    struct Call<R, K, T, F>
    where
        R: HasFlights<Landed<K, T>>,
    {
        flight: R,
        // `None` once it was shared.
        key: Option<K>,
        // `None` once it has ended. Stands before `stage`, so that it is dropped before the lead is
        // handed over.
        #[pin]
        future: Option<F>,
        stage: Stage<R, K, T>,
    }
}

enum Stage<R: HasFlights<Landed<K, T>>, K, T> {
    Fresh,
    Waiting(Member<R, Landed<K, T>>),
    Leads(Member<R, Landed<K, T>>),
    Done,
}

/// The panic message of a poll after the last one, which has returned the result or panicked.
const HELD: &str = "polled after it was ready";

impl<R, K, T, F> Call<R, K, T, F>
where
    R: HasFlights<Landed<K, T>>,
{
    fn new(flight: R, key: K, future: F) -> Self {
        Self { flight, key: Some(key), future: Some(future), stage: Stage::Fresh }
    }
}

impl<R, K, T, S, F> Future for Call<R, K, T, F>
where
    R: HasFlights<Landed<K, T>> + Deref<Target = Flight<K, T, S>> + Clone,
    K: Hash + Eq,
    T: Clone,
    S: BuildHasher,
    F: Future<Output = T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut this = self.project();
        loop {
            // While foreign code runs, the member is in a local variable: a panic drops it, which
            // hands the lead over.
            match mem::replace(this.stage, Stage::Done) {
                Stage::Fresh => {
                    let hash = this.flight.hasher.hash_one(this.key.as_ref().expect(HELD));
                    *this.stage = Stage::Waiting(Member::join(this.flight.clone(), hash));
                }
                Stage::Waiting(mut member) => {
                    *this.stage = match member.poll_lead(cx) {
                        Poll::Ready(Ok(())) => Stage::Leads(member),
                        Poll::Ready(Err(_closed)) => {
                            let key = this.key.as_ref().expect(HELD);
                            let landed = member.outcome().filter(|landed| landed.key == *key);
                            let result = landed.map(|landed| Foreign::new(landed.result.clone()));
                            // Dropped here: the last member drops what was shared, which may panic.
                            // If it panicked at the end of the poll, the result would leak.
                            drop(member);
                            match result {
                                Some(result) => return Poll::Ready(result.into_inner()),
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
                    let Poll::Ready(result) = future.poll(cx) else {
                        *this.stage = Stage::Leads(member);
                        return Poll::Pending;
                    };
                    let result = Foreign::new(result);
                    // The future has ended, and a panic of its destructor must not lose the result.
                    contain(|| this.future.as_mut().set(None));
                    // Without waiters, or if the clone panics, the flight is left when `member` is
                    // dropped.
                    if member.has_waiters() {
                        let shared = T::clone(&result);
                        member.share(Landed { key: this.key.take().expect(HELD), result: shared });
                    } else {
                        drop(member);
                    }
                    return Poll::Ready(result.into_inner());
                }
                Stage::Done => panic!("{HELD}"),
            }
        }
    }
}

impl<R, K, T, F> fmt::Debug for Call<R, K, T, F>
where
    R: HasFlights<Landed<K, T>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, leads) =
            (matches!(self.stage, Stage::Waiting(_)), matches!(self.stage, Stage::Leads(_)));
        f.debug_struct("Run")
            .field("waiting", &waiting)
            .field("leads", &leads)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Flight::run`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    #[derive(Debug)]
    pub struct Run<'a, K, T, S, F> {
        #[pin]
        call: Call<&'a Flight<K, T, S>, K, T, F>,
    }
}

impl<K, T, S, F> Future for Run<'_, K, T, S, F>
where
    K: Hash + Eq,
    T: Clone,
    S: BuildHasher,
    F: Future<Output = T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.project().call.poll(cx)
    }
}

#[cfg(target_has_atomic = "ptr")]
pin_project! {
    /// Future of [`Flight::run_owned`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    #[derive(Debug)]
    pub struct RunOwned<K, T, S, F> {
        #[pin]
        call: Call<Arc<Flight<K, T, S>>, K, T, F>,
    }
}

#[cfg(target_has_atomic = "ptr")]
impl<K, T, S, F> Future for RunOwned<K, T, S, F>
where
    K: Hash + Eq,
    T: Clone,
    S: BuildHasher,
    F: Future<Output = T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.project().call.poll(cx)
    }
}
