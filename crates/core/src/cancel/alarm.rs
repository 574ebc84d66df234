//! The sleep until a token's deadline. It is polled once when it is set, and after that only at its
//! own wake-ups.
//!
//! A wake-up says that the deadline *may* have come. Only the sleep can say whether it has, on its
//! clock: so the thread that wakes the alarm polls the sleep, with no lock held.
//!
//! ```text
//! set ──▶ Set ──wake──▶ Polled ──pending──▶ Set, and once more if it was woken meanwhile
//!                         └──ready──▶ the node is cancelled
//! cancel, from anywhere ──▶ Off
//! ```

use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Waker},
};

use alloc::boxed::Box;

use pin_project_lite::pin_project;

use super::Node;
use crate::{
    error::Reason,
    primitive::{Arc, OnWake, Wakeable, Weak},
    unwind::Foreign,
};

/// How many polls in a row a sleep gets if each finds it pending and it is woken during each. The
/// next poll is postponed.
const LOOKS: u32 = 4;

/// The state of a node's alarm.
#[derive(Default)]
pub(super) enum Alarm {
    /// The node has no deadline of its own, or is cancelled.
    #[default]
    Off,
    /// The sleep waits to be woken.
    Set(Sleep),
    /// A thread polls the sleep, and polls it `again` if it was woken meanwhile.
    Polled { again: bool },
}

/// A sleep whose destructor is foreign code.
pub(super) struct Sleep(Foreign<Pin<Box<dyn Awaited>>>);

/// A sleep and its waker.
trait Awaited: Send {
    /// Polls the sleep; returns whether the time has come.
    fn is_over(self: Pin<&mut Self>) -> bool;

    /// Arranges for one more poll of the sleep, a little later. Without std, does nothing: the
    /// sleep then waits for its next wake-up.
    fn postpone(self: Pin<&mut Self>);
}

pin_project! {
    struct Armed<S> {
        #[pin]
        sleep: S,
        waker: Waker,
        retry: Retry,
    }
}

impl<S: Future<Output = ()> + Send> Awaited for Armed<S> {
    fn is_over(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        this.sleep.poll(&mut Context::from_waker(this.waker)).is_ready()
    }

    fn postpone(self: Pin<&mut Self>) {
        let this = self.project();
        *this.retry = Retry::after_a_while(this.waker);
    }
}

/// Wakes an alarm a little later, because its sleep has woken itself in too many polls in a row.
/// Some runtimes' timers wake themselves at once when a task has used up its budget.
#[cfg(feature = "std")]
struct Retry {
    _sleep: Option<crate::time::SystemSleep>,
}

#[cfg(feature = "std")]
impl Retry {
    const NONE: Self = Self { _sleep: None };
    // Zero in unit tests: there the retry wakes within `postpone`, as it may on a slow thread.
    const WHILE: core::time::Duration =
        core::time::Duration::from_millis(if cfg!(test) { 0 } else { 1 });

    fn after_a_while(waker: &Waker) -> Self {
        let mut sleep = crate::time::Timer::sleep(&crate::time::SystemClock, Self::WHILE);
        if Pin::new(&mut sleep).poll(&mut Context::from_waker(waker)).is_ready() {
            waker.wake_by_ref();
        }
        Self { _sleep: Some(sleep) }
    }
}

/// Does nothing: without std there is no timer that could wake the alarm.
#[cfg(not(feature = "std"))]
struct Retry;

#[cfg(not(feature = "std"))]
impl Retry {
    const NONE: Self = Self;

    fn after_a_while(_waker: &Waker) -> Self {
        Self
    }
}

impl Alarm {
    /// Creates the alarm of `node`. The caller puts it into the node, and then [polls it](look).
    pub(super) fn set(sleep: impl Future<Output = ()> + Send + 'static, node: &Arc<Node>) -> Self {
        let waker = Waker::from(Arc::new(Wakeable(Bell { node: Arc::downgrade(node) })));
        Self::Set(Sleep(Foreign::new(Box::pin(Armed { sleep, waker, retry: Retry::NONE }))))
    }

    /// Takes the sleep out to be polled. Returns `None` if there is none, or if another thread
    /// polls it; that thread is then told to poll it again.
    fn lend(&mut self) -> Option<Sleep> {
        match mem::replace(self, Self::Polled { again: true }) {
            Self::Set(sleep) => {
                *self = Self::Polled { again: false };
                Some(sleep)
            }
            Self::Polled { .. } => None,
            Self::Off => {
                *self = Self::Off;
                None
            }
        }
    }

    /// Forgets that the sleep was woken while it was polled.
    const fn forget_wakes(&mut self) {
        if let Self::Polled { again } = self {
            *again = false;
        }
    }

    /// Puts back a sleep that `lend` has taken out. Returns whether the sleep was woken meanwhile;
    /// gives it back as the error if the node was cancelled meanwhile.
    fn put_back(&mut self, sleep: Sleep) -> Result<bool, Sleep> {
        match self {
            Self::Polled { again } => {
                let again = *again;
                *self = Self::Set(sleep);
                Ok(again)
            }
            Self::Off | Self::Set(_) => Err(sleep),
        }
    }
}

/// Polls the alarm of `node`, and cancels the node if its deadline has come.
pub(super) fn look(node: &Node) {
    let mut looks = 0;
    while let Some(mut sleep) = node.family.with(|family| family.alarm.lend()) {
        // If the poll panics, this cancels the node: the sleep will not wake its alarm any more,
        // and a token must not outlive its deadline.
        let mut overdue = Overdue(Some(node));
        let awaited = &mut *sleep.0;
        if awaited.as_mut().is_over() {
            // `overdue` is dropped first and cancels the node; the sleep's destructor runs after
            // that.
            return;
        }
        looks += 1;
        if looks == LOOKS {
            // From here on only a wake that comes after the poll counts: the retry's, or the
            // timer's.
            node.family.with(|family| family.alarm.forget_wakes());
            awaited.as_mut().postpone();
            looks = 0;
        }
        overdue.0 = None;
        match node.family.with(|family| family.alarm.put_back(sleep)) {
            Ok(true) => {}
            Ok(false) => return,
            // The node was cancelled meanwhile.
            Err(unused) => return drop(unused),
        }
    }
}

/// Cancels its node when dropped, unless it is `None`.
struct Overdue<'a>(Option<&'a Node>);

impl Drop for Overdue<'_> {
    fn drop(&mut self) {
        if let Some(node) = self.0 {
            node.cancel(Reason::DeadlineExceeded);
        }
    }
}

/// The waker of an alarm.
struct Bell {
    node: Weak<Node>,
}

impl OnWake for Bell {
    fn on_wake(&self) {
        if let Some(node) = self.node.upgrade() {
            look(&node);
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use core::{
        future::Future,
        pin::Pin,
        task::{Context, Poll},
    };

    use crate::{CancelToken, Clock, Reason, Timer, Timestamp};

    /// A timer whose sleeps wake themselves in each poll but the last, in which they are over.
    struct Impatient {
        polls: u32,
    }

    struct Sleep {
        left: u32,
    }

    impl Clock for Impatient {
        fn now(&self) -> Timestamp {
            Timestamp::ORIGIN
        }
    }

    impl Timer for Impatient {
        type Sleep = Sleep;

        fn sleep_until(&self, _: Timestamp) -> Sleep {
            Sleep { left: self.polls }
        }
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.left -= 1;
            if self.left == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    #[test]
    fn a_retry_that_rings_before_the_sleep_is_put_back_is_not_lost() {
        for polls in 1..20 {
            let timer = Impatient { polls };
            let token = CancelToken::new().child_with_deadline(&timer, Timestamp::from_nanos(1));
            assert_eq!(token.reason(), Some(Reason::DeadlineExceeded), "{polls} polls");
        }
    }
}
