//! The state that a batcher's handles and its driver share.

use core::{fmt, marker::PhantomData, task::Context};

use alloc::boxed::Box;

use tidegate_core::{
    BuildError, Clock, Event,
    event::{Condition, WaitUntil},
    lock::Lock,
    primitive::{Arc, atomic::AtomicUsize, relax},
    wait::may_spin,
    wake_list::each,
};

use crate::{
    error::{BatchError, PushError},
    gatherer::{Abandoned, Action, Found, Gather, ItemKey, Key, Keys, Mark, Refusal},
    gatherers::Gatherers,
    limits::Limits,
    outcome::Outcome,
    policy::OnFull,
    results::{Reply, Results},
    unwind::{DropEach, shielded},
};

/// How many times more a thread checks for room before it parks: it spins before the first few of
/// these checks, and lets other threads run before the rest.
const LOOKS: u32 = 20;

/// How many sleeps may end in one poll before other tasks run: without this limit, the poll would
/// not end while a clock lags behind its timer.
pub(crate) const SLEEPS: u32 = 4;

/// The panic message of a future that has no item any more.
const OFFERED: &str = "polled after it was ready";

/// What a batch carries beside its items: the results that its callers wait for; `None` until a
/// caller wants a result.
pub(crate) type Carried<R, E> = Option<Arc<Results<R, E>>>;

/// Returns the weight of an item.
pub(crate) type Weigh<T> = Box<dyn Fn(&T) -> usize + Send + Sync>;

/// The gatherer, and the events that its driver and its callers wait for.
///
/// | event | condition | notified by |
/// | --- | --- | --- |
/// | `work` | a batch can start, the deadline is earlier than the alarm, everything is done | pushers and flushes, if the gatherer says so; close and a change of the limits, always |
/// | `room` | an item fits | the driver when it takes a batch out, and when it is dropped; close; a change of the limits |
/// | `progress` | a mark is done | the driver when a batch is done, and when it is dropped |
///
/// Pushing an item takes one critical section; pushing the first item of a batch takes two. Pushers
/// touch `work` at most twice a batch: when it begins and when it becomes due.
pub(crate) struct Shared<T, R, E, C> {
    gatherer: Lock<Gatherers<T, Carried<R, E>>>,
    pub(crate) work: Event,
    pub(crate) room: Event,
    pub(crate) progress: Event,
    pub(crate) clock: C,
    /// How many handles there are. Dropping the last one closes the batcher.
    pub(crate) handles: AtomicUsize,
    keys: Option<Box<dyn Keys<T>>>,
    weigh: Option<Weigh<T>>,
    on_full: OnFull,
}

impl<T, R, E, C> Shared<T, R, E, C> {
    pub(crate) fn new(
        limits: Limits,
        keys: Option<Box<dyn Keys<T>>>,
        weigh: Option<Weigh<T>>,
        on_full: OnFull,
        clock: C,
    ) -> Self {
        Self {
            gatherer: Lock::new(Gatherers::new(limits, keys.is_some())),
            work: Event::new(),
            room: Event::new(),
            progress: Event::new(),
            clock,
            handles: AtomicUsize::new(1),
            keys,
            weigh,
            on_full,
        }
    }

    /// Runs a step of the gatherer that is in use, under its lock.
    pub(crate) fn with<A>(&self, step: impl FnOnce(&mut dyn Gather<T, Carried<R, E>>) -> A) -> A {
        self.gatherer.with(|gatherers| step(gatherers.used()))
    }

    /// Runs a step of the gatherers, under their lock, and wakes the driver if the step gives it
    /// something to do.
    fn step<A>(&self, step: impl FnOnce(&mut Gatherers<T, Carried<R, E>>) -> (A, Action)) -> A {
        let (answer, action) = self.gatherer.with(step);
        if action != Action::Rest {
            self.work.notify(1);
        }
        answer
    }

    /// Makes every waiting batch due; returns the mark behind all items.
    pub(crate) fn flush(&self) -> Mark {
        self.step(|gatherers| gatherers.used().flush())
    }

    pub(crate) fn close(&self) -> bool {
        let closed = self.with(|gatherer| gatherer.close());
        if closed {
            // Wakes the driver even if there is nothing to hand over: the close ends its pauses.
            // Notifies both events even if a waker panics.
            each([&self.work, &self.room].into_iter(), Event::notify_all);
        }
        closed
    }

    /// Changes the limits to those that `change` returns. The driver looks again: a batch may be
    /// due, or its deadline earlier. Callers that wait for room check again.
    pub(crate) fn set_limits(
        &self,
        change: impl FnOnce(Limits) -> Result<Limits, BuildError>,
    ) -> Result<(), BuildError> {
        self.with(|gatherer| {
            let limits = change(gatherer.state().limits())?;
            gatherer.set_limits(limits);
            Ok(())
        })?;
        each([&self.work, &self.room].into_iter(), Event::notify_all);
        Ok(())
    }

    /// Returns whether items are weighed.
    pub(crate) fn weighs(&self) -> bool {
        self.weigh.is_some()
    }

    /// Wakes callers that wait for room, after `items` items have left.
    pub(crate) fn make_room(&self, items: usize) {
        if self.weigh.is_some() {
            // One heavy item may leave room for many light ones, and the first waiter's item may
            // still not fit: so all waiters check.
            self.room.notify_all();
        } else {
            self.room.notify(items);
        }
    }

    /// Tells all callers that there is no driver any more, also those whose batches are `running`.
    pub(crate) fn abandon(&self, running: impl Iterator<Item = Abandoned<Carried<R, E>>>) {
        let batches = self.with(|gatherer| gatherer.abandon());
        for Abandoned { carried, dropped } in batches.into_iter().chain(running) {
            let Some(results) = carried else { continue };
            // The length is not known here: the error is for all items from the first on.
            let outcome = Outcome::failed(usize::MAX, BatchError::DriverDropped);
            shielded(|| results.settle(outcome.behind(dropped)));
        }
        shielded(|| self.room.notify_all());
        shielded(|| self.progress.notify_all());
    }

    /// Releases the claim on a key whose lane has become empty; does nothing for `None`.
    #[inline]
    pub(crate) fn release(&self, key: Option<Key>) {
        if let (Some(key), Some(keys)) = (key, &self.keys) {
            keys.release(key);
        }
    }

    fn weight_of(&self, item: &Option<T>) -> usize {
        self.weigh.as_ref().zip(item.as_ref()).map_or(0, |(weigh, item)| weigh(item))
    }
}

impl<T, R, E, C: Clock> Shared<T, R, E, C> {
    /// Pushes an item if there is room.
    #[inline]
    pub(crate) fn offer<A: Receipt<R, E>>(&self, item: T) -> Result<A, PushError<T>> {
        // Holds the item while foreign code weighs it and compares its key.
        let mut offered = DropEach::new(Some(item));
        let weight = self.weight_of(&offered);
        let answer = self.offer_weighed(&mut offered, weight);
        answer.inspect_err(|_| self.count_refused())
    }

    /// Takes the item out, and pushes it or gives it back in the error. If foreign code panics on
    /// the way, the item stays in `offered`.
    #[inline]
    fn offer_weighed<A: Receipt<R, E>>(
        &self,
        offered: &mut Option<T>,
        weight: usize,
    ) -> Result<A, PushError<T>> {
        if self.keys.is_some() {
            return self.offer_slowly(offered, weight, None);
        }
        let item = offered.take().expect(OFFERED);
        let answer = self.step(|gatherers| {
            gatherers.push(None, Found::Nothing, item, weight, |pushed| match pushed {
                Ok(admitted) => (Ok(A::new(admitted.carried, admitted.index)), admitted.action),
                Err(refused) => (Err((refused.why, refused.item)), refused.action),
            })
        });
        match answer {
            Ok(receipt) => Ok(receipt),
            Err((why, item)) => {
                *offered = Some(item);
                self.offer_slowly(offered, weight, Some(why))
            }
        }
    }

    /// Does what `offer_weighed` does, for an item with a key, or one that was refused because of
    /// `refusal`.
    ///
    /// Keys are looked for, and the clock is read, without the gatherers' lock. The clock is read
    /// only for the first item of a batch.
    #[inline(never)]
    fn offer_slowly<A: Receipt<R, E>>(
        &self,
        offered: &mut Option<T>,
        weight: usize,
        mut refusal: Option<Refusal>,
    ) -> Result<A, PushError<T>> {
        let mut key = ItemKey::of(self.keys.as_deref(), offered.as_ref().expect(OFFERED));
        let mut now = None;
        loop {
            match refusal {
                None => {}
                Some(Refusal::NoTime) => now = Some(self.clock.now()),
                Some(Refusal::NoKey) => key.claim(offered.as_ref().expect(OFFERED)),
                Some(Refusal::Full) if self.on_full == OnFull::DropOldest => self.drop_oldest(),
                Some(Refusal::Full) if self.on_full == OnFull::DropNewest => {
                    let item = offered.take();
                    self.with(|gatherer| gatherer.state_mut().count_dropped());
                    shielded(|| drop(item));
                    return Ok(A::dropped());
                }
                Some(why) => {
                    let item = offered.take().expect(OFFERED);
                    return Err(match why {
                        Refusal::TooHeavy => PushError::TooHeavy(item),
                        Refusal::Closed => PushError::Closed(item),
                        Refusal::Abandoned => PushError::DriverDropped(item),
                        Refusal::Full | Refusal::NoTime | Refusal::NoKey => PushError::Full(item),
                    });
                }
            }
            let (item, found) = (offered.take().expect(OFFERED), key.found());
            let answer = self.step(|gatherers| {
                gatherers.push(now, found, item, weight, |pushed| match pushed {
                    Ok(admitted) => {
                        let receipt = A::new(admitted.carried, admitted.index);
                        (Ok((receipt, admitted.keeps_key)), admitted.action)
                    }
                    Err(refused) => (Err((refused.why, refused.item)), refused.action),
                })
            });
            match answer {
                Ok((receipt, keeps_key)) => {
                    if keeps_key {
                        key.keep();
                    }
                    return Ok(receipt);
                }
                Err((why, item)) => {
                    *offered = Some(item);
                    refusal = Some(why);
                }
            }
        }
    }

    #[cold]
    fn count_refused(&self) {
        self.with(|gatherer| gatherer.state_mut().count_refused());
    }

    /// Drops the first item of the batch that has waited longest, and tells its caller.
    #[cold]
    fn drop_oldest(&self) {
        // The item's destructor is foreign, so it runs after unlocking.
        let Some((shed, unused)) = self.with(|gatherer| gatherer.shed()) else { return };
        self.release(unused);
        if let Some(results) = shed.carried {
            shielded(|| results.drop_below(shed.below));
        }
        shielded(|| drop(shed.item));
    }

    /// Weighs an item, and returns a future that waits for room and pushes the item.
    pub(crate) fn offering<A: Receipt<R, E>>(&self, item: T) -> Offering<'_, T, R, E, C, A> {
        let mut item = DropEach::new(Some(item));
        let weight = self.weight_of(&item);
        self.room.wait_until(Offer {
            shared: self,
            item: item.take(),
            weight,
            patience: 0,
            receipt: PhantomData,
        })
    }
}

impl<T, R, E, C> fmt::Debug for Shared<T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|gatherer| gatherer.stats()).fmt(f)
    }
}

/// What a pusher gets for an accepted item: nothing, or a reply, by which it waits for the result.
pub(crate) trait Receipt<R, E> {
    /// Makes the receipt for the item at `index`. Runs under the gatherers' lock.
    fn new(carried: &mut Carried<R, E>, index: usize) -> Self;

    /// Makes the receipt for an item that was dropped instead of being accepted.
    fn dropped() -> Self;
}

impl<R, E> Receipt<R, E> for () {
    #[inline]
    fn new(_carried: &mut Carried<R, E>, _index: usize) -> Self {}

    fn dropped() -> Self {}
}

impl<R, E> Receipt<R, E> for Reply<R, E> {
    #[inline]
    fn new(carried: &mut Carried<R, E>, index: usize) -> Self {
        Self::new(carried.get_or_insert_with(Arc::default).clone(), index)
    }

    fn dropped() -> Self {
        Self::new(Arc::new(Results::of_failure(BatchError::Dropped)), 0)
    }
}

/// Future of [`Shared::offering`].
pub(crate) type Offering<'a, T, R, E, C, A> = WaitUntil<'a, Offer<'a, T, R, E, C, A>>;

/// The condition that an item is accepted or refused.
pub(crate) struct Offer<'a, T, R, E, C, A> {
    shared: &'a Shared<T, R, E, C>,
    // `None` once the item was accepted, given back, or taken out.
    item: Option<T>,
    weight: usize,
    // How many times more a check may try to push before the future waits.
    patience: u32,
    receipt: PhantomData<fn() -> A>,
}

impl<T, R, E, C, A> Offer<'_, T, R, E, C, A> {
    pub(crate) fn take_item(&mut self) -> Option<T> {
        self.item.take()
    }

    /// Lets a thread check for room a few times more before it parks: a batch that leaves makes
    /// room for many items, and a wake-up costs more than these checks.
    #[inline]
    pub(crate) fn allow_spin(&mut self, cx: &Context<'_>) {
        self.patience = if may_spin(cx) { LOOKS } else { 0 };
    }
}

impl<T, R, E, C: Clock, A: Receipt<R, E>> Condition for Offer<'_, T, R, E, C, A> {
    type Output = Result<A, PushError<T>>;

    #[inline]
    fn check(&mut self) -> Option<Self::Output> {
        let mut tries = 0;
        loop {
            match self.shared.offer_weighed(&mut self.item, self.weight) {
                Err(PushError::Full(item)) if self.shared.on_full == OnFull::Wait => {
                    self.item = Some(item);
                }
                answer => return Some(answer.inspect_err(|_| self.shared.count_refused())),
            }
            if tries >= self.patience {
                self.patience = 0;
                return None;
            }
            relax(&mut tries);
        }
    }
}
