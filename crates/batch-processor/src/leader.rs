//! A batcher without a driver to spawn: its callers drive it.
//!
//! ```text
//! submit ─▶ into the batch ─▶ the result is there? ── yes: resign, done
//!                              │ no
//!                             the driver is due, or no caller leads? ── yes: lead
//!                              │ no                   (take the driver, poll it, put it back)
//!                             wait for a vacancy, and check again from time to time
//! ```
//!
//! One caller leads at a time: a wake-up of the driver wakes the leader. From that wake-up until a
//! caller polls the driver, the driver is due. A leader resigns when it has its result or is
//! dropped, and then notifies the next waiter. A leader that is kept and not polled cannot resign:
//! so any caller that is polled while the driver is due takes the lead, and waiters check from time
//! to time whether it is due.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use alloc::boxed::Box;

use tidegate_core::{
    BuildError, Event, Timer,
    event::Waiter,
    lock::Lock,
    primitive::{Arc, OnWake, Wakeable, tuned},
};

use crate::{
    batcher::Batcher, builder::Builder, driver::Driver, error::SubmitError, handler::Handler,
    stats::Stats, submit::Submit,
};

/// How long a waiter sleeps before it checks for the first time whether the driver is due. Each
/// further sleep is twice as long as the one before, up to `MOST_PATIENCE`.
///
/// LOOM: a model has no time, so its waiters do not sleep: other callers' polls check in their
/// place.
const PATIENCE: Duration = Duration::from_millis(tuned(10, 0) as u64);
const MOST_PATIENCE: Duration = Duration::from_secs(1);

/// Gathers items from many callers into batches, which the callers themselves process: there is no
/// driver to spawn, and no thread.
///
/// A caller that comes while no other leads is the leader: while it waits for its result, it does
/// what a [`Driver`] would do, for all callers. When it has its result, the next waiter leads. With
/// [`Policy::Immediate`](crate::Policy::Immediate) a caller that is alone processes its item at
/// once, and callers that come meanwhile share the next batch: the group commit of databases. With
/// [`Policy::Delay`](crate::Policy::Delay) the leader waits for more items first.
///
/// The leader also waits for the end of the pauses of [`retry`](Builder::retry), and with
/// [`keyed`](Builder::keyed) leads for all keys.
///
/// A blocking handler runs in the poll of the leader, and any caller may become the leader. So with
/// such a handler, do not submit in a task that must not block.
///
/// A leader may be neither polled nor dropped, like a future that a `select!` keeps. It does not
/// delay the others for long: if there is something to do, any other caller that is polled takes
/// the lead over. Waiting callers check for work by themselves: first after 10 ms, then after twice
/// as long each time, but at least once a second.
///
/// # Fairness
///
/// A leader that has its result notifies the caller that has waited longest, which leads next
/// unless a newcomer is faster. Which caller leads makes no difference to the order of the items.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, Blocking, Policy, Wait};
///
/// let mut commits = 0;
/// let log = Batcher::builder()
///     .policy(Policy::Immediate)
///     .build_leader(Blocking::new(move |lines: Vec<String>| {
///         commits += 1; // one write for all of them
///         Ok::<_, ()>(vec![commits; lines.len()])
///     }))?;
/// std::thread::scope(|s| {
///     for n in 0..8 {
///         let log = &log;
///         s.spawn(move || assert!(log.submit(format!("line {n}")).wait().unwrap() <= 8));
///     }
/// });
/// assert_eq!(log.stats().done, 8);
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
pub struct LeaderBatcher<T, H: Handler<T>, C: Timer> {
    batcher: Batcher<T, H::Output, H::Error, C>,
    // INVARIANT: `None` while a caller polls it.
    driver: Lock<Option<Passed<T, H, C>>>,
    relay: Arc<Wakeable<Relay>>,
    /// The waker with which the driver is always polled; it wakes `relay`.
    waker: Waker,
    /// The event that no caller leads. Each resignation notifies one waiter.
    vacant: Event,
}

/// A driver that goes from leader to leader.
type Passed<T, H, C> = Pin<Box<Driver<T, H, C>>>;

/// What the driver wakes. It passes the wake-up on to the leader.
struct Relay {
    lead: Lock<Role>,
}

/// Which caller leads, and whether the driver is due.
struct Role {
    /// Whether the driver has been woken and not polled since; true before its first poll.
    is_due: bool,
    /// The number of the caller that leads, and the waker of its latest poll; the waker is `None`
    /// once it was called. The pair is `None` if no caller leads.
    leader: Option<(u64, Option<Waker>)>,
    /// The number that was given out last.
    callers: u64,
}

impl OnWake for Relay {
    fn on_wake(&self) {
        let leader = self.lead.with(|role| {
            role.is_due = true;
            role.leader.as_mut().and_then(|(_, waker)| waker.take())
        });
        if let Some(leader) = leader {
            leader.wake();
        }
    }
}

impl<T, C: Timer> Builder<T, C> {
    /// Builds a batcher whose callers process the batches themselves.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of its range.
    pub fn build_leader<H: Handler<T>>(
        self,
        handler: H,
    ) -> Result<LeaderBatcher<T, H, C>, BuildError> {
        let (batcher, driver) = self.build_with(handler)?;
        let driver = Lock::new(Some(Box::pin(driver)));
        let lead = Lock::new(Role { is_due: true, leader: None, callers: 0 });
        let relay = Arc::new(Wakeable(Relay { lead }));
        let waker = Waker::from(relay.clone());
        Ok(LeaderBatcher { batcher, driver, relay, waker, vacant: Event::new() })
    }
}

impl<T, H: Handler<T>, C: Timer> LeaderBatcher<T, H, C> {
    /// Hands an item in and waits for its result. The caller may have to lead meanwhile.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the item was accepted, the item is dropped with it. If the
    /// future is dropped later, the result is given up: the item stays in its batch. The next
    /// caller that leads starts that batch, or goes on with it if it runs already. If no other
    /// caller comes, the item is dropped with the batcher.
    ///
    /// # Errors
    ///
    /// As [`Batcher::submit`].
    pub fn submit(&self, item: T) -> Leader<'_, T, H, C> {
        let submit = self.batcher.submit(item);
        let (waiter, patience) = (Waiter::new(), Patience { sleep: None, next: PATIENCE });
        Leader { submit, number: 0, waiter, patience, led: self }
    }

    pub(crate) fn batcher(&self) -> &Batcher<T, H::Output, H::Error, C> {
        &self.batcher
    }

    fn role<A>(&self, with: impl FnOnce(&mut Role) -> A) -> A {
        self.relay.0.lead.with(with)
    }

    /// Takes the driver out if the caller with this number may lead: the driver is due, no caller
    /// leads, or this one does. `None` if it may not, or another caller polls the driver now.
    fn take_helm(&self, number: u64) -> Option<Helm<'_, T, H, C>> {
        let may_lead = self.role(|role| match &role.leader {
            Some((leader, _)) => role.is_due || *leader == number,
            None => true,
        });
        let driver = may_lead.then(|| self.driver.with(Option::take)).flatten()?;
        Some(Helm { led: self, driver: Some(driver) })
    }

    /// Refuses every item from now on. Returns false if the batcher was closed already.
    pub fn close(&self) -> bool {
        self.batcher.close()
    }

    /// Returns a snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.batcher.stats()
    }
}

impl<T, H: Handler<T>, C: Timer> fmt::Debug for LeaderBatcher<T, H, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderBatcher").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Future of [`LeaderBatcher::submit`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Leader<'a, T, H: Handler<T>, C: Timer> {
    submit: Submit<'a, T, H::Output, H::Error, C>,
    // 0 before the first poll that finds no result.
    number: u64,
    waiter: Waiter,
    patience: Patience<C>,
    led: &'a LeaderBatcher<T, H, C>,
}

/// The driver while a caller polls it. Its drop puts the driver back.
struct Helm<'a, T, H: Handler<T>, C: Timer> {
    led: &'a LeaderBatcher<T, H, C>,
    // `None` only in `drop`.
    driver: Option<Passed<T, H, C>>,
}

impl<T, H: Handler<T>, C: Timer> Helm<'_, T, H, C> {
    /// Makes the caller with this number the leader, and polls the driver.
    fn poll(mut self, number: u64, cx: &Context<'_>) {
        let leader = Some((number, Some(cx.waker().clone())));
        // The waker that is replaced is foreign: it is dropped after unlocking.
        let _replaced = self.led.role(|role| {
            role.is_due = false;
            core::mem::replace(&mut role.leader, leader)
        });
        if let Some(driver) = &mut self.driver {
            // If the driver is over, it has told all callers; else it will wake the leader.
            _ = driver.as_mut().poll(&mut Context::from_waker(&self.led.waker));
        }
    }
}

impl<T, H: Handler<T>, C: Timer> Drop for Helm<'_, T, H, C> {
    fn drop(&mut self) {
        let driver = self.driver.take();
        self.led.driver.with(|place| *place = driver);
    }
}

/// The sleeps after which a waiter checks whether the driver is due.
struct Patience<C: Timer> {
    sleep: Option<Pin<Box<C::Sleep>>>,
    next: Duration,
}

impl<C: Timer> Patience<C> {
    /// Polls the sleep; `Ready` when it is time to check.
    fn poll(&mut self, clock: &C, cx: &mut Context<'_>) -> Poll<()> {
        let next = self.next;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(clock.sleep(next)));
        let polled = sleep.as_mut().poll(cx);
        if polled.is_ready() {
            self.sleep = None;
            self.next = (2 * next).min(MOST_PATIENCE);
        }
        polled
    }
}

impl<T, H: Handler<T>, C: Timer> Leader<'_, T, H, C> {
    /// Lets another caller lead, if this one leads.
    fn resign(&mut self) {
        let (led, number) = (self.led, self.number);
        let left = led.role(|role| role.leader.take_if(|(leader, _)| *leader == number));
        if left.is_some() {
            led.vacant.notify(1);
        }
    }
}

impl<T, H: Handler<T>, C: Timer> Future for Leader<'_, T, H, C> {
    type Output = Result<H::Output, SubmitError<T, H::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let led = this.led;
        loop {
            if let Poll::Ready(result) = Pin::new(&mut this.submit).poll(cx) {
                // If this waiter was notified meanwhile, its drop notifies the next one.
                this.waiter = Waiter::new();
                this.resign();
                return Poll::Ready(result);
            }
            if this.number == 0 {
                this.number = led.role(|role| {
                    role.callers += 1;
                    role.callers
                });
            }
            let number = this.number;
            let helm = this.waiter.poll_until(&led.vacant, cx, &mut || led.take_helm(number));
            if let Poll::Ready(helm) = helm {
                helm.poll(number, cx);
                // The poll may have processed this caller's batch.
                if let Poll::Ready(result) = Pin::new(&mut this.submit).poll(cx) {
                    this.resign();
                    return Poll::Ready(result);
                }
                return Poll::Pending;
            }
            if PATIENCE.is_zero() {
                return Poll::Pending;
            }
            let is_armed = this.patience.sleep.is_some();
            match this.patience.poll(led.batcher.clock(), cx) {
                Poll::Pending if is_armed => return Poll::Pending,
                // The sleep was armed only now, or it has ended: check again. A check must follow
                // the arming.
                Poll::Pending | Poll::Ready(()) => {}
            }
        }
    }
}

impl<T, H: Handler<T>, C: Timer> Drop for Leader<'_, T, H, C> {
    fn drop(&mut self) {
        self.resign();
    }
}

impl<T, H: Handler<T>, C: Timer> fmt::Debug for Leader<'_, T, H, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_leading = self
            .led
            .role(|role| role.leader.as_ref().is_some_and(|(leader, _)| *leader == self.number));
        f.debug_struct("Leader").field("is_leading", &is_leading).finish_non_exhaustive()
    }
}
