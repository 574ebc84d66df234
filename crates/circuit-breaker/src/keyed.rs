//! A breaker per key.

use core::{fmt, hash::Hash, num::NonZeroUsize};

use alloc::{borrow::ToOwned, vec::Vec};

use tidegate_concurrent_map::{Equivalent, Keyed, TooManyKeys};
use tidegate_core::{
    BuildError, Clock, Gate, SystemClock,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    wake_list::each,
};

use crate::{
    breaker::Breaker, breaker_settings::BreakerSettings, builder::Builder, classifier::ByResult,
    error::KeyRefused, hook::Hook, observer::Observer, open_limit::OpenLimit, owned::OwnedFailFast,
    owned_pass::OwnedPass, settings::Settings, state::State,
};

/// A breaker for each key (a host, a tenant, a shard), made on first use, for no more than
/// `max_keys` of them.
///
/// When there are `max_keys` breakers, a new key evicts one that no caller holds and that would
/// refuse no call now: it is closed or half-open, or open with its open time over. What that
/// breaker remembered (failures that did not suffice to trip, how often it tripped, its stats) is
/// forgotten with it. No new key evicts a breaker that refuses, or that was forced into its state.
/// So choose `max_keys` above the number of keys that are in use within an open time.
///
/// Finding a breaker costs one lock, shared with few other keys, and an increment of an `Arc`'s
/// count; a caller that uses the same key again and again should keep the `Arc`. Without its window
/// a breaker takes a few hundred bytes, and a cache line or two for each thread that can run at
/// once; the crate's `tests/memory.rs` counts them.
///
/// # Examples
///
/// ```
/// use core::{num::NonZeroUsize, time::Duration};
/// use tidegate_circuit_breaker::{Breaker, KeyedBreaker, State, TripRule};
///
/// let max_hosts = NonZeroUsize::new(10_000).unwrap();
/// let settings = Breaker::builder().trip_on(TripRule::consecutive(2));
/// let hosts = KeyedBreaker::<String>::new(max_hosts, settings)?;
///
/// for _ in 0..2 {
///     hosts.gate("down.example")?.call(|| Err::<(), _>("connection refused")).unwrap().unwrap_err();
/// }
/// assert!(hosts.gate("down.example")?.try_enter().is_err());
/// assert!(hosts.gate("up.example")?.try_enter().is_ok());
/// assert_eq!(hosts.state("down.example"), State::Open);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeyedBreaker<K, C = SystemClock, O = (), J = ByResult> {
    breakers: Keyed<K, Arc<Breaker<C, O, J>>>,
    make: Hook<K, Breaker<C, O, J>>,
    // `None`: all of the breakers may be open.
    open_limit: Option<Arc<OpenLimit>>,
    /// The settings of all breakers; `None` until they are changed. A lock within those of a shard
    /// and of a breaker's schedule.
    later: Lock<Option<Arc<Settings>>>,
}

impl<K, C, O, J> KeyedBreaker<K, C, O, J>
where
    K: Hash + Eq,
    C: Clock,
    O: Observer,
{
    /// Creates an empty registry whose breakers are all built by `builder`, each with its own clone
    /// of the clock and of the observer, and with a seed of its own.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of range.
    pub fn new(max_keys: NonZeroUsize, builder: Builder<C, O, J>) -> Result<Self, BuildError>
    where
        C: Clone + Send + Sync + 'static,
        O: Clone + Send + Sync + 'static,
        J: Clone + Send + Sync + 'static,
    {
        builder.settings.check()?;
        let (make, made) = (builder.into_factory(), AtomicU64::new(0));
        // ORDERING: Relaxed: it matters only that the numbers differ.
        Ok(Self::from_fn(max_keys, move |_| make(made.fetch_add(1, Ordering::Relaxed))))
    }

    /// Creates an empty registry whose breakers are made by `make` from their keys: with settings,
    /// or an observer, that depend on the key.
    ///
    /// `make` runs under a lock of the registry: it must be short and must not call the registry.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_circuit_breaker::{Breaker, KeyedBreaker, Observer, Transition};
    ///
    /// struct Log {
    ///     host: String,
    /// }
    ///
    /// impl Observer for Log {
    ///     fn on_trip(&self, trip: &Transition) {
    ///         println!("{}: open for {:?}", self.host, trip.open_for.unwrap());
    ///     }
    /// }
    ///
    /// let hosts = KeyedBreaker::from_fn(NonZeroUsize::new(100).unwrap(), |host: &String| {
    ///     Breaker::builder().observer(Log { host: host.clone() }).build().expect("defaults are valid")
    /// });
    /// assert!(hosts.gate("example.org")?.try_enter().is_ok());
    /// # Ok::<(), tidegate_circuit_breaker::TooManyKeys>(())
    /// ```
    pub fn from_fn(
        max_keys: NonZeroUsize,
        make: impl Fn(&K) -> Breaker<C, O, J> + Send + Sync + 'static,
    ) -> Self {
        let (breakers, make) = (Keyed::new(max_keys), Hook::new(make));
        Self { breakers, make, open_limit: None, later: Lock::default() }
    }

    /// Lets no more than `ratio` of the breakers be open at once; `ratio` must be above 0 and at
    /// most 1. Default: all of them.
    ///
    /// If half of the hosts fail at the same time, the fault is more likely on the caller's side of
    /// the network, and refusing everything helps no caller. A trip that would exceed the limit is
    /// only observed: it is counted, and [`Observer::on_trip`] is called with [`State::Closed`] as
    /// the new state; the breaker is closed and counts afresh.
    ///
    /// The limit is `ratio` times the number of breakers at the time of the trip, rounded down, and
    /// at least one breaker. Only breakers whose open time runs count as open: neither those whose
    /// time is over, nor those that are half-open or forced. The limit is checked only when a
    /// breaker trips, so more may be open after other breakers were forgotten.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `ratio` is out of range.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, time::Duration};
    /// use tidegate_circuit_breaker::{Breaker, KeyedBreaker, State};
    ///
    /// let shards = KeyedBreaker::<u32>::new(NonZeroUsize::new(9).unwrap(), Breaker::builder())?
    ///     .max_open_ratio(0.5)?;
    /// for shard in 0..4 {
    ///     shards.gate(&shard)?;
    /// }
    /// for shard in 0..4 {
    ///     shards.gate(&shard)?.try_enter().unwrap().failure_open_for(Duration::from_secs(60));
    /// }
    /// let states = [0, 1, 2, 3].map(|shard| shards.state(&shard));
    /// assert_eq!(states, [State::Open, State::Open, State::Closed, State::Closed]);
    /// assert_eq!(shards.gate(&3)?.stats().trips, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_open_ratio(mut self, ratio: f64) -> Result<Self, BuildError> {
        // NaN is in no range.
        if !(ratio > 0.0 && ratio <= 1.0) {
            return Err(BuildError::new("max_open_ratio", ratio, "above 0 and at most 1"));
        }
        let limit = OpenLimit::new(ratio);
        self.breakers.for_each(|_, breaker| breaker.machine().join(&limit));
        self.open_limit = Some(limit);
        Ok(self)
    }

    /// Changes the settings of all breakers while they are used; those made later begin with the
    /// new settings, also those that [`from_fn`](Self::from_fn)'s function makes with others.
    ///
    /// Each breaker is [reconfigured](Breaker::reconfigure) on its own: its state stays, and begins
    /// anew. Its clock, observer, classifier, predicate and seed stay, and so does the registry's
    /// [`max_open_ratio`](Self::max_open_ratio). A breaker that was forgotten keeps its settings,
    /// even if a caller still holds it. After changes by several threads at once, all breakers have
    /// the settings of the last one.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of range, as from the builder; then nothing changes.
    ///
    /// # Costs
    ///
    /// The change takes one step for each breaker, in which it locks no shard; until that step, no
    /// new key evicts the breaker.
    ///
    /// # Panics
    ///
    /// A panic of an observer or a waker is passed on when all breakers have the new settings.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_circuit_breaker::{Breaker, BreakerSettings, KeyedBreaker, State};
    ///
    /// let hosts = KeyedBreaker::<String>::new(NonZeroUsize::new(9).unwrap(), Breaker::builder())?;
    /// let known = hosts.gate("known.example")?;
    /// let mut settings = BreakerSettings::default();
    /// settings.consecutive = Some(1);
    /// hosts.reconfigure(&settings)?;
    /// known.try_enter().unwrap().failure();
    /// hosts.try_enter("new.example")?.failure();
    /// assert_eq!((known.state(), hosts.state("new.example")), (State::Open, State::Open));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reconfigure(&self, settings: &BreakerSettings) -> Result<(), BuildError> {
        let settings = settings.settings();
        settings.check()?;
        self.later.with(|later| *later = Some(Arc::new(settings)));
        // A breaker that was made with earlier settings is in its shard by now, or its maker still
        // has the shard's lock, which the visit waits for: `gate` reads `later` under that lock.
        let mut breakers = Vec::with_capacity(self.len());
        self.breakers.for_each(|_, breaker| breakers.push(breaker.clone()));
        // Observers are notified, so no shard may be locked here.
        each(breakers.into_iter().map(|breaker| (breaker, self)), |(breaker, keyed)| {
            breaker.machine().reconfigure(|| keyed.latest().unwrap_or_default());
        });
        Ok(())
    }

    /// Returns the settings of the latest change.
    fn latest(&self) -> Option<Arc<Settings>> {
        self.later.with(|later| later.clone())
    }

    /// Enters the breaker of `key` if it lets the caller in; the pass keeps that breaker alive.
    /// Never waits.
    ///
    /// # Errors
    ///
    /// [`KeyRefused::Refused`] if [`Breaker::try_enter`] refuses, [`KeyRefused::TooManyKeys`] if
    /// [`gate`](Self::gate) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_circuit_breaker::{Breaker, KeyedBreaker, State, TripRule};
    ///
    /// let settings = Breaker::builder().trip_on(TripRule::consecutive(1));
    /// let hosts = KeyedBreaker::<String>::new(NonZeroUsize::MIN, settings)?;
    /// hosts.try_enter("down.example")?.failure();
    /// let refused = hosts.try_enter("down.example").unwrap_err();
    /// assert!(refused.retry_after().is_some() && !refused.is_too_many_keys());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_enter<Q>(&self, key: &Q) -> Result<OwnedPass<C, O, J>, KeyRefused>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.fail_fast(key)?.try_enter().map_err(KeyRefused::Refused)
    }

    /// Returns the breaker of `key`, made if there is none. No other key evicts it for as long as a
    /// caller holds it.
    ///
    /// As a gate the `Arc` waits, and its passes own a share of the breaker; `&*gate` waits, and
    /// its passes borrow the breaker; [`fail_fast`](Self::fail_fast) returns a gate that does not
    /// wait.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`] if `key` is new, there are `max_keys` breakers, and each one that the search
    /// checked refuses, was forced or is held. The search checks all of them if there are no more
    /// than 64, else the next 64, as [`Keyed`] says.
    pub fn gate<Q>(&self, key: &Q) -> Result<Arc<Breaker<C, O, J>>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let make = || {
            let mut breaker = self.make.call(&key.to_owned());
            if let Some(settings) = self.latest() {
                breaker.machine_mut().begin_with(settings);
            }
            if let Some(limit) = &self.open_limit {
                breaker.machine().join(limit);
            }
            breaker
        };
        let can_forget = |breaker: &Breaker<C, O, J>| breaker.machine().is_forgettable();
        self.breakers.get_or_insert_with(key, make, can_forget)
    }

    /// Returns the breaker of `key` as a gate that never waits: in a row of gates it refuses where
    /// the `Arc` of [`gate`](Self::gate) would wait.
    ///
    /// # Errors
    ///
    /// As [`gate`](Self::gate).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_circuit_breaker::{Breaker, Gate, KeyedBreaker};
    ///
    /// let hosts = KeyedBreaker::<String>::new(NonZeroUsize::MIN, Breaker::builder())?;
    /// let gate = hosts.fail_fast("example.org")?;
    /// hosts.gate("example.org")?.force_open();
    /// std::thread::spawn(|| gate.run(|| ()).unwrap_err()).join().unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail_fast<Q>(&self, key: &Q) -> Result<OwnedFailFast<C, O, J>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.gate(key).map(OwnedFailFast::from)
    }

    /// Returns the state of the breaker of `key`; `Closed` if there is none.
    pub fn state<Q>(&self, key: &Q) -> State
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.breakers.get(key).map_or(State::Closed, |breaker| breaker.state())
    }

    /// Forgets the breaker of `key`, whatever its state, and returns it if there was one. Callers
    /// that hold it can go on using it.
    pub fn forget<Q>(&self, key: &Q) -> Option<Arc<Breaker<C, O, J>>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.breakers.remove(key)
    }

    /// Runs `f` on every key and its breaker, in no particular order.
    ///
    /// `f` runs under a lock of the registry: it must be short and must not call the registry. Keys
    /// that come or go meanwhile may or may not be seen.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_circuit_breaker::{Breaker, KeyedBreaker, State};
    ///
    /// let shards = KeyedBreaker::<u32>::new(NonZeroUsize::MIN, Breaker::builder())?;
    /// shards.gate(&7)?.force_open();
    /// let mut open = Vec::new();
    /// shards.for_each(|&shard, breaker| {
    ///     if breaker.state() != State::Closed {
    ///         open.push(shard);
    ///     }
    /// });
    /// assert_eq!(open, [7]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(&K, &Breaker<C, O, J>)) {
        self.breakers.for_each(|key, breaker| f(key, breaker));
    }

    /// Returns the number of breakers. A snapshot.
    pub fn len(&self) -> usize {
        self.breakers.len()
    }

    /// Returns whether there are no breakers. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.breakers.is_empty()
    }

    /// Returns how many breakers the registry may have.
    pub fn max_keys(&self) -> usize {
        self.breakers.max_keys()
    }
}

impl<K, C, O, J> fmt::Debug for KeyedBreaker<K, C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreaker")
            .field("len", &self.breakers.len())
            .field("max_keys", &self.breakers.max_keys())
            .finish_non_exhaustive()
    }
}
