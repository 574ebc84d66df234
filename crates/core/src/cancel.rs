//! Cancellation that travels down a tree of tokens.
//!
//! A [`CancelToken`] belongs to a piece of work, as a `context.Context` does in Go. It says whether
//! that work is still wanted, and if not, why; and by when the work must be done.
//!
//! ```text
//! cancel: lock the node ─▶ first? set reason and flag, take the children ─▶ unlock ─▶ the same for each child ─▶ wake all
//! child:  lock the parent ─▶ cancelled? the child is born cancelled : enter it among the children
//! ask:    one load of the flag
//! ```

mod alarm;

use core::{
    fmt,
    future::Future,
    iter, mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use alloc::{borrow::Cow, collections::BTreeMap, vec::Vec};

use self::alarm::Alarm;
use crate::{
    Event,
    error::{Cancelled, Reason},
    event::Waiter,
    lock::Lock,
    primitive::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Timer, Timestamp, keep_deadlines},
    wake_list,
};

/// Says whether work is still wanted. Clones are the same token; children are cancelled with their
/// parent.
///
/// Give one to work that may have to stop early, and a [`child`](Self::child) to a part of it that
/// may have to stop alone. Cancelling is final and reaches every descendant. To check a token costs
/// one load.
///
/// Works in tasks and threads, with and without std.
///
/// # Memory ordering
///
/// A check that finds the token cancelled sees everything that happened before the call of
/// [`cancel`](Self::cancel) that returned true.
///
/// # Examples
///
/// ```
/// use tidegate_core::{CancelToken, Reason, Wait};
///
/// let program = CancelToken::new();
/// let request = program.child();
///
/// program.cancel_because("shutting down");
/// let error = core::future::pending::<()>().or_cancelled(&request).wait().unwrap_err();
/// assert_eq!(error.to_string(), "cancelled: shutting down");
/// assert!(request.is_cancelled());
/// ```
#[derive(Clone)]
pub struct CancelToken {
    node: Arc<Node>,
}

struct Node {
    // INVARIANT: set after `Family::reason`, never cleared.
    cancelled: AtomicBool,
    changed: Event,
    family: Lock<Family>,
    deadline: Timestamp,
    origin: Option<Origin>,
}

#[derive(Default)]
struct Family {
    reason: Option<Reason>,
    // INVARIANT: empty once `reason` is set.
    children: BTreeMap<u64, Weak<Node>>,
    next_key: u64,
    // INVARIANT: `Off` once `reason` is set.
    alarm: Alarm,
}

/// A child's link to its parent: it keeps the parent alive, and holds the key by which the child is
/// removed from the parent's list when the child's node is dropped.
struct Origin {
    parent: Arc<Node>,
    key: u64,
}

impl CancelToken {
    /// Creates a token without parent and deadline.
    pub fn new() -> Self {
        Self { node: Arc::new(Node::new(Timestamp::NEVER, None)) }
    }

    /// Creates a token that is cancelled together with this one, and can be cancelled alone.
    #[must_use = "a token that is not kept stops nothing"]
    pub fn child(&self) -> Self {
        self.child_until(Timestamp::NEVER)
    }

    /// Creates a child that is cancelled with [`Reason::DeadlineExceeded`] when `deadline` has come
    /// on `timer`.
    ///
    /// The token need not be polled: the thread of `timer` that wakes the sleep also polls it, and
    /// cancels the token if the deadline has come. With [`SystemClock`](crate::SystemClock) that is
    /// the process's timer thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{CancelToken, Clock, ManualClock, Reason};
    ///
    /// let clock = ManualClock::new();
    /// let token = CancelToken::new().child_with_deadline(&clock, clock.now() + Duration::from_secs(1));
    /// assert!(!token.is_cancelled());
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(token.reason(), Some(Reason::DeadlineExceeded));
    /// ```
    #[must_use = "a token that is not kept stops nothing"]
    pub fn child_with_deadline<T: Timer>(&self, timer: &T, deadline: Timestamp) -> Self {
        let child = self.child_until(deadline);
        let alarm = Alarm::set(timer.sleep_until(deadline), &child.node);
        // If the parent was cancelled meanwhile, so was the child: then there is nothing left to
        // time.
        let unused = child.node.family.with(|family| match family.reason {
            None => mem::replace(&mut family.alarm, alarm),
            Some(_) => alarm,
        });
        drop(unused);
        alarm::look(&child.node);
        child
    }

    /// Creates a child that is cancelled when `duration` has passed since this call, even if the
    /// time that `timer` shows lags behind.
    #[must_use = "a token that is not kept stops nothing"]
    pub fn child_with_timeout<T: Timer>(&self, timer: &T, duration: Duration) -> Self {
        self.child_with_deadline(timer, timer.deadline_after(duration))
    }

    fn child_until(&self, deadline: Timestamp) -> Self {
        let deadline = deadline.min(self.node.deadline);
        // The node holds its key in the parent's list, and that list holds a `Weak` of the node. So
        // the key is drawn before the node is made.
        let key = self.node.family.with(|family| {
            family.next_key += 1;
            family.next_key
        });
        let node = Arc::new(Node::new(deadline, Some(Origin { parent: self.node.clone(), key })));
        let born_cancelled = self.node.family.with(|family| {
            if family.reason.is_none() {
                family.children.insert(key, Arc::downgrade(&node));
            }
            family.reason.clone()
        });
        if let Some(reason) = born_cancelled {
            node.cancel(reason);
        }
        Self { node }
    }

    /// Cancels the token and its descendants with [`Reason::Requested`]; returns false if it was
    /// cancelled already.
    ///
    /// Wakers are called with no lock held.
    pub fn cancel(&self) -> bool {
        self.node.cancel(Reason::Requested)
    }

    /// Cancels the token and its descendants for a reason in words; returns false if it was
    /// cancelled already.
    pub fn cancel_because(&self, words: impl Into<Cow<'static, str>>) -> bool {
        self.node.cancel(Reason::Because(words.into()))
    }

    /// Returns whether the token is cancelled. Costs one load.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `Node::cancel`.
        self.node.cancelled.load(Ordering::Acquire)
    }

    /// Returns `Ok` while the token is not cancelled; made for `?` between two steps of work.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] with the reason, once the token is cancelled.
    #[inline]
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled::new(self.node.reason())) } else { Ok(()) }
    }

    /// Returns why the token was cancelled, `None` while it is not.
    pub fn reason(&self) -> Option<Reason> {
        self.check().err().map(|cancelled| cancelled.reason().clone())
    }

    /// Returns the earliest deadline of the token and its ancestors, on the clock of the timer that
    /// it was set by; `None` if they have none.
    pub fn deadline(&self) -> Option<Timestamp> {
        (self.node.deadline != Timestamp::NEVER).then_some(self.node.deadline)
    }

    /// Waits until the token is cancelled and returns the reason.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the token.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_core::{CancelToken, Reason, Wait};
    ///
    /// let token = CancelToken::new();
    /// let clone = token.clone();
    /// let thread = std::thread::spawn(move || clone.cancelled().wait());
    /// token.cancel();
    /// assert_eq!(thread.join().unwrap(), Reason::Requested);
    /// ```
    pub fn cancelled(&self) -> UntilCancelled<'_> {
        UntilCancelled { token: self, waiter: Waiter::new() }
    }

    /// Returns a guard whose drop cancels the token, also in a panic.
    pub fn drop_guard(&self) -> DropGuard {
        DropGuard { token: Some(self.clone()) }
    }
}

impl Node {
    fn new(deadline: Timestamp, origin: Option<Origin>) -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            changed: Event::new(),
            family: Lock::new(Family::default()),
            deadline,
            origin,
        }
    }

    /// Cancels this node and all below it, without recursion, as a tree may be deep. Wakes the
    /// waiters only after that, so that a waker that panics leaves nothing half done. Returns false
    /// if this node was cancelled already.
    fn cancel(&self, reason: Reason) -> bool {
        // Declared first, and so dropped last: a sleep's destructor is foreign code, as wakers are.
        let mut alarms = Vec::new();
        let Some(mut pending) = self.mark(reason.clone(), &mut alarms) else { return false };
        let mut cancelled = Vec::new();
        while let Some(node) = pending.pop() {
            let Some(node) = node.upgrade() else { continue };
            if let Some(children) = node.mark(reason.clone(), &mut alarms) {
                pending.extend(children);
                cancelled.push(node);
            }
        }
        let changed = iter::once(self).chain(cancelled.iter().map(|node| &**node));
        wake_list::each(changed, |node| node.changed.notify_all());
        true
    }

    /// Marks this node as cancelled, without waking its waiters; returns its children, or `None` if
    /// it was cancelled already. If its alarm is set, moves it to `alarms`, for the caller to drop.
    fn mark(&self, reason: Reason, alarms: &mut Vec<Alarm>) -> Option<Vec<Weak<Node>>> {
        let (children, alarm) = self.family.with(|family| {
            if family.reason.is_some() {
                return None;
            }
            family.reason = Some(reason);
            // ORDERING: Release: pairs with the Acquire in `is_cancelled`.
            self.cancelled.store(true, Ordering::Release);
            Some((mem::take(&mut family.children), mem::take(&mut family.alarm)))
        })?;
        if let Alarm::Set(_) = alarm {
            alarms.push(alarm);
        }
        Some(children.into_values().collect())
    }

    /// Returns the reason of a cancelled node.
    #[cold]
    fn reason(&self) -> Reason {
        self.family.with(|family| family.reason.clone()).expect("the reason is set before the flag")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A loop takes apart the chain of ancestors that only their children hold: nested
        // destructors could overflow the stack.
        wake_list::each(Lineage(self.origin.take()), drop);
    }
}

/// The ancestors of a dropped node that nothing else holds, its parent first. Each step also
/// removes the child from its parent's list.
struct Lineage(Option<Origin>);

impl Iterator for Lineage {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        let Origin { parent, key } = self.0.take()?;
        drop(parent.family.with(|family| family.children.remove(&key)));
        let mut parent = Arc::into_inner(parent)?;
        self.0 = parent.origin.take();
        Some(parent)
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The reason is behind a lock, and printing must not wait.
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

/// Future of [`CancelToken::cancelled`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct UntilCancelled<'a> {
    token: &'a CancelToken,
    waiter: Waiter,
}

impl UntilCancelled<'_> {
    /// Returns the token that this future waits for.
    pub fn token(&self) -> &CancelToken {
        self.token
    }
}

impl Future for UntilCancelled<'_> {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        let token = self.token;
        let polled = self.waiter.poll_until(&token.node.changed, cx, &mut || token.reason());
        if polled.is_pending() && token.deadline().is_some() {
            keep_deadlines();
        }
        polled
    }
}

/// Cancels its token when dropped. Made by [`CancelToken::drop_guard`].
///
/// # Examples
///
/// ```
/// use tidegate_core::CancelToken;
///
/// let token = CancelToken::new();
/// token.drop_guard().disarm();
/// assert!(!token.is_cancelled());
/// drop(token.drop_guard());
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug)]
#[must_use = "dropping it cancels the token at once"]
pub struct DropGuard {
    // `None` once disarmed.
    token: Option<CancelToken>,
}

impl DropGuard {
    /// Drops the guard without cancelling the token.
    pub fn disarm(mut self) {
        self.token = None;
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}
