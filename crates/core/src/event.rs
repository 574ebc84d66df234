//! Conditions: "not empty now?", "closed now?".
//!
//! An [`Event`] carries no state of its own. A waiter names a condition over a state that lives
//! elsewhere; the notifier changes that state and notifies, and the woken waiter checks again.
//! Newcomers may win the race, so an event suits conditions that any waiter may consume; use a
//! [`WaitList`](crate::wait_list::WaitList) where something must be handed out in order.
//!
//! ```text
//! waiter:   check ──no──▶ register ──▶ check again ──no──▶ sleep ──▶ (woken) check …
//! notifier: change the state ──▶ notify(n)
//! ```
//!
//! The waiter executes a sequentially consistent fence between its registration and its second
//! check, and the notifier between its change and its check for waiters. So either the second check
//! sees the change, or the notifier sees the registration. This file is the only one that knows
//! `event-listener`.
//!
//! `event-listener` calls wakers while it holds its own lock. A waker that drops the last reference
//! to a task, and with it another listener of the same event, would deadlock there. So a *relay* is
//! registered instead: it moves the real waker to the event's outbox, and the outbox is emptied
//! after `event-listener` has let go of its lock. The price is one small allocation for each wait
//! that has to sleep.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use event_listener::{EventListener, IntoNotification};

use crate::{
    lock::Lock,
    primitive::{
        Arc, OnWake, Wakeable,
        atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    },
    unwind::{Foreign, contain},
    wake_list::WakeList,
};

/// How many notifications one poll may use up in vain, because the condition does not hold, before
/// it lets other tasks run.
const ROUNDS: u32 = 8;

/// Wakes tasks and threads that wait for a condition, one by one or all together.
///
/// Use it when the state lives elsewhere (an atomic, a queue) and a waiter can tell by a check
/// whether to go on. Use a [`WaitList`](crate::wait_list::WaitList) when the releaser has to decide
/// whose turn it is.
///
/// A notification costs one fence and one load while there is no waiter. A wait that has to sleep
/// costs two allocations; the first such wait of an event costs four.
///
/// # Fairness
///
/// Waiters are woken in the order of their registration, but a newcomer may be faster than a woken
/// waiter, which then waits again, at the end of the wait queue.
///
/// # Examples
///
/// ```
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use tidegate_core::{Event, Wait};
///
/// static READY: AtomicBool = AtomicBool::new(false);
/// static CHANGED: Event = Event::new();
///
/// let thread = std::thread::spawn(|| {
///     READY.store(true, Ordering::Release);
///     CHANGED.notify(1);
/// });
/// CHANGED.wait_until(|| READY.load(Ordering::Acquire).then_some(())).wait();
/// # thread.join().unwrap();
/// ```
pub struct Event {
    listeners: event_listener::Event,
    // Whether a waiter may be registered. False lets a notification end after one load.
    // INVARIANT: written under the lock of `desk` only; true while `Desk::registered` is above
    // zero.
    alert: AtomicBool,
    // Allocated by the first wait that sleeps, so that `new` can be const.
    desk: Lock<Option<Arc<Desk>>>,
}

/// What an event shares with its registrations.
#[derive(Default)]
struct Desk {
    registered: AtomicUsize,
    /// Wakers that are still to be called; their listeners were notified.
    outbox: Lock<WakeList>,
}

impl Desk {
    /// Calls the wakers in the outbox, with no lock held.
    fn deliver(&self) {
        self.outbox.with(WakeList::take).wake();
    }
}

impl Event {
    crate::const_fn! {
        /// Creates an event without waiters. Does not allocate.
        pub fn new() -> Self {
            Self {
                listeners: event_listener::Event::new(),
                alert: AtomicBool::new(false),
                desk: Lock::new(None),
            }
        }
    }

    /// Wakes `n` more waiters, or all of them if fewer wait.
    ///
    /// Two calls with 1 wake two waiters, even if the first waiter has not run yet. The woken
    /// waiter's check uses the notification up, so notify once for each unit that can be consumed;
    /// where a condition consumes nothing, call [`notify_all`](Self::notify_all).
    ///
    /// # Memory ordering
    ///
    /// Everything before the call happens before the woken waiter's check. The call begins with a
    /// sequentially consistent fence: a change made before it with any ordering is seen by a waiter
    /// that registers too late to be woken.
    #[inline]
    pub fn notify(&self, n: usize) {
        if self.may_be_waited_for() {
            self.pass_on(n.additional().relaxed(), || ());
        }
    }

    /// Wakes all waiters that are registered at the time of the call.
    #[inline]
    pub fn notify_all(&self) {
        // `event-listener`'s plain `notify` means "until at least n are notified", which is all of
        // them for the largest n.
        if self.may_be_waited_for() {
            self.pass_on(usize::MAX.relaxed(), || ());
        }
    }

    /// Wakes `n` more waiters, for a notifier that has read in a word of its own that there are
    /// waiters.
    ///
    /// A flag spares the notifier the fence and the load of [`notify`](Self::notify). A
    /// [`Condition`] raises it ([`begin_to_wait`](Condition::begin_to_wait)) in the word that it
    /// checks. The notifier reads the flag in the step that makes its change, and calls this only
    /// if the flag was up. `lower` takes the flag down; the call runs it if no waiter is registered
    /// any more.
    ///
    /// `lower` runs under a lock of the event, and must be no more than a step on an atomic.
    #[cold]
    pub fn notify_flagged(&self, n: usize, lower: impl FnOnce()) {
        self.pass_on(n.additional().relaxed(), lower);
    }

    /// Begins a notification; returns whether a waiter may be registered.
    #[inline]
    fn may_be_waited_for(&self) -> bool {
        // ORDERING: the fence pairs with the one in `listen`. If this fence comes first, the
        // waiter's second check sees the caller's change; if the waiter's fence comes first, the
        // load sees the alert. This fence serves `event-listener`, too: `relaxed` tells it to leave
        // out its own, and its lock orders the rest.
        fence(Ordering::SeqCst);
        self.alert.load(Ordering::Relaxed)
    }

    #[cold]
    fn pass_on(&self, notification: impl IntoNotification<Tag = ()>, lower: impl FnOnce()) {
        let notified = self.listeners.notify(notification) > 0;
        let desk = self.desk.with(|desk| {
            let desk = desk.as_ref()?;
            // ORDERING: Relaxed: the count is incremented under this lock, and a late decrement
            // only keeps the alert set for longer.
            if desk.registered.load(Ordering::Relaxed) == 0 {
                self.alert.store(false, Ordering::Relaxed);
                lower();
            }
            notified.then(|| desk.clone())
        });
        if let Some(desk) = desk {
            desk.deliver();
        }
    }

    /// Waits until `condition` gives a value.
    ///
    /// The condition is checked before the waiter registers, again after that, and in each later
    /// poll; a waiter that was notified in vain registers anew, with another check. The condition
    /// runs with no lock held, and may use the event. A condition that notifies its own event keeps
    /// its task busy: each poll ends after a few checks, and wakes the task again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws it. If it had been notified, the notification goes to the next
    /// waiter; the same holds if the condition panics.
    pub fn wait_until<C: Condition>(&self, condition: C) -> WaitUntil<'_, C> {
        WaitUntil { event: self, waiter: Waiter::new(), condition }
    }

    #[cold]
    fn listen(&self, waker: &Waker) -> Registration {
        // Cloned before anything else is done: a waker's clone is foreign code, and may panic.
        let waker = Lock::new(Some(waker.clone()));
        let desk = self.desk.with(|desk| {
            let desk = desk.get_or_insert_with(Arc::default);
            desk.registered.fetch_add(1, Ordering::Relaxed);
            self.alert.store(true, Ordering::Relaxed);
            desk.clone()
        });
        let relay = Arc::new(Wakeable(Relay { waker, desk }));
        let listener = Some(self.listeners.listen());
        // ORDERING: between the registration and the second check; pairs with the fence in
        // `may_be_waited_for`.
        fence(Ordering::SeqCst);
        Registration { listener, relay }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}

/// What a waiter of an [`Event`] waits for: any closure returning an `Option`, or a type that
/// implements this trait.
pub trait Condition {
    /// What the waiter gets.
    type Output;

    /// Returns the value if the condition holds now, else `None`. May consume what it finds.
    fn check(&mut self) -> Option<Self::Output>;

    /// Runs after each registration, before the check that follows it: the place to raise a flag
    /// for [notifiers](Event::notify_flagged).
    fn begin_to_wait(&mut self) {}
}

impl<T, F: FnMut() -> Option<T>> Condition for F {
    type Output = T;

    #[inline]
    fn check(&mut self) -> Option<T> {
        self()
    }
}

/// The waker of the listener: moves the waiter's own waker to the outbox.
struct Relay {
    // INVARIANT: the waker of the latest poll, until a notification has taken it.
    waker: Lock<Option<Waker>>,
    desk: Arc<Desk>,
}

impl OnWake for Relay {
    fn on_wake(&self) {
        if let Some(waker) = self.waker.with(Option::take) {
            self.desk.outbox.with(|outbox| outbox.push(waker));
        }
    }
}

struct Registration {
    // `None` only in `drop`.
    listener: Option<EventListener>,
    relay: Arc<Wakeable<Relay>>,
}

impl Registration {
    /// Asks for `waker` to be called; returns whether a notification has already come.
    fn poll(&mut self, waker: &Waker) -> bool {
        let slot = &self.relay.0.waker;
        if !slot.with(|held| held.as_ref().is_some_and(|held| held.will_wake(waker))) {
            // Foreign code (a waker's clone and destructor) runs with the lock released.
            let waker = waker.clone();
            drop(slot.with(|held| held.replace(waker)));
        }
        let listener = self.listener.as_mut().expect("present until drop");
        let handle = Waker::from(self.relay.clone());
        Pin::new(listener).poll(&mut Context::from_waker(&handle)).is_ready()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // The relay's waker is taken out first; if a notification was faster, it calls the waker,
        // to no effect. The waker is dropped last, after other wakers were called: its destructor
        // and those wakers are foreign code, and a panic of one must not keep the rest from
        // running.
        let _waker = self.relay.0.waker.with(Option::take).map(Foreign::new);
        // Dropping a notified listener notifies the next one, whose waker is then in the outbox.
        drop(self.listener.take());
        let desk = &self.relay.0.desk;
        desk.registered.fetch_sub(1, Ordering::Relaxed);
        desk.deliver();
    }
}

/// One waiter's place among the listeners of an event, without a borrow of the event.
///
/// For futures that own what they wait for, for example through an `Arc`, and so cannot hold a
/// [`WaitUntil`].
///
/// # Examples
///
/// ```
/// use std::{future, sync::{Arc, atomic::{AtomicU32, Ordering}}};
/// use tidegate_core::{Event, Wait, event::Waiter};
///
/// let shared = Arc::new((AtomicU32::new(3), Event::new()));
/// let mut waiter = Waiter::new();
/// let value = future::poll_fn(move |cx| {
///     waiter.poll_until(&shared.1, cx, &mut || match shared.0.load(Ordering::Acquire) {
///         0 => None,
///         n => Some(n),
///     })
/// });
/// assert_eq!(value.wait(), 3);
/// ```
#[derive(Default)]
pub struct Waiter {
    registration: Option<Registration>,
}

impl Waiter {
    /// Creates a waiter that is registered nowhere. Does not allocate.
    pub const fn new() -> Self {
        Self { registration: None }
    }

    /// Returns whether the waiter is registered. If so, it may have been notified, and only
    /// [`poll_until`](Self::poll_until) or a drop may end its wait: until then it keeps the
    /// notification, which wakes nobody else.
    #[inline]
    pub const fn is_registered(&self) -> bool {
        self.registration.is_some()
    }

    /// Checks `condition`, and registers with `event` if it does not hold.
    ///
    /// The condition is checked in each poll, so it may also depend on changes that no notification
    /// announces, if something else wakes the task. One waiter belongs to one event for as long as
    /// it waits.
    #[inline]
    pub fn poll_until<C: Condition>(
        &mut self,
        event: &Event,
        cx: &mut Context<'_>,
        condition: &mut C,
    ) -> Poll<C::Output> {
        let is_fresh = self.registration.is_none();
        if is_fresh {
            if let Some(value) = condition.check() {
                return Poll::Ready(value);
            }
        }
        self.poll_slow(event, cx, condition, is_fresh)
    }

    #[cold]
    fn poll_slow<C: Condition>(
        &mut self,
        event: &Event,
        cx: &mut Context<'_>,
        condition: &mut C,
        mut checked: bool,
    ) -> Poll<C::Output> {
        let mut rounds = 0;
        loop {
            let mut unused = Unused { event: None };
            match self.registration.as_mut().map(|registration| registration.poll(cx.waker())) {
                None => {
                    self.registration = Some(event.listen(cx.waker()));
                    condition.begin_to_wait();
                    if rounds == ROUNDS {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                // The check that follows uses the notification up: one unit, one notification.
                Some(true) => {
                    unused.event = Some(event);
                    self.registration = None;
                    rounds += 1;
                }
                // Registered, checked since, not notified: sleep.
                Some(false) if checked => return Poll::Pending,
                Some(false) => {}
            }
            let found = condition.check();
            unused.event = None;
            if let Some(value) = found {
                // A notification that comes after the check may stand for another unit: dropping
                // the registration passes it on. The drop also calls and drops wakers, which are
                // foreign code: none of their panics may lose the value.
                let registration = self.registration.take();
                contain(|| drop(registration));
                return Poll::Ready(value);
            }
            checked = true;
        }
    }
}

/// A notification that no check has used up yet: if the check or the code before it panics, the
/// next waiter gets it.
struct Unused<'a> {
    event: Option<&'a Event>,
}

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        if let Some(event) = self.event {
            event.pass_on(1.additional().relaxed(), || ());
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("registered", &self.registration.is_some()).finish()
    }
}

/// Future of [`Event::wait_until`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct WaitUntil<'a, C> {
    event: &'a Event,
    waiter: Waiter,
    condition: C,
}

impl<C> WaitUntil<'_, C> {
    /// Returns the condition, so that the caller can get at what it owns.
    pub fn condition_mut(&mut self) -> &mut C {
        &mut self.condition
    }
}

// The condition is never pinned: it is only ever called through `&mut`.
impl<C> Unpin for WaitUntil<'_, C> {}

impl<C: Condition> Future for WaitUntil<'_, C> {
    type Output = C::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.get_mut();
        this.waiter.poll_until(this.event, cx, &mut this.condition)
    }
}

impl<C> fmt::Debug for WaitUntil<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitUntil").field("waiter", &self.waiter).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;

    struct Careless;

    impl OnWake for Careless {
        fn on_wake(&self) {}
    }

    impl Drop for Careless {
        fn drop(&mut self) {
            resume_unwind(alloc::boxed::Box::new("a waker's destructor panicked"));
        }
    }

    #[test]
    fn an_event_is_fast_again_past_a_panicking_waker() {
        let event = Event::new();
        let mut wait = event.wait_until(|| None::<()>);
        let waker = Waker::from(Arc::new(Wakeable(Careless)));
        assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(event.may_be_waited_for());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(wait))).is_err());
        event.notify(1);
        assert!(!event.may_be_waited_for(), "no waiter is registered");
    }
}
